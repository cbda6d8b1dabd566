"""What a linear layer is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from truesparse.layers.spec import SEQUENCE, STEPS, LayerSpec, Matrix, Signal, Vector, count
from truesparse.settings import setting

ACTIVATIONS = ("none", "relu", "tanh")


@dataclass(frozen=True)
class Linear(LayerSpec):
    """``y = f(W x + b)``, at each step or of the one vector of a sequence, with f an activation or none."""

    TYPE: ClassVar[str] = "linear"
    TAKES: ClassVar[tuple[str, ...]] = (STEPS, SEQUENCE)

    units: int = count("Outputs.")
    activation: str = setting("none", "What is made of each output.", choices=ACTIVATIONS)

    def output(self, given: Signal) -> Signal:
        """A vector of its units, as often as it gets one."""
        return Signal(given.kind, self.units)

    def matrices(self, given: Signal) -> tuple[Matrix, ...]:
        """`weight`."""
        used = "step" if given.kind == STEPS else "sequence"
        return (Matrix("weight", (self.units, given.size), used=used),)  # type: ignore[arg-type]

    def vectors(self, given: Signal) -> tuple[Vector, ...]:
        """`bias`."""
        return (Vector("bias", self.units),)

    @property
    def sums(self) -> tuple[tuple[str, ...], ...]:
        """A unit has one product."""
        return (("weight",),)

    def resized(self, numerator: int, denominator: int) -> Self:
        """See `LayerSpec.resized`."""
        return replace(self, units=max(1, round(self.units * numerator / denominator)))
