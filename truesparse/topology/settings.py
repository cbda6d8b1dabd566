"""Settings that several methods have; those of one method are in its file. Settings of a topology."""

from __future__ import annotations

import dataclasses

from truesparse.settings import fraction, setting

DISTRIBUTIONS = ("uniform", "erdos-renyi")
GATES = ("fused", "separate")
IMPORTANCES = ("l1", "l2", "max")
REDISTRIBUTIONS = ("method", "momentum")


@dataclasses.dataclass(init=False, repr=False, eq=False)
class _Common:
    """Settings of topology updates; a method has those of them that its defaults name."""

    drop_fraction: float = fraction(
        0.5,
        "Fraction of the weights replaced at a topology update, at first; what it becomes depends on the"
        " method.",
        none=True,
    )
    update_interval: int = setting(0, "Steps between topology updates; 0 for once per epoch.", low=0)
    update_end: float = fraction(1.0, "Fraction of the run in which there are topology updates.", all=True)
    redistribute: str = setting(
        "method",
        "How many weights each matrix grows: as the method says, or in proportion to the mean momentum of"
        " its weights.",
        choices=REDISTRIBUTIONS,
    )


COMMON = {field.name: field for field in dataclasses.fields(_Common)}
