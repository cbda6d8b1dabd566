"""Stochastic gradient descent, and clipping by the global norm."""

from __future__ import annotations

import numpy as np

from truesparse.kernels.update import NORM_CHUNKS, sgd, sgd_momentum, squared_norm
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
        self.max_norm = max_norm
        self._partial = np.zeros(NORM_CHUNKS)

    def __call__(self, arena: Arena) -> tuple[float, float]:
        """Return the norm and the factor to multiply gradients with: min(1, max_norm / norm)."""
        norm = float(np.sqrt(squared_norm(arena.grads, self._partial)))
        if self.max_norm <= 0 or norm <= self.max_norm:
            return norm, 1.0
        return norm, self.max_norm / norm


class SGD:
    """Stochastic gradient descent with momentum: ``u = momentum u + g + weight_decay w``, ``w -= lr u``.

    Parameters
    ----------
    arena : Arena
        A positive `momentum` adds the state "momentum" to it, unless it is there already.
    lr : float
        Learning rate; may be set between steps.
    momentum, weight_decay : float
    """

    __slots__ = ("arena", "lr", "momentum", "weight_decay")

    def __init__(self, arena: Arena, lr: float, momentum: float = 0.0, weight_decay: float = 0.0) -> None:
        self.arena = arena
        self.lr = lr
        self.momentum = momentum
        self.weight_decay = weight_decay
        if momentum > 0 and "momentum" not in arena.states:
            arena.add_state("momentum")

    def step(self, scale: float = 1.0) -> None:
        """Update every weight and bias from `arena.grads`, each multiplied by `scale` first."""
        arena = self.arena
        lr, decay, factor = np.float32(self.lr), np.float32(self.weight_decay), np.float32(scale)
        if self.momentum > 0:
            sgd_momentum(
                arena.values,
                arena.states["momentum"],
                arena.grads,
                lr,
                np.float32(self.momentum),
                decay,
                factor,
            )
        else:
            sgd(arena.values, arena.grads, lr, decay, factor)
        arena.touch()
