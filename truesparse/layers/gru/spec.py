"""What a layer of gated recurrent units is; see `truesparse.layers.gru.layer` for its equations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from truesparse.layers.spec import Recurrent, Signal, Vector
from truesparse.settings import setting


@dataclass(frozen=True)
class GRU(Recurrent):
    """Gated recurrent units: a reset gate r, an update gate z and a candidate n.

    References
    ----------
    Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical machine
    translation", 2014: its first version resets after the product, its later ones before.
    """

    TYPE: ClassVar[str] = "gru"
    GATES: ClassVar[tuple[str, ...]] = ("r", "z", "n")

    reset_gate: str = setting(
        "after",
        "Whether the reset gate multiplies the state after its product with the candidate's weights, or"
        " before.",
        choices=("after", "before"),
    )

    def vectors(self, given: Signal) -> tuple[Vector, ...]:
        """`bias`; and `bias_hn`, which the reset gate multiplies too, where it comes after the product."""
        bias = self._bias("bias")
        return (bias, Vector("bias_hn", self.units)) if self.reset_gate == "after" else (bias,)
