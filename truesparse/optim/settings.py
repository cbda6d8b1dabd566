"""Settings that every optimizer has; each file adds those of one optimizer."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from truesparse.settings import Settings, check_kind, setting

if TYPE_CHECKING:
    from truesparse.optim.base import Optimizer
    from truesparse.sparse import Arena


def learning_rate(default: float) -> Any:
    """A field for the learning rate."""
    return setting(default, "Learning rate at the start.", low=0, open_low=True)


def longest_gradient(default: float) -> Any:
    """A field for the norm that gradients are clipped to."""
    return setting(default, "Largest norm of the whole gradient; 0 for no limit.", low=0)


def lr_divisor(default: float) -> Any:
    """A field for what the learning rate is divided by."""
    return setting(
        default,
        "Divide the learning rate by this after each evaluation whose loss is no new best, until weights are"
        " averaged.",
        low=1,
    )


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class OptimizerSettings(Settings):
    """Which optimizer, and its settings.

    `clip`, `lr_decay` and `lr_decay_start` are for the loop around it, but their good values depend on it.

    Attributes
    ----------
    NAME : str
        What the user calls the optimizer.
    AVERAGES : bool
        Whether the model in the end is an average of the weights, which the loop around it has to ask for.
    """

    NAME: ClassVar[str]
    AVERAGES: ClassVar[bool] = False

    lr: float = learning_rate(1.0)
    weight_decay: float = setting(0.0, "L2 penalty added to the gradient.", low=0)
    lr_density_exponent: float = setting(
        0.0,
        "Multiply the learning rate of a matrix of density d by d to the power of minus this; not that of"
        " embeddings and biases.",
        low=0,
        high=2,
    )
    clip: float = longest_gradient(0.0)

    @property
    def momentum_state(self) -> str:
        """Which of its states has a running mean, or sum, of the gradients of each weight; empty if none."""
        return ""

    def build(self, arena: Arena, apart: Collection[str] = ()) -> Optimizer:
        """Return the optimizer of an arena, which gets the states that it needs.

        Parameters
        ----------
        arena : Arena
        apart : collection of str
            Matrices whose learning rate does not go by their density; see
            `truesparse.optim.base.DensityRates`.
        """
        from truesparse.optim.base import DensityRates
        from truesparse.sparse import Arena

        check_kind("arena", arena, Arena, "that of a model: model.arena")
        optimizer = self._make(arena)
        optimizer.rates = DensityRates(self.lr_density_exponent, frozenset(apart))
        return optimizer

    @abstractmethod
    def _make(self, arena: Arena) -> Optimizer:
        """The optimizer, with one learning rate for all."""

    @property
    def cosine(self) -> bool:
        """Whether the learning rate falls along half a cosine."""
        return False

    def decay(self) -> tuple[float, int]:
        """`lr_decay` and `lr_decay_start`, where there are any."""
        return 1.0, 0


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class FallingSettings(OptimizerSettings):
    """Of an optimizer whose learning rate can fall."""

    lr_decay: float = lr_divisor(1.0)
    lr_decay_start: int = setting(
        0, "Also divide it after every epoch from this one on; 0 for only when the loss stalls.", low=0
    )

    def decay(self) -> tuple[float, int]:
        """See `OptimizerSettings.decay`."""
        return self.lr_decay, self.lr_decay_start


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class PlannedSettings(FallingSettings):
    """Of an optimizer whose learning rate can fall as planned."""

    lr_schedule: str = setting(
        "stall",
        "How the learning rate falls: by --lr-decay, or after each epoch along half a cosine to near 0.",
        choices=("stall", "cosine"),
    )

    @property
    def cosine(self) -> bool:
        """See `OptimizerSettings.cosine`."""
        return self.lr_schedule == "cosine"
