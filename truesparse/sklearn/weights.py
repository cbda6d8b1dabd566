"""How much samples and classes count."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_array

from truesparse.data.weights import BALANCED, class_factors, example_weights
from truesparse.sklearn.base import as_value_error
from truesparse.sklearn.network import Samples
from truesparse.sklearn.targets import refuse_missing


def sample_weights(sample_weight: Any, n: int) -> NDArray[np.float64] | None:
    """Weights of samples, the highest of them 1: only how they relate to one another has an influence.

    Parameters
    ----------
    sample_weight : array-like of shape (n,), a number, or None
    n : int
        Samples.

    Returns
    -------
    ndarray of float64, shape (n,), or None

    Raises
    ------
    ValueError
        One is negative or not finite, all are zero, or there are more or fewer than samples.
    """
    if sample_weight is None:
        return None
    refuse_missing(sample_weight, "sample_weight")
    if isinstance(sample_weight, (int, float, np.number)):
        sample_weight = np.full(n, sample_weight)
    options = {"ensure_2d": False, "allow_nd": True, "ensure_all_finite": False}
    weights = check_array(sample_weight, dtype=np.float64, input_name="sample_weight", **options)
    if weights.shape != (n,):
        raise ValueError(f"sample_weight has the shape {weights.shape}, but there are {n:,} samples: {(n,)}")
    wrong = ~np.isfinite(weights) | (weights < 0)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(f"row {row:,} of sample_weight is {weights[row]}; it must be a number of 0 or more")
    if not weights.any():
        raise ValueError("every weight in sample_weight is zero; at least one must be above 0")
    return np.asarray(weights / weights.max())


def times_class_weights(
    weights: NDArray[np.float64] | None, class_weight: Any, numbers: NDArray[np.int32], classes: NDArray[Any]
) -> NDArray[np.float64] | None:
    """Weights of samples times those of their classes, the highest of the products 1.

    Parameters
    ----------
    weights : ndarray of float64, shape (n,), or None
    class_weight : {"balanced"}, mapping or None
        Weights of the classes, 1 for one that a mapping leaves out. "balanced" makes the samples of each
        class count as much together as those of any other.
    numbers : ndarray of int32, shape (n,)
        Places of the samples' classes in `classes`.
    classes : ndarray of shape (n_classes,)

    Raises
    ------
    ValueError
        `class_weight` is something else, has other classes instead of those there are, or a weight that is
        negative or not finite; or all products are zero.
    """
    if class_weight is None:
        return weights
    if not (
        isinstance(class_weight, Mapping) or (isinstance(class_weight, str) and class_weight == BALANCED)
    ):
        raise ValueError(f"class_weight is {class_weight!r}; it must be 'balanced', a mapping or None")
    with as_value_error():
        factors = class_factors(class_weight, numbers, classes.tolist(), weights)
        return example_weights(factors, numbers, weights)


def refuse_balanced(class_weight: Any) -> None:
    """Raise ValueError for "balanced", which needs all samples, where there are only some."""
    if isinstance(class_weight, str) and class_weight == BALANCED:
        raise ValueError(
            "class_weight 'balanced' needs all labels, which partial_fit does not see; pass a mapping from"
            " classes to weights"
        )


def counting(samples: Samples) -> Samples:
    """The samples whose weight is not zero: the others are as if they were not there."""
    if samples.weights is None or samples.weights.all():
        return samples
    return samples.select(np.flatnonzero(samples.weights))
