"""What the commands are given, checked before anything is measured."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from truesparse.errors import UsageError
from truesparse.kernels.cores import available_cores, has_bfloat16
from truesparse.settings import shown
from truesparse.training.outputs import check_folder, check_picture

T = TypeVar("T")

LARGEST = 10**9  # beyond all sizes

# The dense sides of each command. What follows the library says how it runs: "dense" without masks, "bf16" in
# autocast, "compile" with torch.compile; of Keras, which is without masks, on what.
STEP = ("torch", "torch-bf16", "torch-compile", "torch-dense", "torch-dense-bf16", "numpy", "numpy-dense")
EPOCH = (*STEP[:5], "keras-tensorflow", "keras-jax", "keras-torch")
INFERENCE = ("torch", "numpy")
ROWS = ("torch", "torch-dense")
UNMASKED = ("torch-dense", "torch-dense-bf16", "numpy-dense")

INSTALL_TORCH = 'pip install "truesparse[bench]"'
_SLOW = "keras-torch"
_INSTALL_KERAS = "pip install keras tensorflow, or keras jax"


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


def baselines(text: str | None, known: Sequence[str]) -> dict[str, str]:
    """Return the dense sides to compare with, each with the reason for which it cannot be measured, or "".

    Parameters
    ----------
    text : str, optional
        Names with commas between them; "all" are those known, which need not be installed, but Keras on
        PyTorch, which takes minutes for what others do in a second; "keras" is Keras on what is installed.
        If not given, PyTorch if it is installed, and NumPy.
    known : sequence of str
        `STEP`, `EPOCH` or another of these.

    Raises
    ------
    UsageError
        If one is unknown, or was asked for by its name and is not installed.
    """
    if text is None:
        return {name: "" for name in ("torch", "numpy") if not _missing(name)}
    names = dict.fromkeys(part.strip() for part in text.split(",") if part.strip())
    if list(names) == ["all"]:
        return {name: _missing(name) for name in known if name != _SLOW}
    if not names:
        raise UsageError(f"--baseline needs a name, or some with commas between them: {_names(known)}")
    chosen: dict[str, str] = {}
    for name in names:
        if name == "keras" and "keras-jax" in known:
            chosen |= dict.fromkeys(_keras(), "")
        elif name not in known:
            raise UsageError(f"--baseline knows {_names(known)}, not {name!r}")
        elif reason := _missing(name):
            raise UsageError(f"the baseline {name} cannot be measured: {reason}")
        else:
            chosen[name] = ""
    return chosen


def unmasked(text: str | None) -> dict[str, str]:
    """Return the dense sides without masks that were asked for, of `UNMASKED`, as `baselines` does; if none
    was, PyTorch, also in bfloat16 if the processor multiplies that, or NumPy if PyTorch is not installed.

    Raises
    ------
    UsageError
        If one is unknown or not installed.
    """
    if text is not None:
        return baselines(text, UNMASKED)
    if _missing("torch"):
        return {"numpy-dense": ""}
    return dict.fromkeys(("torch-dense", "torch-dense-bf16") if has_bfloat16() else ("torch-dense",), "")


def _names(known: Sequence[str]) -> str:
    return ", ".join(known) + " and all"


def _missing(name: str) -> str:
    """What a baseline needs that is not installed, and how to install it; empty if nothing."""
    library, _, rest = name.partition("-")
    for package in (library, rest) if library == "keras" else (library,):
        if not installed(package) and package != "numpy":
            how = {"torch": INSTALL_TORCH, "keras": _INSTALL_KERAS}.get(package, f"pip install {package}")
            return f"{package} is not installed; install it with: {how}"
    return ""


def _keras() -> list[str]:
    """Keras on TensorFlow and JAX, whichever is installed; on PyTorch if neither is."""
    there = [name for name in EPOCH if name.startswith("keras-") and not _missing(name)]
    if not there:
        reason = "it has neither TensorFlow nor JAX" if installed("keras") else "it is not installed"
        raise UsageError(
            f"the baseline keras cannot be measured: {reason}; install it with: {_INSTALL_KERAS}"
        )
    return [name for name in there if name != _SLOW] or there


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
