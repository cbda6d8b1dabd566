"""Pruning before training: of a dense model, the weights that matter most to the loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from truesparse.errors import UsageError
from truesparse.sparse import Rewiring, SparseMatrix
from truesparse.topology import Part, Update
from truesparse.topology.drop import smallest
from truesparse.topology.grow import random_positions
from truesparse.topology.update import IMPORTANCE
from truesparse.training.config import Config
from truesparse.training.describe import flops_per_token

if TYPE_CHECKING:
    from truesparse.model import Model
    from truesparse.training.task import Learning


def keep_salient(model: Model, task: Learning, rng: np.random.Generator) -> float:
    """Leave a dense model the weights with the largest |w dL/dw|, and draw their values anew.

    They are chosen from all matrices together, so that a matrix gets as many as matter.

    Parameters
    ----------
    model : Model
        With random weights at all positions; modified in place.
    task : Learning
        The first `saliency_windows` batches of its training data make the gradient, without dropout.
    rng : numpy.random.Generator
        Draws the values.

    Returns
    -------
    float
        Multiplications and additions that it took.

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
    from truesparse.model import draw_values

    arena, config = model.arena, task.config
    task.begin(model)
    arena.zero_grad()
    tokens = 0
    for k in range(min(config.saliency_windows, task.steps_per_epoch)):
        tokens += task.learn(0, k, None).tokens
    task.end()
    flops = 3.0 * tokens * flops_per_token(model)
    sensitivity = np.concatenate([_sensitivity(matrix, config) for matrix in model.matrices.values()])
    keep = ~smallest(sensitivity, arena.nnz - round(config.density * arena.nnz))
    del sensitivity
    changes, start = {}, 0
    for name, matrix in model.matrices.items():
        mine = np.logical_and.reduce(keep[start : start + matrix.nnz].reshape(-1, matrix.group), axis=1)
        if not mine.any():
            raise UsageError(
                f"density {config.density:g} leaves {name} without a weight, because others matter more"
                f"; use a higher density or another method than {config.method}"
            )
        changes[name] = random_positions(Part(matrix), mine, 0, Update(0.0, rng))
        start += matrix.nnz
    arena.apply(Rewiring(changes))
    draw_values(model, rng, config.init_scale)
    return flops


def _sensitivity(matrix: SparseMatrix, config: Config) -> NDArray[np.float32]:
    """For each weight what matters: its own product, or that of its connection's weights, on average."""
    products = matrix.data * matrix.grad
    if matrix.group == 1:
        return products
    together = IMPORTANCE[config.importance](products.reshape(-1, matrix.group).T)
    return np.repeat(together / np.float32(matrix.group), matrix.group)
