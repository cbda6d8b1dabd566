"""What a layer of attention is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from truesparse.errors import UsageError
from truesparse.layers.spec import STEPS, LayerSpec, Matrix, Signal, Vector, count, pattern

PROJECTIONS = ("q", "k", "v")


@dataclass(frozen=True)
class Attention(LayerSpec):
    """Multi-head self-attention: each step reads all steps of its sequence.

    Its four projections are sparse: those to queries, keys and values are stacked in one matrix, as the gates
    of a cell are.

    References
    ----------
    Vaswani et al., "Attention is all you need", 2017, section 3.2.
    """

    TYPE: ClassVar[str] = "attention"
    TAKES: ClassVar[tuple[str, ...]] = (STEPS,)
    LACKS: ClassVar[Mapping[str, str]] = {
        "source": "each of its steps reads all others, while a layer in C reads one step after another"
    }
    FREE: ClassVar[tuple[str, ...]] = ("pattern",)

    heads: int = count("Heads, each of which has an equal part of the features.")
    pattern: str = pattern()

    def output(self, given: Signal) -> Signal:
        """As many features."""
        if given.size % self.heads:
            raise UsageError(
                f"{self.heads} heads cannot share {given.size} features; give a number of heads that divides"
                " them"
            )
        return Signal(STEPS, given.size)

    def matrices(self, given: Signal) -> tuple[Matrix, ...]:
        """`weight_in`, whose rows are queries, keys and values, and `weight_out`."""
        group = len(PROJECTIONS) if self.pattern == "unit" else 1
        return (
            Matrix("weight_in", (len(PROJECTIONS) * given.size, given.size), PROJECTIONS, group),
            Matrix("weight_out", (given.size, given.size)),
        )

    def vectors(self, given: Signal) -> tuple[Vector, ...]:
        """`bias_in` and `bias_out`."""
        return (
            Vector("bias_in", len(PROJECTIONS) * given.size, PROJECTIONS),
            Vector("bias_out", given.size),
        )

    @property
    def whole(self) -> bool:
        """A step reads the later ones too."""
        return True
