"""Clipping by the global norm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from truesparse.sparse import Arena


class GradientNorm:
    """The norm of all gradients together, and the factor that clips it.

    The norm runs over stored weights and biases only: positions that do not exist have no gradient here,
    where masked dense code counts theirs.

    Parameters
    ----------
    max_norm : float
        Longest gradient that is let through; 0 for no limit.

    References
    ----------
    Pascanu, Mikolov & Bengio, "On the difficulty of training recurrent neural networks", 2013, algorithm 1.
    """

    __slots__ = ("max_norm", "_partial")

    def __init__(self, max_norm: float) -> None:
        from truesparse.kernels.update import NORM_CHUNKS

        self.max_norm = max_norm
        self._partial = np.zeros(NORM_CHUNKS)

    def __call__(self, arena: Arena) -> tuple[float, float]:
        """Return the norm and the factor to multiply gradients with: min(1, max_norm / norm)."""
        from truesparse.kernels.update import squared_norm

        norm = float(np.sqrt(squared_norm(arena.grads, self._partial)))
        if self.max_norm <= 0 or norm <= self.max_norm:
            return norm, 1.0
        return norm, self.max_norm / norm
