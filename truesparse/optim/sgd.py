"""Stochastic gradient descent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from truesparse.optim.base import Optimizer
from truesparse.optim.settings import FallingSettings, learning_rate, longest_gradient, lr_divisor
from truesparse.settings import setting

if TYPE_CHECKING:
    from truesparse.sparse import Arena


@dataclass(frozen=True, kw_only=True)
class SGDSettings(FallingSettings):
    """What `SGD` is told."""

    NAME: ClassVar[str] = "sgd"

    lr: float = learning_rate(2.0)
    momentum: float = setting(0.9, "Momentum.", low=0, high=1, open_high=True)
    clip: float = longest_gradient(10.0)
    lr_decay: float = lr_divisor(1.33)

    def build(self, arena: Arena) -> SGD:
        """See `OptimizerSettings.build`."""
        return SGD(arena, self.lr, self.momentum, self.weight_decay)


class SGD(Optimizer):
    """Stochastic gradient descent with momentum: ``u = momentum u + g + weight_decay w``, ``w -= lr u``.

    Parameters
    ----------
    arena : Arena
        A positive `momentum` adds the state "momentum" to it, unless it is there already.
    lr : float
        Learning rate; may be set between steps.
    momentum, weight_decay : float
    """

    __slots__ = ("momentum",)

    def __init__(self, arena: Arena, lr: float, momentum: float = 0.0, weight_decay: float = 0.0) -> None:
        super().__init__(arena, lr, weight_decay)
        self.momentum = momentum
        if momentum > 0:
            self._need("momentum")

    def step(self, scale: float = 1.0) -> None:
        """Update every weight and bias from `arena.grads`, each multiplied by `scale` first."""
        import numpy as np

        from truesparse.kernels.update import sgd, sgd_momentum

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
