"""Which CPUs this process may use, how many at once, and which of them are threads of the same core.

A CPU is what the system counts as one: a core, or a hyperthread of one.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

CPUS = Path("/sys/devices/system/cpu")


def usable_cpus() -> frozenset[int] | None:
    """Return the numbers of the CPUs that this process may use; None where the system does not tell."""
    try:
        return frozenset(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # not on every system
        return None


def available_cores(root: Path = Path("/")) -> int:
    """Return how many threads of this process may run at once.

    Parameters
    ----------
    root : Path, optional
        Where Linux has its folders `proc` and `sys`.

    Returns
    -------
    int
        The CPUs that it may use, or fewer if its cgroup, such as that of a container with ``--cpus=2``, gets
        less time than that. A part of a CPU counts as one.
    """
    return within_cgroup(len(usable_cpus() or ()) or os.cpu_count() or 1, root)


def within_cgroup(count: int, root: Path = Path("/")) -> int:
    """Return how many of so many CPUs a cgroup has the time of; see `available_cores`."""
    return max(1, math.ceil(min([count, *_cgroup_limits(root)])))


def physical_cores(folder: Path = CPUS, cpus: Iterable[int] | None = None) -> int:
    """Return how many cores the usable CPUs are hyperthreads of; the number of CPUs if the system does not
    tell.

    Parameters
    ----------
    folder : Path, optional
        Where Linux describes the CPUs.
    cpus : iterable of int, optional
        Those that count; without, the usable ones.
    """
    names = ("topology/thread_siblings_list", "topology/core_cpus_list")
    cores = {
        next((text for text in (read(place / name) for name in names) if text), place.name)
        for place in cpu_folders(folder, cpus).values()
    }
    return len(cores) or os.cpu_count() or 1


def thread_counts(most: int) -> tuple[int, ...]:
    """Return the numbers of threads, up to `most`, of which one may be the fastest: all, one for each core
    where that is fewer, because of hyperthreads, and one."""
    cores = physical_cores()
    return (most, *((cores,) if 1 < cores < most else ()), *((1,) if most > 1 else ()))


def cpu_folders(folder: Path, cpus: Iterable[int] | None = None) -> dict[int, Path]:
    """The folders in which Linux describes CPUs, by their numbers; without any given, of the usable ones."""
    cpus = usable_cpus() if cpus is None else cpus
    if cpus is None:
        return {int(place.name[3:]): place for place in folder.glob("cpu*") if place.name[3:].isdigit()}
    return {number: folder / f"cpu{number}" for number in cpus}


def numbers_in(text: str) -> set[int]:
    """The numbers of a list such as "0-3,8"; none if it is no such list."""
    numbers: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if not (first.isdigit() and (last or first).isdigit()):
            return set()
        numbers.update(range(int(first), int(last or first) + 1))
    return numbers


def read(file: Path) -> str:
    """What a file of the system says; nothing where there is none."""
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""


def has_bfloat16(root: Path = Path("/")) -> bool:
    """Whether the processor multiplies bfloat16, as far as the system reports it (Linux does).

    Parameters
    ----------
    root : Path, optional
        Where Linux has its folder `proc`.
    """
    lines = read(root / "proc" / "cpuinfo").splitlines()
    flags = {flag for line in lines if line.startswith(("flags", "Features")) for flag in line.split()}
    return not flags.isdisjoint({"avx512_bf16", "amx_bf16", "bf16"})


def _cgroup_limits(root: Path) -> Iterator[float]:
    """How many CPUs' time the cgroup of this process, and each above it, may take; of those with a limit."""
    mounted = root / "sys" / "fs" / "cgroup"
    for line in read(root / "proc" / "self" / "cgroup").splitlines():
        if line.count(":") < 2:
            continue
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2, whose folder is another one beside those of version 1
            for folder in (mounted, mounted / "unified"):
                for place in _upwards(folder, path):
                    quota, period = (*read(place / "cpu.max").split(), "", "")[:2]
                    yield from _limit(quota, period)
        elif "cpu" in controllers.split(","):
            for place in _upwards(mounted / controllers, path) + _upwards(mounted / "cpu", path):
                yield from _limit(read(place / "cpu.cfs_quota_us"), read(place / "cpu.cfs_period_us"))


def _upwards(folder: Path, path: str) -> list[Path]:
    """The folder of a cgroup and those above it; in a container its path may lead out of what is mounted."""
    parts = PurePosixPath(path.lstrip("/")).parts
    steps = 0 if ".." in parts else len(parts)
    return [folder.joinpath(*parts[:step]) for step in range(steps, -1, -1)]


def _limit(quota: str, period: str) -> Iterator[float]:
    """Microseconds of each period; "max" or -1 are no limit."""
    if quota.isdigit() and period.isdigit() and int(quota) and int(period):
        yield int(quota) / int(period)
