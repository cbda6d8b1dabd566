"""What was measured on, for the record of every report."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from truesparse.bench.settings import Conditions
from truesparse.training import environment as training_environment

Record = dict[str, Any]

WATCH_SECONDS = 0.5
BUSY = 0.1  # cores: the system itself takes less


def environment(conditions: Conditions, packages: Iterable[str] = ()) -> Record:
    """Describe processor, versions (of further packages too) and threads; contestants add what they know.

    `busy_before` is how many cores other programs kept busy just before, None where the system does not tell.
    """
    return {
        **training_environment.environment(),
        **{package: _version(package) for package in packages},
        "threads": conditions.threads,
        "repeats": conditions.repeats,
        "busy_before": busy_cores(WATCH_SECONDS),
    }


def busy_note(record: Record) -> str | None:
    """Return a warning if other programs were running."""
    busy = record["busy_before"]
    if busy is None or busy < BUSY:
        return None
    return (
        f"other programs kept {busy:.1f} cores busy before the start: times wander, most those of libraries"
        " whose threads wait by spinning"
    )


def busy_cores(seconds: float) -> float | None:
    """Watch for a while how many cores work; None where the system does not tell (Linux does)."""
    start = _ticks()
    time.sleep(seconds)
    end = _ticks()
    if start is None or end is None or end[1] == start[1]:
        return None
    idle = (end[0] - start[0]) / (end[1] - start[1])
    return round((os.cpu_count() or 1) * (1 - idle), 2)


def _ticks() -> tuple[int, int] | None:
    """Time of all cores so far: idle, and in all."""
    try:
        first = Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0].split()
    except OSError:
        return None
    ticks = [int(part) for part in first[1:9]]  # guests, the last two, count as users already
    return ticks[3] + ticks[4], sum(ticks)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # put there without an installer
        return "of unknown version"
