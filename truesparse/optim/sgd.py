"""Stochastic gradient descent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from truesparse.optim.base import Optimizer
from truesparse.optim.settings import PlannedSettings, learning_rate, longest_gradient, lr_divisor
from truesparse.settings import fraction

if TYPE_CHECKING:
    from truesparse.sparse import Arena


@dataclass(frozen=True, kw_only=True)
class SGDSettings(PlannedSettings):
    """Settings of stochastic gradient descent: ``u = momentum u + g``, ``w -= lr u``."""

    NAME: ClassVar[str] = "sgd"

    lr: float = learning_rate(2.0)
    momentum: float = fraction(0.9, "Momentum.", none=True)
    clip: float = longest_gradient(10.0)
    lr_decay: float = lr_divisor(1.33)

    @property
    def momentum_state(self) -> str:
        """See `OptimizerSettings.momentum_state`."""
        return "momentum" if self.momentum else ""

    def _make(self, arena: Arena) -> SGD:
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

    def __init__(
        self,
        arena: Arena,
        lr: float,
        momentum: float = 0.0,
        weight_decay: float = SGDSettings.weight_decay,
    ) -> None:
        super().__init__(arena, lr, weight_decay)
        self.momentum = momentum
        if momentum > 0:
            self._need("momentum")

    def lasting_rate(self, name: str) -> float:
        """See `Optimizer.lasting_rate`: momentum adds up what lasts."""
        return super().lasting_rate(name) / (1 - self.momentum)

    def step(self, scale: float = 1.0) -> None:
        """Update every weight and bias from `arena.grads`, each multiplied by `scale` first."""
        import numpy as np

        from truesparse.kernels.update import sgd, sgd_momentum

        arena = self.arena
        values, grads, momentum = arena.values, arena.grads, arena.states.get("momentum")
        mu, decay, factor = (np.float32(number) for number in (self.momentum, self.weight_decay, scale))
        for part, rate in self._stretches():
            lr = np.float32(rate)
            if self.momentum > 0:
                assert momentum is not None
                sgd_momentum(values[part], momentum[part], grads[part], lr, mu, decay, factor)
            else:
                sgd(values[part], grads[part], lr, decay, factor)
        arena.touch()
