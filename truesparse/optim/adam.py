"""Adam."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from truesparse.optim.base import Optimizer
from truesparse.optim.settings import PlannedSettings, learning_rate, longest_gradient, lr_divisor
from truesparse.settings import fraction, setting

if TYPE_CHECKING:
    from truesparse.sparse import Arena


_TINY = 1e-38  # whose logarithm stands for that of 0


@dataclass(frozen=True, kw_only=True)
class AdamSettings(PlannedSettings):
    """Settings of Adam: ``w -= lr m / (sqrt(v) + epsilon)``, with corrected means m and v of g and g²."""

    NAME: ClassVar[str] = "adam"

    lr: float = learning_rate(0.002)
    beta1: float = fraction(0.9, "Decay of the mean gradient.", none=True)
    beta2: float = fraction(0.999, "Decay of the mean square.", none=True)
    epsilon: float = setting(1e-8, "Added to the root of the mean square.", low=0, open_low=True)
    decoupled_decay: bool = setting(
        False, "Subtract the weight decay from the weights instead of adding it to the gradient."
    )
    regrowth_warmup: int = setting(
        0,
        "Count the steps of each weight for itself, and let this many first steps grow to full length; 0"
        " counts the steps of the run.",
        low=0,
    )
    clip: float = longest_gradient(10.0)
    lr_decay: float = lr_divisor(1.33)

    @property
    def momentum_state(self) -> str:
        """See `OptimizerSettings.momentum_state`."""
        return "first_moment" if self.beta1 else ""

    def _make(self, arena: Arena) -> Adam:
        return Adam(
            arena,
            self.lr,
            self.beta1,
            self.beta2,
            self.epsilon,
            self.weight_decay,
            self.decoupled_decay,
            self.regrowth_warmup,
        )


class Adam(Optimizer):
    r"""Adam: steps in proportion to the mean of the gradient over the root of the mean of its square.

    .. math::
        m &= \beta_1 m + (1 - \beta_1) g, \quad v = \beta_2 v + (1 - \beta_2) g^2

        w &= w - \eta \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    Parameters
    ----------
    arena : Arena
        Gets the states "first_moment" and "second_moment", unless they are there already.
    lr : float
        Learning rate; may be set between steps.
    beta1, beta2, epsilon : float
    weight_decay : float
        Added to the gradient as ``weight_decay w``.
    decoupled_decay : bool
        Subtract ``lr weight_decay w`` from the weight instead (AdamW).
    regrowth_warmup : int
        Above 0, t counts the steps of each weight, the state "age", and its steps are ``min(1, t /
        regrowth_warmup)`` times as long; 4 more bytes a weight.

    Notes
    -----
    Without `regrowth_warmup`, t counts the steps of the run, also for a weight that was grown later: its
    moments begin at 0 and are not corrected for that, which makes its first step ``(1 - beta1) / sqrt(1 -
    beta2)`` learning rates long, 3.2 with the defaults.

    References
    ----------
    D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", 2015, algorithm 1. I. Loshchilov and
    F. Hutter, "Decoupled weight decay regularization", 2019, algorithm 2.
    """

    __slots__ = ("beta1", "beta2", "epsilon", "decoupled_decay", "regrowth_warmup", "steps")

    def __init__(
        self,
        arena: Arena,
        lr: float,
        beta1: float = AdamSettings.beta1,
        beta2: float = AdamSettings.beta2,
        epsilon: float = AdamSettings.epsilon,
        weight_decay: float = AdamSettings.weight_decay,
        decoupled_decay: bool = AdamSettings.decoupled_decay,
        regrowth_warmup: int = AdamSettings.regrowth_warmup,
    ) -> None:
        super().__init__(arena, lr, weight_decay)
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.decoupled_decay = decoupled_decay
        self.regrowth_warmup = regrowth_warmup
        self.steps = 0
        self._need("first_moment", "second_moment", *(["age"] if regrowth_warmup else []))

    def step(self, scale: float = 1.0) -> None:
        """Update every weight and bias from `arena.grads`, each multiplied by `scale` first."""
        import numpy as np

        from truesparse.kernels.update import adam, adam_by_age

        arena = self.arena
        self.steps += 1
        decays = (0.0, self.weight_decay) if self.decoupled_decay else (self.weight_decay, 0.0)
        last = (self.beta1, self.beta2, self.epsilon, *decays, scale)
        states = ["first_moment", "second_moment", *(["age"] if self.regrowth_warmup else [])]
        arrays = arena.values, *(arena.states[state] for state in states), arena.grads
        numbers: tuple[float, ...]
        for part, lr in self._stretches():
            if self.regrowth_warmup:
                numbers = (
                    lr,
                    math.log(self.beta1 or _TINY),
                    math.log(self.beta2 or _TINY),
                    self.regrowth_warmup,
                )
            else:
                root = 1 / math.sqrt(1 - self.beta2**self.steps)
                numbers = (lr, lr / (1 - self.beta1**self.steps), root)
            kernel = adam_by_age if self.regrowth_warmup else adam
            kernel(*(array[part] for array in arrays), *(np.float32(number) for number in (*numbers, *last)))
        arena.touch()

    def counters(self) -> dict[str, Any]:
        """What JSON can hold and a checkpoint has to, besides the states in the arena."""
        return {"steps": self.steps}

    def restore(self, counters: Mapping[str, Any]) -> None:
        """Take back what `counters` gave. The arena has the states already."""
        self.steps = counters["steps"]
