"""What a linear layer is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from truesparse.layers.spec import SEQUENCE, STEPS, LayerSpec, Matrix, Signal, Vector, count
from truesparse.settings import setting

ACTIVATIONS = ("none", "relu", "tanh", "selu", "srelu")

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772

# What SReLU has for each unit, and what it begins with: a ReLU that leaks, with a bend that moves.
SRELU = {"t_left": 0.0, "a_left": 0.2, "t_right": 1.0, "a_right": 1.0}


@dataclass(frozen=True)
class Linear(LayerSpec):
    """``y = f(W x + b)``, at each step or of the one vector of a sequence, with f an activation or none.

    That of `srelu` is learned, with four numbers a unit: ``t_right + a_right (x - t_right)`` from `t_right`
    on, else ``t_left + a_left (x - t_left)`` below `t_left`, and x between the two.

    References
    ----------
    Klambauer et al., "Self-normalizing neural networks", 2017, equation 2 (SELU). Jin et al., "Deep learning
    with S-shaped rectified linear activation units", 2016, equation 1, which SET's nets have: Mocanu et al.,
    "Scalable training of artificial neural networks with adaptive sparse connectivity", 2018.
    """

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
        """`bias`, and `srelu` if that is the activation."""
        bias = Vector("bias", self.units)
        if self.activation != "srelu":
            return (bias,)
        return bias, Vector("srelu", len(SRELU) * self.units, tuple(SRELU), SRELU)

    @property
    def sums(self) -> tuple[tuple[str, ...], ...]:
        """A unit has one product."""
        return (("weight",),)

    def resized(self, numerator: int, denominator: int) -> Self:
        """See `LayerSpec.resized`."""
        return replace(self, units=max(1, round(self.units * numerator / denominator)))
