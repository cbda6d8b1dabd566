"""Sparse momentum: what SNFS remembers, a running mean of the gradients of all positions."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.kernels.buffers import aligned_zeros
from truesparse.topology.hooks import Gradients, Hooks
from truesparse.topology.scores import rows_at_a_time
from truesparse.topology.update import Scores

_DECAY = np.float32(0.9)


class DenseMomentum:
    r"""The momentum of sparse momentum, :math:`m \leftarrow 0.9 m + 0.1 g` at every position.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        Rows and columns of each matrix.

    Attributes
    ----------
    arrays : dict of str to ndarray of float32, shape (rows, columns)
        Begin with 0.

    Notes
    -----
    4 bytes for every position, also where there is no weight: the only arrays of the dense size that a method
    with sparse weights has. A position that holds no weight competes for one by its momentum, which has to be
    remembered somewhere.

    References
    ----------
    T. Dettmers and L. Zettlemoyer, "Sparse networks from scratch: faster training without losing
    performance", 2019, section 3.1.
    """

    __slots__ = ("arrays",)

    def __init__(self, shapes: Mapping[str, tuple[int, int]]) -> None:
        self.arrays: dict[str, NDArray[np.float32]] = {
            name: aligned_zeros(shape) for name, shape in shapes.items()
        }

    def add(self, gradients: Mapping[str, Scores], scale: float) -> None:
        """Take a step's gradients in.

        Parameters
        ----------
        gradients : mapping of str to function
            For each matrix, as in `Update.scores`.
        scale : float
            They count times this, as they do for the optimizer when it clips them.
        """
        from truesparse.kernels.dense import decay_and_add

        for name, mean in self.arrays.items():
            for first, scores in rows_at_a_time(gradients[name], mean.shape):
                rows = mean[first : first + len(scores)]
                decay_and_add(rows, scores, _DECAY, np.float32(scale) * (1 - _DECAY))

    @property
    def scores(self) -> dict[str, Scores]:
        """The momentum as `Update.scores`."""
        return {name: partial(_copy_rows, mean) for name, mean in self.arrays.items()}


def _copy_rows(mean: NDArray[np.float32], out: NDArray[np.float32], first: int) -> None:
    out[...] = mean[first : first + len(out)]


class MomentumHooks(Hooks):
    """Weights grow where the momentum of the gradient is largest; see `DenseMomentum`."""

    OBSERVES = True

    def start(self) -> None:
        """Make room for the momentum of all positions."""
        shapes = {name: matrix.shape for name, matrix in self.arena.matrices.items()}
        self._momentum = DenseMomentum(shapes)

    def observe(self, gradients: Gradients, scale: float) -> None:
        """Take the gradients in."""
        self._momentum.add(gradients(), scale)

    def scores(self, gradients: Gradients) -> Mapping[str, Scores]:
        """The momentum."""
        return self._momentum.scores

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The momentum."""
        return {f"method.{name}": array for name, array in self._momentum.arrays.items()}
