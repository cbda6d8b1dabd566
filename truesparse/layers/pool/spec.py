"""What pooling is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from truesparse.layers.spec import SEQUENCE, LayerSpec, Signal
from truesparse.settings import setting

POOLINGS = ("last", "mean", "max")


@dataclass(frozen=True)
class Pool(LayerSpec):
    """One vector of a whole sequence: that of its last step, or the mean or maximum over its steps.

    For a layer that reads a sequence from its end, the last step is the first one.
    """

    TYPE: ClassVar[str] = "pool"
    NUMBERED: ClassVar[bool] = False
    SPARED: ClassVar[tuple[str, ...]] = ("source", "parameters")

    kind: str = setting("last", "Which vector stands for the sequence.", choices=POOLINGS)

    def output(self, given: Signal) -> Signal:
        """As long a vector, once."""
        return given._replace(kind=SEQUENCE)
