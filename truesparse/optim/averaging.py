"""Averaged stochastic gradient descent: train with the last weights, evaluate and keep their average."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from truesparse.optim.base import Optimizer
from truesparse.optim.settings import (
    FallingSettings,
    OptimizerSettings,
    learning_rate,
    longest_gradient,
    lr_divisor,
)
from truesparse.settings import setting

if TYPE_CHECKING:
    from truesparse.sparse import Arena

_LR, _CLIP = 20.0, 0.25


@dataclass(frozen=True, kw_only=True)
class ASGDSettings(OptimizerSettings):
    """Settings of averaged SGD: the result is the mean of the weights over all steps."""

    NAME: ClassVar[str] = "asgd"
    AVERAGES: ClassVar[bool] = True

    lr: float = learning_rate(_LR)
    clip: float = longest_gradient(_CLIP)

    def _make(self, arena: Arena) -> ASGD:
        return ASGD(arena, self.lr, self.weight_decay)


@dataclass(frozen=True, kw_only=True)
class NTASGDSettings(FallingSettings):
    """Settings of NT-ASGD: it begins to average when the validation loss stops falling."""

    NAME: ClassVar[str] = "nt-asgd"
    AVERAGES: ClassVar[bool] = True

    lr: float = learning_rate(_LR)
    clip: float = longest_gradient(_CLIP)
    lr_decay: float = lr_divisor(1.0)
    nonmonotone: int = setting(
        5,
        "Begin to average when the validation loss is above the best of those more than this many evaluations"
        " ago.",
        low=1,
    )

    def _make(self, arena: Arena) -> NTASGD:
        return NTASGD(arena, self.lr, self.weight_decay, self.nonmonotone)


class SNTASGDSettings(NTASGDSettings):
    """Settings of SNT-ASGD: as NT-ASGD, but it averages each weight over the time it exists."""

    NAME: ClassVar[str] = "snt-asgd"

    def _make(self, arena: Arena) -> SNTASGD:
        return SNTASGD(arena, self.lr, self.weight_decay, self.nonmonotone)


class ASGD(Optimizer):
    """Stochastic gradient descent whose result is the average of the weights over all its steps.

    Parameters
    ----------
    arena : Arena
        Gets the state "average", unless it is there already.
    lr : float
    weight_decay : float
        Added to the gradient as ``weight_decay w``.

    Attributes
    ----------
    averaged_steps : int
        Steps since averaging began.

    Notes
    -----
    The first iterate is left out: after steps 1, 2, 3, 4 the average is that of iterates {1}, {2}, {2, 3},
    {2, 3, 4}, as PyTorch's ASGD has it. A weight that is grown enters with an average of 0, as if it had been
    a weight of 0 before.

    References
    ----------
    B. T. Polyak and A. B. Juditsky, "Acceleration of stochastic approximation by averaging", 1992.
    """

    __slots__ = ("averaged_steps",)

    STATES: ClassVar[tuple[str, ...]] = ("average",)

    def __init__(self, arena: Arena, lr: float, weight_decay: float = ASGDSettings.weight_decay) -> None:
        super().__init__(arena, lr, weight_decay)
        self.averaged_steps = 0
        self._begin()

    def _begin(self) -> None:
        """Make room for the averages."""
        self._need("average")

    @property
    def averaging(self) -> bool:
        """Whether it averages the weights; the learning rate stays what it is then."""
        return "average" in self.arena.states

    def step(self, scale: float = 1.0) -> None:
        """Update every weight and bias from `arena.grads`, each multiplied by `scale` first; then average."""
        import numpy as np

        from truesparse.kernels.update import sgd

        arena = self.arena
        for part, lr in self._stretches():
            numbers = lr, self.weight_decay, scale
            sgd(arena.values[part], arena.grads[part], *(np.float32(number) for number in numbers))
        if self.averaging:
            self.averaged_steps += 1
            self._average()
        arena.touch()

    def _average(self) -> None:
        """Take the weights into the averages."""
        import numpy as np

        from truesparse.kernels.update import average

        averages = self.arena.states["average"]
        if self.averaged_steps <= 2:
            averages[...] = self.arena.values
        else:
            average(averages, self.arena.values, np.float32(1 / (self.averaged_steps - 1)))

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Put the averages, where there are any, in the place of the weights while the context lasts."""
        if not self.averaged_steps:
            yield
            return
        self.arena.exchange("average")
        try:
            yield
        finally:
            self.arena.exchange("average")

    def counters(self) -> dict[str, Any]:
        """What JSON can hold and a checkpoint has to, besides the states in the arena."""
        return {"averaged_steps": self.averaged_steps}

    def later_states(self, counters: Mapping[str, Any]) -> Collection[str]:
        """See `Optimizer.later_states`."""
        return self.STATES if counters["averaged_steps"] else ()

    def restore(self, counters: Mapping[str, Any]) -> None:
        """Take back what `counters` gave. The arena has the states already."""
        self.averaged_steps = counters["averaged_steps"]


