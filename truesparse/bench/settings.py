"""What the commands are given, checked before anything is measured."""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from truesparse.errors import UsageError
from truesparse.settings import shown
from truesparse.training.outputs import check_folder, check_picture

T = TypeVar("T")

LARGEST = 10**9  # beyond all sizes

INSTALL_TORCH = 'pip install "truesparse[bench]"'


@dataclass(frozen=True)
class Conditions:
    """How everything is measured.

    Parameters
    ----------
    threads : int
        Of every side.
    repeats : int
        Rounds: turns of each contestant.
    seconds : float
        About how long a turn takes; a call that takes longer is made once.
    """

    threads: int
    repeats: int
    seconds: float


def available_cores() -> int:
    """Return how many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def conditions(threads: int, repeats: int, seconds: float) -> Conditions:
    """Check and return the conditions; 0 threads are one for each available core.

    Raises
    ------
    UsageError
    """
    cores = available_cores()
    if not 0 <= threads <= cores:
        raise UsageError(
            f"--threads must be at most the {cores} available cores (0 for all), not {shown(threads)}"
        )
    if not 0 < seconds < math.inf:
        raise UsageError(f"--seconds must be above 0 and finite, not {seconds:g}")
    if repeats < 1:
        raise UsageError(f"--repeats must be at least 1, not {repeats}")
    return Conditions(threads or cores, repeats, seconds)


def numbers(text: str, flag: str, kind: Callable[[str], T]) -> list[T]:
    """Split a list such as "0.2,0.1" and convert its parts.

    Raises
    ------
    UsageError
        If a part is not such a number, or there is none.
    """
    try:
        values = [kind(part) for part in text.split(",") if part.strip()]
    except ValueError:
        values = []
    if not values:
        example = "0.2,0.1" if kind is float else "20,64"
        raise UsageError(
            f"{flag} must be numbers with commas between them, as in {example}, not {shown(text)}"
        )
    return list(dict.fromkeys(values))


def densities(text: str) -> list[float]:
    """Return the densities of a list, each in (0, 1].

    Raises
    ------
    UsageError
    """
    values = numbers(text, "--density", float)
    for value in values:
        if not 0 < value <= 1:
            raise UsageError(f"--density must lie above 0 and be at most 1, not {value:g}")
    return values


def positive(text: str, flag: str) -> list[int]:
    """Return the integers of a list, each in [1, `LARGEST`].

    Raises
    ------
    UsageError
    """
    values = numbers(text, flag, int)
    for value in values:
        if not 1 <= value <= LARGEST:
            bound = "at least 1" if value < 1 else f"at most {LARGEST:,}"
            raise UsageError(f"{flag} must be {bound}, not {shown(value)}")
    return values


def shapes(text: str, flag: str) -> list[tuple[int, int]]:
    """Return the pairs of a list such as "6000x1500,1024x256".

    Raises
    ------
    UsageError
    """
    pairs = []
    for part in text.lower().split(","):
        first, _, second = part.strip().partition("x")
        try:
            pair = int(first), int(second)
        except ValueError:
            pair = 0, 0
        if not all(1 <= size <= LARGEST for size in pair):
            raise UsageError(
                f"{flag} must be two numbers with an x between them, as in 6000x1500, not {shown(part)}"
            )
        pairs.append(pair)
    return pairs


def installed(package: str) -> bool:
    """Whether a package can be imported; it is not."""
    return importlib.util.find_spec(package) is not None


def baselines(text: str | None) -> list[str]:
    """Return the dense sides to compare with: those asked for, or PyTorch if it is installed and NumPy.

    Raises
    ------
    UsageError
        If one is unknown or not installed.
    """
    if text is None:
        return ["torch", "numpy"] if installed("torch") else ["numpy"]
    names = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for name in names:
        if name not in ("torch", "numpy"):
            raise UsageError(f"--baseline knows torch and numpy, not {name!r}")
        if not installed(name):
            raise UsageError(f"the baseline {name} is not installed; install it with: {INSTALL_TORCH}")
    if not names:
        raise UsageError("--baseline needs a name: torch, numpy, or both with a comma between them")
    return names


def strongest_dense() -> str:
    """Return "torch" if it is installed, else "numpy"."""
    return baselines(None)[0]


def check_outputs(json: Path | None, plot: Path | None) -> None:
    """Check that results can be written, before an hour of measuring.

    Raises
    ------
    UsageError
        If a folder is missing, or matplotlib is, or a picture has another ending than png, svg or pdf.
    """
    if json is not None:
        check_folder("--json", json)
    if plot is not None:
        check_picture("--plot", plot)
