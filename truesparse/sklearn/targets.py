"""Classes as numbers, and predictions of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin


def numbers_of_classes(y: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.int32]:
    """The place of each class among the sorted `classes`.

    Raises
    ------
    ValueError
        There is only one class, or y has one that is not among them.
    """
    if len(classes) < 2:
        raise ValueError(f"y has only one class, {classes.tolist()[0]!r}; a classifier needs two or more")
    numbers = np.minimum(np.searchsorted(classes, y), len(classes) - 1)
    strange = classes[numbers] != y
    if strange.any():
        row = int(strange.argmax())
        known = ", ".join(repr(name) for name in classes[:8].tolist()) + (", ..." if len(classes) > 8 else "")
        raise ValueError(f"row {row:,} of y has the class {y.tolist()[row]!r}; the known ones are {known}")
    return numbers.astype(np.int32)


class ClassPredictions(ClassifierMixin):
    """What classifiers do with the log-probabilities they predict."""

    classes_: NDArray[Any]

    def predict_log_proba(self, X: Any) -> NDArray[np.float32]:
        """Logarithms of the probabilities of the classes, shape (n, n_classes)."""
        raise NotImplementedError

    def predict_proba(self, X: Any) -> NDArray[np.float32]:
        """Probabilities of the classes, shape (n, n_classes); see `predict_log_proba`."""
        return np.exp(self.predict_log_proba(X))

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable class of each row of X, shape (n,); see `predict_log_proba`."""
        numbers = self.predict_log_proba(X).argmax(axis=1)
        return self.classes_[numbers]

    def _score_of(self, outputs: NDArray[np.float32], targets: NDArray[np.int32]) -> tuple[float, ...]:
        """Accuracy, and minus the cross-entropy in nats, of log-probabilities of shape (n, n_classes)."""
        accuracy = float(np.mean(outputs.argmax(axis=1) == targets))
        return accuracy, float(np.mean(outputs[np.arange(len(targets)), targets], dtype=np.float64))
