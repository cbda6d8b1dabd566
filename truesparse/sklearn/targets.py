"""Classes as numbers, and predictions of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from truesparse.data.weights import macro_f1
from truesparse.layers.output.spec import Softmax
from truesparse.sklearn.network import Network, Samples


def refuse_missing(values: Any, name: str = "y") -> None:
    """Raise ValueError if a target, class or weight is infinite or missing: None, NaN, NA or NaT of pandas.

    Parameters
    ----------
    values : array-like of shape (n,) or (n, outputs)
        As the user passed them: NumPy would make the text "nan" of a NaN among texts.
    name : str
        What the message calls them.
    """
    if isinstance(values, np.ma.MaskedArray):
        mask, values = np.ma.getmaskarray(values), np.ma.getdata(values).astype(object)
        values[mask] = None
    try:
        cells = np.asarray(values)
        if cells.dtype.kind not in "biufcmM":
            cells = np.asarray(values, object)
    except (TypeError, ValueError):
        return  # ragged or worse, which the checks report with all else that can be wrong
    if not cells.ndim or not cells.size:
        return
    if cells.dtype == object:
        wrong = np.fromiter((_is_missing(cell) for cell in cells.flat), bool, cells.size)
    else:
        wrong = np.ravel(np.isnat(cells) if cells.dtype.kind in "mM" else ~np.isfinite(cells))
    if wrong.any():
        place = int(wrong.argmax())
        value = cells.flat[place]
        what = f"is missing ({value})" if _is_missing(value) else f"is {value}"
        row = place * len(cells) // cells.size
        raise ValueError(f"row {row:,} of {name} {what}; fill it in, or take the row out")


def _is_missing(value: Any) -> bool:
    if value is None:
        return True
    try:
        return bool(value != value)
    except (ArithmeticError, TypeError, ValueError):  # NA of pandas equals neither itself nor anything else
        return type(value).__name__ == "NAType"


def read_labels(y: Any) -> NDArray[Any]:
    """Labels of samples, of which none is missing, as an array of shape (n,).

    Raises
    ------
    ValueError
        They are something else.
    """
    refuse_missing(y)
    y = column_or_1d(y, warn=True)
    classes_of(y)
    check_classification_targets(y)
    return y


def classes_of(y: NDArray[Any]) -> NDArray[Any]:
    """The classes that occur in labels, sorted.

    Raises
    ------
    ValueError
        They have no order.
    """
    try:
        return np.unique(y)
    except TypeError:
        raise ValueError(
            "the classes are of several kinds, such as texts and numbers; make all of them texts or numbers"
        ) from None


def numbers_of_classes(y: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.int32]:
    """The place of each class among the sorted `classes`.

    Raises
    ------
    ValueError
        There is no class or only one, or y has one that is not among them.
    """
    if not len(classes):
        raise ValueError("y has no labels; a classifier needs two classes or more")
    if len(classes) < 2:
        raise ValueError(f"y has only one class, {classes.tolist()[0]!r}; a classifier needs two or more")
    numbers = np.minimum(np.searchsorted(classes, y), len(classes) - 1)
    strange = classes[numbers] != y
    if strange.any():
        row = int(strange.argmax())
        known = ", ".join(repr(name) for name in classes[:8].tolist()) + (", ..." if len(classes) > 8 else "")
        raise ValueError(f"row {row:,} of y has the class {y.tolist()[row]!r}; the known ones are {known}")
    return numbers.astype(np.int32)


def refuse_other_classes(found: NDArray[Any], last: NDArray[Any]) -> None:
    """Raise ValueError if a fit that goes on from the last one has other classes."""
    if not np.array_equal(found, last):
        raise ValueError(
            f"y has the classes {found.tolist()}, but warm_start goes on with those of the last fit,"
            f" {last.tolist()}; pass these, or set warm_start=False"
        )


class ClassPredictions(ClassifierMixin):
    """What classifiers do with the log-probabilities they predict."""

    classes_: NDArray[Any]
    choose_by: str
    network_: Network

    @property
    def temperature_(self) -> float:
        """What scores are divided by, 1 if they were not calibrated."""
        head = self.network_.model.chain.head
        assert isinstance(head, Softmax)
        return head.temperature

    @property
    def _chosen_by(self) -> str:
        """The measure of `validation_scores_`."""
        return self.choose_by

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

    def _score_of(self, outputs: NDArray[np.float32], samples: Samples) -> tuple[float, ...]:
        """The measure to choose by, and minus the cross-entropy in nats, of log-probabilities of shape (n,
        n_classes)."""
        targets, weights = samples.right, samples.weights
        told = outputs.argmax(axis=1)
        chosen = outputs[np.arange(len(targets)), targets]
        if weights is None:
            right, loss = float(np.mean(told == targets)), float(np.mean(chosen, dtype=np.float64))
        else:
            right, loss = (float(np.average(each, weights=weights)) for each in (told == targets, chosen))
        if self._chosen_by == "accuracy":
            return right, loss
        return (loss,) if self._chosen_by == "loss" else (macro_f1(targets, told, weights), loss)
