"""How much examples and classes count."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.errors import UsageError
from truesparse.settings import listed, shown

BALANCED = "balanced"


def class_factors(
    class_weight: str | Mapping[Any, float],
    numbers: NDArray[np.int32],
    names: Sequence[Any],
    weights: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Weights of classes.

    Parameters
    ----------
    class_weight : {"balanced"} or mapping
        Weights of the classes, 1 for one that a mapping leaves out. "balanced" makes the examples of each
        class count as much together as those of any other.
    numbers : ndarray of int32, shape (n,)
        Places of the examples' classes in `names`.
    names : sequence
        Of the classes.
    weights : ndarray of float64, shape (n,), optional
        Of the examples.

    Returns
    -------
    ndarray of float64, shape (classes,)

    Raises
    ------
    UsageError
        A mapping has a class that is not there, or a weight that is negative or not finite, or all are zero.
    """
    if class_weight == BALANCED:
        counts = np.bincount(numbers, weights, len(names)).astype(np.float64)
        share = counts.sum() / len(names)
        return np.divide(share, counts, out=np.zeros(len(names)), where=counts > 0)
    assert isinstance(class_weight, Mapping)
    places = {name: place for place, name in enumerate(names)}
    factors = np.ones(len(names))
    for name, weight in class_weight.items():
        if name not in places:
            known = ", ".join(map(str, names[:8])) + (", ..." if len(names) > 8 else "")
            raise UsageError(
                f"--class-weight has the class {shown(name)}, which no training example has (they have"
                f" {known}); leave it out"
            )
        if (
            isinstance(weight, bool)
            or not isinstance(weight, (int, float, np.number))
            or not 0 <= weight < np.inf
        ):
            raise UsageError(
                f"--class-weight is {shown(weight)} for {shown(name)}; it must be a number of 0 or more"
            )
        factors[places[name]] = weight
    if not factors.any():
        raise UsageError("every weight in --class-weight is zero; at least one must be above 0")
    return factors


def example_weights(
    factors: NDArray[np.float64], numbers: NDArray[np.int32], weights: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Weights of examples times those of their classes, the highest of the products 1.

    Raises
    ------
    UsageError
        All are zero.
    """
    products = (factors / factors.max())[numbers]
    if weights is not None:
        products *= weights
    if not products.any():
        raise UsageError("the weights of classes and examples leave every example a weight of zero")
    return np.asarray(products / products.max())


def macro_f1(
    labels: NDArray[np.int32], told: NDArray[np.integer[Any]], weights: NDArray[np.float64] | None = None
) -> float:
    """Mean F1 of the classes that an example has or was told, each example counting by its weight."""
    classes = int(max(labels.max(), told.max())) + 1
    right = np.bincount(labels, np.multiply(labels == told, 1.0 if weights is None else weights), classes)
    return mean_f1(right, np.bincount(labels, weights, classes) + np.bincount(told, weights, classes))


def mean_f1(right: NDArray[Any], given: NDArray[Any]) -> float:
    """Mean F1 of classes: how many examples got each one rightly, and how many have it plus how many
    got it. Classes that none has and none got do not count; 0 if there are no others."""
    there = given > 0
    return float(np.mean(2 * right[there] / given[there])) if there.any() else 0.0


def weights_of(
    class_weight: str | None,
    numbers: NDArray[np.int32],
    names: Sequence[str],
    weights: NDArray[np.float64] | None = None,
) -> NDArray[np.float64] | None:
    """Weights of examples that a command line asks for; None if all count the same.

    Parameters
    ----------
    class_weight : str or None
        As `read_class_weight` reads it.
    numbers, names, weights
        As in `class_factors`.

    Raises
    ------
    UsageError
        As `read_class_weight`, `class_factors` and `example_weights`.
    """
    factors = np.ones(len(names))
    if class_weight is not None:
        factors = class_factors(read_class_weight(class_weight), numbers, names, weights)
    elif weights is None:
        return None
    return example_weights(factors, numbers, weights)


def read_class_weight(text: str) -> str | dict[str, float]:
    """What `class_factors` takes, from text such as ``balanced`` or ``bad=2,good=1``; a name that has a comma
    is put into quotes with its weight, as in CSV.

    Raises
    ------
    UsageError
        It is something else.
    """
    if text.strip() == BALANCED:
        return BALANCED
    found: dict[str, float] = {}
    for item in next(csv.reader([text], skipinitialspace=True), []):
        name, equals, number = item.rpartition("=")
        try:
            weight = float(number)
        except ValueError:
            equals = ""
        if not equals or not name.strip():
            raise UsageError(
                f"--class-weight has {shown(item)}; it must be {listed([BALANCED, 'such as bad=2,good=1'])}"
            )
        if name.strip() in found:
            raise UsageError(f"--class-weight has the class {shown(name.strip())} twice; leave one out")
        found[name.strip()] = weight
    if not found:
        raise UsageError("--class-weight is empty; it must be balanced or such as bad=2,good=1")
    return found
