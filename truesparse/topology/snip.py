"""SNIP: pruning before training, of a dense model the weights that matter least to the loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from truesparse.errors import UsageError
from truesparse.settings import Settings, setting

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from truesparse.sparse.matrix import SparseMatrix
    from truesparse.topology.hooks import Beginning

    Preparation = Callable[[Beginning, float, Callable[[int], float]], float]


@dataclass(frozen=True, kw_only=True)
class SNIPSettings(Settings):
    """Settings of SNIP."""

    saliency_windows: int = setting(
        100, "Windows of text, or batches, that tell how much a weight matters.", low=1
    )


def keep_salient(beginning: Beginning, density: float, gradients: Callable[[int], float]) -> float:
    """Leave a dense model the weights with the largest |w dL/dw|; their values are to be drawn anew.

    They are chosen from all matrices together, so that a matrix gets as many as matter.

    Parameters
    ----------
    beginning : Beginning
        Of a model all of whose positions hold weights; its arena is modified in place.
    density : float
        Fraction of the weights that stay.
    gradients : callable
        Told a number, leaves in the arena the gradients of so many of the first batches, and gives the
        multiplications and additions that this took.

    Returns
    -------
    float
        What `gradients` gave.

    Raises
    ------
    UsageError
        A matrix would be left without a weight.

    Notes
    -----
    The gradient of the dense model is asked for, so for once all positions are stored: about 20 bytes each.
    Of equal products the last positions stay.

    References
    ----------
    N. Lee, T. Ajanthan and P. H. S. Torr, "SNIP: single-shot network pruning based on connection
    sensitivity", 2019.
    """
    import numpy as np

    from truesparse.sparse.rewiring import Rewiring
    from truesparse.topology.drop import smallest
    from truesparse.topology.grow import random_positions
    from truesparse.topology.update import Part, Update

    flops = gradients(beginning.settings["saliency_windows"])
    arena, importance = beginning.arena, beginning.importance
    sensitivity = np.concatenate([_sensitivity(matrix, importance) for matrix in arena.matrices.values()])
    keep = ~smallest(sensitivity, arena.nnz - round(density * arena.nnz))
    del sensitivity
    changes, start = {}, 0
    for name, matrix in arena.matrices.items():
        mine = np.logical_and.reduce(keep[start : start + matrix.nnz].reshape(-1, matrix.group), axis=1)
        if not mine.any():
            raise UsageError(
                f"density {density:g} leaves {name} without a weight, because others matter more"
                f"; use a higher density or another method than snip"
            )
        changes[name] = random_positions(Part(matrix), mine, 0, Update(0.0, beginning.rng))
        start += matrix.nnz
    arena.apply(Rewiring(changes))
    return flops


def _sensitivity(matrix: SparseMatrix, importance: str) -> NDArray[np.float32]:
    """For each weight what matters: its own product, or that of its connection's weights, on average."""
    import numpy as np

    from truesparse.topology.update import IMPORTANCE

    products = matrix.data * matrix.grad
    if matrix.group == 1:
        return products
    together = IMPORTANCE[importance](products.reshape(-1, matrix.group).T)
    return np.repeat(together / np.float32(matrix.group), matrix.group)
