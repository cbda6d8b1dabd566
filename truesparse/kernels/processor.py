"""The processor at hand: its name and its caches, as far as the system tells."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Container, Iterable
from functools import cache
from pathlib import Path

from truesparse.kernels.cores import CPUS, cpu_folders, numbers_in, read

CACHES = ("L1", "L2", "L3")
_USUAL_BYTES = {"L1": 32 << 10, "L2": 1 << 20, "L3": 32 << 20}  # where the system does not tell
_SHARED = "L3"  # sizes of the others are one CPU's share
_SMALLEST = 4 << 10  # bytes; some hypervisors say 0
_SYSCTL = {  # of macOS: the fast cores' where there are two kinds, else those of all
    "L1": ("hw.perflevel0.l1dcachesize", "hw.l1dcachesize"),
    "L2": ("hw.perflevel0.l2cachesize", "hw.l2cachesize"),
    "L3": ("hw.l3cachesize",),
}
_UNITS = {"K": 10, "M": 20, "G": 30}


def processor_name() -> str:
    """Return the processor's name, from Linux if it has it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def microarchitecture() -> str:
    """Return what LLVM calls the processor, such as "znver5"; its own name may be that of several."""
    from llvmlite.binding import get_host_cpu_name

    return str(get_host_cpu_name())


def cache_bytes(folder: Path = CPUS, cpus: Iterable[int] | None = None) -> dict[str, int]:
    """Return what a thread has of the L1 data cache and of the L2 cache, and the size of the L3 cache.

    Parameters
    ----------
    folder : Path, optional
        Where Linux describes the CPUs.
    cpus : iterable of int, optional
        Those that count; without, the ones that this process may use.

    Returns
    -------
    dict of str to int
        Bytes of "L1", "L2" and "L3"; a usual size for what the system does not tell. An L1 or L2 cache that
        several of the CPUs share, such as hyperthreads or a cluster of cores, is divided by their number.
        Where CPUs differ, the smallest share counts.
    """
    return {**_USUAL_BYTES, **told_caches(folder, cpus)}


def told_caches(folder: Path = CPUS, cpus: Iterable[int] | None = None) -> dict[str, int]:
    """Return those of `cache_bytes` that the system tells."""
    found = dict(_mac_caches()) if sys.platform == "darwin" else {}
    places = tuple(sorted(cpu_folders(folder, cpus).items()))
    return {**found, **_linux_caches(places)}


def describe_caches(sizes: dict[str, int], assumed: Container[str] = ()) -> str:
    """Return the sizes in words: "32 KB L1, 1 MB L2, 32 MB L3 (assumed)"."""
    return ", ".join(
        (f"{size >> 10} KB {level}" if size & 0xFFFFF else f"{size >> 20} MB {level}")
        + " (assumed)" * (level in assumed)
        for level, size in sizes.items()
    )


@cache
def _linux_caches(places: tuple[tuple[int, Path], ...]) -> dict[str, int]:
    """The smallest share that one of the CPUs, with their folders, has of each cache."""
    usable = {number for number, _ in places}
    found: dict[str, int] = {}
    for number, place in places:
        for index in (place / "cache").glob("index*"):
            kind, level, text = (read(index / name) for name in ("type", "level", "size"))
            name, size = f"L{level}", _bytes(text)
            if kind == "Instruction" or not kind or name not in CACHES or size < _SMALLEST:
                continue
            if name != _SHARED:
                size //= len(usable & numbers_in(read(index / "shared_cpu_list")) | {number})
            found[name] = min(size, found.get(name, size))
    return found


def _bytes(text: str) -> int:
    """The number of bytes that a text such as "48K" or "49152" says; 0 if it says none."""
    digits, unit = (text[:-1], text[-1:]) if text[-1:] in _UNITS else (text, "")
    return int(digits) << _UNITS.get(unit, 0) if digits.isdigit() else 0


@cache
def _mac_caches() -> dict[str, int]:
    found: dict[str, int] = {}
    for level, names in _SYSCTL.items():
        size = next((size for size in map(_sysctl, names) if size >= _SMALLEST), 0)
        if size:
            found[level] = size
    if "L2" in found:
        found["L2"] //= _sysctl("hw.perflevel0.cpusperl2") or 1
    return found


def _sysctl(name: str) -> int:
    """A number that macOS tells; 0 if it does not."""
    try:
        done = subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, check=False)
    except OSError:
        return 0
    text = done.stdout.strip()
    return int(text) if done.returncode == 0 and text.isdigit() else 0
