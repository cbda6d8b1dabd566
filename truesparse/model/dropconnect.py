"""Recurrent weights that are left out of a window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from truesparse.sparse import Arena


@contextmanager
def dropped_weights(
    arena: Arena, rates: Sequence[tuple[str, float]], rng: np.random.Generator | None
) -> Iterator[None]:
    """Leave weights out while the context lasts, and then take back what they were.

    Parameters
    ----------
    arena : Arena
        Gradients that are added to it meanwhile become those of its own weights: 0 for one that was left out.
    rates : sequence of (str, float)
        Names of matrices, and which fraction of their weights is left out. The others are divided by 1 minus
        that.
    rng : numpy.random.Generator or None
        Draws which; without it all stay.

    Notes
    -----
    Needs 12 bytes a weight of these matrices, for as long as it lasts.

    References
    ----------
    L. Wan et al., "Regularization of neural networks using DropConnect", 2013; of recurrent weights, the same
    for all steps of a window, as in S. Merity, N. S. Keskar and R. Socher, "Regularizing and optimizing LSTM
    language models", 2018, section 2.
    """
    if rng is None:
        yield
        return
    kept = []
    for name, rate in rates:
        matrix = arena.matrices[name]
        stays = rng.random(matrix.data.size, dtype=np.float32) >= rate
        factors = stays * np.float32(1 / (1 - rate))
        kept.append((matrix, factors, matrix.data.copy(), matrix.grad.copy()))
        matrix.data[...] *= factors
        matrix.grad[...] = 0
    arena.touch()
    try:
        yield
    finally:
        for matrix, factors, data, grad in kept:
            matrix.data[...] = data
            matrix.grad[...] *= factors
            matrix.grad[...] += grad
        arena.touch()
