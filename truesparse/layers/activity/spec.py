"""What keeps activations small and slow: penalties on them. In training only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from truesparse.layers.spec import STEPS, LayerSpec, Signal
from truesparse.settings import setting


def weight(help: str) -> Any:
    """A field for how much a penalty counts."""
    return setting(0.0, help, low=0, high=1e6)


@dataclass(frozen=True)
class ActivityPenalty(LayerSpec):
    """Adds mean squares, of features and of their change from step to step, to the loss that is minimised.

    Reported losses leave it out. The first step of a window has no change; steps beyond the end of a sequence
    count nowhere.

    References
    ----------
    Merity, McCann & Socher, "Revisiting activation regularization for language RNNs", 2017, equations 1 (AR)
    and 2 (TAR), squared as in their code.
    """

    TYPE: ClassVar[str] = "activity-penalty"
    TAKES: ClassVar[tuple[str, ...]] = (STEPS,)
    TRAINING_ONLY: ClassVar[bool] = True

    size: float = weight("How much the mean square of the features counts in the loss.")
    change: float = weight("How much the mean square of their change from step to step counts in the loss.")

    def output(self, given: Signal) -> Signal:
        """As many features."""
        return given
