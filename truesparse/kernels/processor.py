"""The processor at hand: its name and its caches, as far as the system tells."""

from __future__ import annotations

import platform
import subprocess
import sys
from functools import cache
from pathlib import Path

CACHES = ("L1", "L2", "L3")
_USUAL_BYTES = {"L1": 32 << 10, "L2": 1 << 20, "L3": 32 << 20}  # where the system does not tell
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


def cache_bytes(folder: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> dict[str, int]:
    """Return the sizes of one core's L1 data cache and L2 cache and of the L3 cache.

    Parameters
    ----------
    folder : Path, optional
        Where Linux describes the caches of a core.

    Returns
    -------
    dict of str to int
        Bytes of "L1", "L2" and "L3"; a usual size for what the system does not tell.
    """
    sizes = dict(_USUAL_BYTES)
    if sys.platform == "darwin":
        sizes.update(_mac_caches())
    for index in folder.glob("index*"):
        try:
            kind, level, size = (
                (index / name).read_text(encoding="utf-8").strip() for name in ("type", "level", "size")
            )
        except OSError:
            continue
        digits, unit = size[:-1], size[-1:]
        if kind != "Instruction" and f"L{level}" in sizes and unit in _UNITS and digits.isdigit():
            sizes[f"L{level}"] = int(digits) << _UNITS[unit]
    return sizes


def describe_caches(sizes: dict[str, int]) -> str:
    """Return the sizes in words: "32 KB L1, 1 MB L2, 32 MB L3"."""
    return ", ".join(
        f"{size >> 10} KB {level}" if size & 0xFFFFF else f"{size >> 20} MB {level}"
        for level, size in sizes.items()
    )


@cache
def _mac_caches() -> dict[str, int]:
    found: dict[str, int] = {}
    for level, names in _SYSCTL.items():
        for name in names:
            try:
                done = subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, check=False)
            except OSError:
                return found
            if done.returncode == 0 and done.stdout.strip().isdigit() and int(done.stdout) > 0:
                found[level] = int(done.stdout)
                break
    return found
