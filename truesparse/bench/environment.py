"""What was measured on, for the record of every report."""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from truesparse.bench.settings import Conditions
from truesparse.training import environment as training_environment

Record = dict[str, Any]

BUSY = 0.5  # load of the last minute from which on the machine is not idle


def environment(conditions: Conditions, packages: Iterable[str] = ()) -> Record:
    """Describe processor, versions (of further packages too), threads and load; contestants add what they
    know."""
    return {
        **training_environment.environment(),
        **{package: version(package) for package in packages},
        "threads": conditions.threads,
        "repeats": conditions.repeats,
        "load_before": round(os.getloadavg()[0], 2),
    }


def busy_note(record: Record) -> str | None:
    """Return a warning if other processes were running."""
    load = record["load_before"]
    if load < BUSY:
        return None
    return (
        f"the machine was busy before the start (load {load:g}): times wander, most those of libraries whose"
        " threads wait by spinning"
    )
