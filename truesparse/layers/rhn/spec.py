"""What a recurrent highway layer is; see `truesparse.layers.rhn.layer` for its equations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from truesparse.layers.spec import Matrix, Recurrent, Signal, Vector, count, rate
from truesparse.settings import setting


@dataclass(frozen=True)
class RHN(Recurrent):
    """A recurrent highway layer: `depth` micro-steps in a time step, a candidate h and a transform gate t.

    References
    ----------
    Zilly, Srivastava, Koutník & Schmidhuber, "Recurrent highway networks", 2017.
    """

    TYPE: ClassVar[str] = "rhn"
    GATES: ClassVar[tuple[str, ...]] = ("h", "t")
    LOCKED: ClassVar[bool] = True
    FREE: ClassVar[tuple[str, ...]] = (*Recurrent.FREE, "transform_bias")

    depth: int = count("Micro-steps of a time step.", 10)
    transform_bias: float = setting(
        -2.0,
        "First bias of the transform gates; below 0 they let most of the state pass.",
        low=-100,
        high=100,
    )
    dropout: float = rate("Fraction of the state dropped from recurrent products in training.")

    def matrices(self, given: Signal) -> tuple[Matrix, ...]:
        """`weight_ih`, and `weight_hh.l` for each micro-step l."""
        hidden = (self._matrix(f"weight_hh.{level}", self.units, "state") for level in range(self.depth))
        return self._matrix("weight_ih", given.size), *hidden

    def vectors(self, given: Signal) -> tuple[Vector, ...]:
        """`bias.l` for each micro-step l."""
        first = {"t": self.transform_bias}
        return tuple(self._bias(f"bias.{level}", first) for level in range(self.depth))

    @property
    def matrix_count(self) -> int:
        """See `LayerSpec.matrix_count`."""
        return self.depth + 1

    @property
    def sums(self) -> tuple[tuple[str, ...], ...]:
        """The first micro-step adds up two products; the others have one."""
        return ("weight_ih", "weight_hh.0"), *((f"weight_hh.{level}",) for level in range(1, self.depth))
