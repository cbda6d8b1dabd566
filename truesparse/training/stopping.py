"""What ends training before its plan is done: patience, and time."""

from __future__ import annotations

from typing import Any

from truesparse.settings import setting


def patience_setting() -> Any:
    """The field for how long a run waits for a new best model."""
    return setting(
        None,
        "End after this many evaluations without a new best model. The best one is kept.",
        low=1,
        shown="no end",
    )


def minutes_setting() -> Any:
    """The field for how long a run trains."""
    return setting(
        None,
        "End after this many minutes of training, evaluations and compilation included; the topology"
        " changes as"
        " planned for --epochs.",
        low=0,
        open_low=True,
        shown="no limit",
    )


def is_late(seconds: float, max_minutes: float | None) -> bool:
    """Whether training has taken the minutes that it may."""
    return max_minutes is not None and seconds >= 60 * max_minutes


def is_stale(stale: int, patience: int | None) -> bool:
    """Whether so many evaluations without a new best are more than `patience` bears."""
    return patience is not None and stale >= patience
