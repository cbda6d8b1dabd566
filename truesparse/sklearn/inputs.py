"""From what scikit-learn's users pass to sequences of numbers; errors name their row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_array, validate_data

from truesparse.data import Sequences

TABLE, SEQUENCES = "table", "sequences"


def read_sequences(estimator: BaseEstimator, X: Any, reset: bool) -> Sequences:
    """Sequences of features from an array or a list.

    Sets or checks the estimator's `n_features_in_` and `layout_`: "table" for an array or frame of shape
    (n, T), else "sequences".

    Parameters
    ----------
    estimator : estimator
    X : array-like, shape (n, T) or (n, T, D), or list of array-likes, each of shape (T_i,) or (T_i, D)
    reset : bool
        Whether this is the first call of ``fit``.

    Raises
    ------
    ValueError, TypeError
        It is none of these, has NaN or infinite numbers, or does not fit what ``fit`` was given.
    """
    if isinstance(X, np.ma.MaskedArray):  # NumPy would hand on what lies under the mask
        X = np.ma.filled(X.astype(np.float64), np.nan)
    name = type(estimator).__name__
    fitted = None if reset else estimator.layout_
    items = _items(X)
    dimensions = 0 if items is not None else len(getattr(X, "shape", (0, 0)))
    if dimensions > 3 or (items is None and not (hasattr(X, "shape") or hasattr(X, "__array__"))):
        what = f"has the shape {tuple(X.shape)}" if dimensions > 3 else f"is of type {type(X).__name__}"
        raise ValueError(
            f"X {what}; {name} takes an array of shape (n, T), a number a step, or (n, T, D), D features a"
            " step, or a list of sequences"
        )
    if items is not None:
        sequences = _of_list(items)
        if fitted == TABLE:
            X, dimensions = _as_table(items, sequences), 2
    if fitted == TABLE and (dimensions == 3 or (items is not None and X is None)):
        raise ValueError(
            f"X has sequences, but this {name} was fitted with a table of {estimator.n_features_in_} columns;"
            f" pass an array of shape (n, {estimator.n_features_in_})"
        )
    if dimensions in (1, 2) and fitted != SEQUENCES:
        with np.errstate(over="ignore"), _cells_are_numbers():  # what is infinite is refused below
            table = validate_data(estimator, X, reset=reset, dtype=np.float32, ensure_all_finite=False)
        if reset:
            estimator.layout_ = TABLE
        return _rows_of(table[:, :, None])
    width = getattr(estimator, "_width", None) if fitted else None
    if items is None:
        with np.errstate(over="ignore"), _cells_are_numbers():
            array = check_array(X, dtype=np.float32, ensure_all_finite=False, allow_nd=True)
        if array.ndim == 2 and width not in (None, array.shape[1]):
            raise ValueError(
                f"X has {array.shape[1]} columns, but this {name} was fitted with rows of {width} numbers;"
                " pass a list of sequences if they may have any length"
            )
        sequences = _rows_of(array[:, :, None] if array.ndim == 2 else array)
    features = sequences.values.shape[1]
    if reset:
        estimator.layout_, estimator.n_features_in_ = SEQUENCES, features
        estimator._width = _width(items, sequences)
        vars(estimator).pop("feature_names_in_", None)
    elif features != estimator.n_features_in_:
        raise ValueError(
            f"X has {features} features, but {name} is expecting {estimator.n_features_in_} features as input"
            " at each step"
        )
    return sequences


@contextmanager
def _cells_are_numbers() -> Iterator[None]:
    """Say what NumPy means if a cell of an array or frame is an array itself."""
    try:
        yield
    except ValueError as error:
        if "setting an array element" not in str(error):
            raise
        raise ValueError(
            "X has cells that are sequences themselves; pass a list or a single column of them"
        ) from None


def _items(X: Any) -> Sequence[Any] | None:
    """The items of a list or column, each of them a sequence; None for an array or frame of numbers.

    The type decides, never the lengths: those of some sequences may be equal by chance.
    """
    if isinstance(X, Sequence) and not isinstance(X, (str, bytes, memoryview)):
        return X
    if len(getattr(X, "shape", ())) == 1 and np.asarray(X).dtype == object:
        return list(X)
    return None


def _width(items: Sequence[Any] | None, sequences: Sequences) -> int | None:
    """T of nested lists that could have been an array of shape (n, T), as scikit-learn reads them; else None.

    Other lists may follow at any length, but an array has to have as many columns.
    """
    if items is None or not all(isinstance(item, (list, tuple)) and np.isscalar(item[0]) for item in items):
        return None
    lengths = set(sequences.lengths.tolist())
    return lengths.pop() if len(lengths) == 1 else None


def _as_table(items: Sequence[Any], sequences: Sequences) -> NDArray[np.float32] | None:
    """The rows of a list as an array of shape (n, T); None if they are no such rows."""
    if any(np.ndim(item) != 1 for item in items) or len(set(sequences.lengths.tolist())) != 1:
        return None
    return sequences.values.reshape(len(items), -1)


def _rows_of(array: NDArray[np.float32]) -> Sequences:
    """The sequences of an array of shape (n, T, D)."""
    n, steps, features = array.shape
    if not steps or not features:
        raise ValueError(f"X has the shape {array.shape}: its sequences have no steps or no features")
    _check_finite(array.reshape(n, -1), range(n))
    values = np.ascontiguousarray(array).reshape(-1, features)
    return Sequences(values, np.arange(n + 1, dtype=np.int64) * steps)


def _of_list(X: Sequence[Any]) -> Sequences:
    """The sequences of a list, of different lengths."""
    if not len(X):
        raise ValueError("X has no sequences")
    arrays: list[NDArray[np.float32]] = []
    for row, item in enumerate(X):
        try:
            if getattr(getattr(item, "dtype", None), "kind", "") == "c":
                raise ValueError("complex numbers are not supported")
            with np.errstate(over="ignore"):  # what is infinite is refused below
                array = np.asarray(item, np.float32)
        except (OverflowError, TypeError, ValueError) as error:
            raise ValueError(f"row {row:,} of X is no sequence of numbers: {error}") from None
        if array.ndim not in (1, 2) or not array.size:
            raise ValueError(
                f"row {row:,} of X has the shape {array.shape}; a sequence has the shape (steps,) or"
                f" (steps, features), and one step or more"
            )
        array = array.reshape(len(array), -1)
        if arrays and array.shape[1] != arrays[0].shape[1]:
            raise ValueError(
                f"row {row:,} of X has {array.shape[1]} features at each step, but row 0 has"
                f" {arrays[0].shape[1]}"
            )
        _check_finite(array.reshape(1, -1), (row,))
        arrays.append(array)
    return Sequences.of(arrays)


def _check_finite(rows: NDArray[np.float32], numbers: Any) -> None:
    wrong = ~np.isfinite(rows).all(axis=1)
    if wrong.any():
        row = numbers[int(wrong.argmax())]
        raise ValueError(
            f"row {row:,} of X contains NaN or infinity, or what is that in float32; mend it, or take it out"
        )
