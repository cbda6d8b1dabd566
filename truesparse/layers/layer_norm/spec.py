"""What layer normalisation is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from truesparse.layers.spec import STEPS, LayerSpec, Signal, Vector
from truesparse.settings import setting

_ONES = {"scale": 1.0}


@dataclass(frozen=True)
class LayerNorm(LayerSpec):
    """``y = scale (x - mean) / sqrt(variance + epsilon) + bias`` of the features of each step.

    Mean and variance are those of the step's own features; scale and bias are learned, one each for every
    feature.

    References
    ----------
    Ba, Kiros & Hinton, "Layer normalization", 2016, equation 4.
    """

    TYPE: ClassVar[str] = "layer-norm"
    NAME: ClassVar[str] = "norm"
    TAKES: ClassVar[tuple[str, ...]] = (STEPS,)

    epsilon: float = setting(1e-5, "What is added to the variance.", low=0, open_low=True, high=1)

    def output(self, given: Signal) -> Signal:
        """As many features."""
        return Signal(given.kind, given.size)

    def vectors(self, given: Signal) -> tuple[Vector, ...]:
        """`scale`, which begins with 1, and `bias`."""
        return Vector("scale", given.size, tuple(_ONES), _ONES), Vector("bias", given.size)
