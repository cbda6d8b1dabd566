"""What brings features to mean 0 and deviation 1: constants that are learned from data, not trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from truesparse.errors import UsageError
from truesparse.layers.spec import STEPS, LayerSpec, Signal
from truesparse.settings import setting, shown

_LARGEST, _SMALLEST = 3e38, 1e-37  # normal numbers of float32


def check_scaling(name: str, mean: tuple[float, ...], scale: tuple[float, ...]) -> None:
    """Raise UsageError unless ``(x - mean) / scale`` can be computed in float32, where x are usual numbers.

    Parameters
    ----------
    name : str
        Of the layer.
    mean, scale : tuple of float
        One for each feature or output.
    """
    if len(mean) != len(scale):
        raise UsageError(
            f"the layer {name} has {len(mean)} numbers as mean and {len(scale)} as scale; give one each for"
            " everything that is scaled"
        )
    for number, (center, width) in enumerate(zip(mean, scale, strict=True)):
        if not width >= _SMALLEST:
            raise UsageError(
                f"scale {number} of the layer {name} is {shown(width)}; it must be at least {_SMALLEST:g}"
                "; give 1 for what is constant"
            )
        if not abs(center) / width <= _LARGEST:
            raise UsageError(
                f"mean {number} of the layer {name} is {shown(center)}, too far from 0 for its scale of"
                f" {shown(width)}; bring the numbers nearer to 0"
            )


@dataclass(frozen=True)
class Standardize(LayerSpec):
    """``y = (x - mean) / scale`` of each feature; the first layer of a model of features.

    Both are constants of the model's description: no optimizer changes them.
    """

    TYPE: ClassVar[str] = "standardize"
    TAKES: ClassVar[tuple[str, ...]] = (STEPS,)
    NUMBERED: ClassVar[bool] = False
    FREE: ClassVar[tuple[str, ...]] = ("mean", "scale")

    mean: tuple[float, ...] = setting((), "Mean of each feature.", low=-_LARGEST)
    scale: tuple[float, ...] = setting((), "What a deviation of 1 is in each feature.", low=0, open_low=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_scaling(self.TYPE, self.mean, self.scale)
        if not self.mean:
            raise UsageError(f"the layer {self.TYPE} needs mean and scale of each feature; give both")

    def output(self, given: Signal) -> Signal:
        """As many features."""
        if given.kind == STEPS and given.size != len(self.mean):
            raise UsageError(
                f"the layer {self.TYPE} has mean and scale of {len(self.mean)} features, but gets"
                f" {given.size}; give one each for every feature"
            )
        return given
