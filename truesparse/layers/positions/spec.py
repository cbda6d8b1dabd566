"""What says at which step a layer is that reads all steps alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from truesparse.layers.spec import STEPS, LayerSpec, Signal, Vector, count


@dataclass(frozen=True)
class Positions(LayerSpec):
    """``y_t = x_t + p_t``, with a learned vector for each step.

    References
    ----------
    Devlin et al., "BERT: pre-training of deep bidirectional transformers", 2019, section 3.
    """

    TYPE: ClassVar[str] = "positions"
    TAKES: ClassVar[tuple[str, ...]] = (STEPS,)
    NUMBERED: ClassVar[bool] = False
    LACKS: ClassVar[Mapping[str, str]] = {
        "source": "a layer in C reads one step after another and does not know their numbers"
    }

    longest: int = count("The most steps of a sequence.")

    def output(self, given: Signal) -> Signal:
        """As many features."""
        return Signal(given.kind, given.size)

    def vectors(self, given: Signal) -> tuple[Vector, ...]:
        """`weight`, the vectors of the steps one after another."""
        return (Vector("weight", self.longest * given.size, drawn=True),)

    @property
    def whole(self) -> bool:
        """A reader of one step after another does not know which one it is."""
        return True