class NTASGD(ASGD):
    """Stochastic gradient descent that begins to average when the validation loss stops falling.

    Parameters
    ----------
    arena : Arena
        Gets the state "average" when averaging begins.
    lr : float
    weight_decay : float
    nonmonotone : int
        How many of the latest losses a loss is not compared with; see `stalls`.

    References
    ----------
    S. Merity, N. S. Keskar and R. Socher, "Regularizing and optimizing LSTM language models", 2018,
    algorithm 1.
    """

    __slots__ = ("nonmonotone", "losses")

    def __init__(
        self,
        arena: Arena,
        lr: float,
        weight_decay: float = NTASGDSettings.weight_decay,
        nonmonotone: int = NTASGDSettings.nonmonotone,
    ) -> None:
        self.nonmonotone = nonmonotone
        self.losses: list[float] = []
        super().__init__(arena, lr, weight_decay)

    def _begin(self) -> None:
        """Nothing yet: `evaluated` says when."""

    def evaluated(self, loss: float) -> None:
        """Take note of a validation loss, and begin to average if it is time."""
        if self.averaging:
            return
        if stalls(self.losses, loss, self.nonmonotone):
            super()._begin()
        self.losses.append(loss)

    def counters(self) -> dict[str, Any]:
        """What JSON can hold and a checkpoint has to, besides the states in the arena."""
        return {**super().counters(), "losses": self.losses}

    def restore(self, counters: Mapping[str, Any]) -> None:
        """Take back what `counters` gave. The arena has the states already."""
        super().restore(counters)
        self.losses = list(counters["losses"])


class SNTASGD(NTASGD):
    """NT-ASGD for a topology that changes: each weight is averaged over its own life.

    A weight that is grown after averaging began has no past to be averaged with; NT-ASGD would pull it
    towards the 0 that it was not. Here its average begins with it.

    Parameters
    ----------
    arena : Arena
        Gets the states "average" and "averaged_steps" when averaging begins.
    lr : float
    weight_decay : float
    nonmonotone : int
        As for `NTASGD`.

    Notes
    -----
    "averaged_steps" counts for each weight; 4 more bytes a weight. The first iterate of a weight's life is
    left out, as `ASGD` leaves out that of the run and as the authors' code does.

    References
    ----------
    S. Liu, D. C. Mocanu, Y. Pei and M. Pechenizkiy, "Selfish sparse RNN training", 2021.
    """

    __slots__ = ()

    STATES = ("average", "averaged_steps")

    def _average(self) -> None:
        from truesparse.kernels.update import average_by_age

        self._need("averaged_steps")
        states = self.arena.states
        average_by_age(states["average"], states["averaged_steps"], self.arena.values)


def stalls(losses: Sequence[float], loss: float, nonmonotone: int) -> bool:
    """Whether a validation loss is above the best of those that lie more than `nonmonotone` back.

    Parameters
    ----------
    losses : sequence of float
        All losses before this one.
    loss : float
    nonmonotone : int
        At least 1.

    Returns
    -------
    bool

    Examples
    --------
    >>> stalls([5, 4, 3, 3.5, 3.5, 3.5, 3.5], 3.5, nonmonotone=5)  # the best of 5 and 4
    False
    >>> stalls([5, 4, 3, 3.5, 3.5, 3.5, 3.5, 3.5], 3.5, nonmonotone=5)  # the best of 5, 4 and 3
    True
    """
    return len(losses) > nonmonotone and loss > min(losses[:-nonmonotone])
