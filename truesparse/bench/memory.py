"""Memory of this process and of the machine, in bytes."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from truesparse.bench.monitor import Monitor
from truesparse.training.environment import peak_memory_bytes


def resident_bytes() -> int:
    """Return the resident memory of this process; its peak where the system does not tell."""
    return _status("VmRSS") or peak_memory_bytes()


def peak_bytes() -> int:
    """Return the largest resident memory of this process since its start, or since `reset_peak`."""
    return _status("VmHWM") or peak_memory_bytes()


def reset_peak() -> None:
    """Let the peak start again from what is resident now, where the system can (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def available_bytes() -> int:
    """Return how much memory a new process may take without driving others out; without bound where the
    system does not tell."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError):  # Windows, macOS
        return sys.maxsize


def fits(what: str, needed: int, monitor: Monitor, taken: int = 0) -> bool:
    """Whether there is memory for something; a note that it is left out if not.

    Parameters
    ----------
    what : str
        What it is, to begin a sentence with.
    needed : int
        Bytes.
    monitor : Monitor
    taken : int
        Bytes that others will have taken by then.
    """
    free = max(0, available_bytes() - taken)
    if needed > free:
        monitor.note(
            f"{what} is left out: it needs about {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are"
            " free"
        )
    return needed <= free


def _status(field: str) -> int:
    """A size in /proc/self/status, or 0."""
    try:
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0
