"""Dropout with masks that are drawn again in the backward pass instead of being stored."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from truesparse.kernels.dropout import dropout


def draw_keys(rng: np.random.Generator, count: int) -> NDArray[np.uint64]:
    """Return `count` keys, each of which chooses one mask."""
    return rng.integers(0, 2**64, size=count, dtype=np.uint64)


def apply_dropout(x: NDArray[np.float32], key: np.uint64, rate: float) -> None:
    """Drop elements of `x` in place with probability `rate` and divide the others by 1 - rate; on a gradient,
    the backward pass.

    Parameters
    ----------
    x : ndarray of float32, shape (panels, features, lanes)
    key : uint64
        The mask is a function of the key and the place of an element.
    rate : float
        In [0, 1); 0 leaves `x` alone.

    References
    ----------
    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014; on the
    non-recurrent connections: Zaremba, Sutskever & Vinyals, "Recurrent neural network regularization", 2014.
    """
    if rate > 0:
        dropout(x, key, np.float32(rate))
