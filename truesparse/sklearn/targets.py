"""Classes as numbers, and how good predictions of them are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


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


def classification_score(outputs: NDArray[np.float32], targets: NDArray[np.int32]) -> tuple[float, float]:
    """Accuracy, and minus the cross-entropy in nats, of log-probabilities of shape (n, n_classes)."""
    accuracy = float(np.mean(outputs.argmax(axis=1) == targets))
    return accuracy, float(np.mean(outputs[np.arange(len(targets)), targets], dtype=np.float64))
