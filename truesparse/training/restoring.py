"""What a checkpoint says of the course of training, checked before training goes on with it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np

from truesparse.errors import TruesparseError, UsageError
from truesparse.settings import shown
from truesparse.training.checkpoint import Checkpoint
from truesparse.training.communicator import SERIAL, Communicator, counted
from truesparse.training.config import Config
from truesparse.training.state import TrainingState, part_generators
from truesparse.training.training import Training
from truesparse.version import __version__

_LARGEST = 1 << 62  # of a count


C = TypeVar("C", bound=Config)


def restored_config(saved: Checkpoint, kind: type[C]) -> C:
    """The configuration that a checkpoint was trained with, of a kind.

    Raises
    ------
    TruesparseError
        There is none, or not one that this version can go on with.
    """
    if not isinstance(saved.history, dict):
        raise _broken(saved, "its configuration is missing")
    unknown = sorted(saved.history.keys() - kind.fields().keys() - kind.UNUSED)
    try:
        if unknown:
            raise UsageError(f"its configuration has the unknown key {shown(unknown[0])}")
        return kind.from_dict(saved.history).filled()  # with settings that have come since
    except UsageError as error:
        writer = saved.version[:40] if isinstance(saved.version, str) else "of an unknown version"
        raise TruesparseError(
            f"{saved.path} was written by truesparse {writer}, and this one, {__version__}, cannot"
            f" resume it: {error}; use the one that wrote it, or start a new run"
        ) from None


def restored_state(saved: Checkpoint, chosen_by: Collection[str] = ()) -> TrainingState:
    """The counters of a checkpoint, whose best model has the measures `chosen_by`. Keys that nobody knows are
    ignored.

    Raises
    ------
    TruesparseError
        One is missing, of another type or out of range.
    """
    known = {field.name for field in fields(TrainingState)}
    given = {name: value for name, value in saved.training.items() if name in known}
    for name, right in _RIGHT.items():
        if name not in given:
            raise _broken(saved, f"{name} is missing")
        if not right(given[name]):
            raise _broken(saved, f"{name} is {str(given[name])[:40]}")
    state = TrainingState(**given)
    if state.step and not (state.tokens and state.step_seconds):
        raise _broken(saved, f"{state.step} steps took no tokens or no time")
    if not _is_count(saved.training.get("text_crc32")):
        raise _broken(saved, "text_crc32 is missing or is none")
    for name in chosen_by:
        if state.best is not None and name not in state.best:
            raise _broken(saved, f"best has no {name}")
    if (state.best is None) != (state.best_nnz is None):
        raise _broken(saved, "best and best_nnz do not fit each other")
    if not _is_count(state.stale):
        raise _broken(saved, f"stale is {str(state.stale)[:40]}")
    if not _is_sum(state.net_seconds):
        raise _broken(saved, f"net_seconds is {str(state.net_seconds)[:40]}")
    if not _is_changes(state.changed):
        raise _broken(saved, "changed has no pairs of counts")
    return state


def check_memory(saved: Checkpoint, training: Training) -> None:
    """Check that a checkpoint has all that an optimizer and a method remember; `training` is new.

    Raises
    ------
    TruesparseError
        Something is missing, of another type, shape or out of range.
    """
    lost = training.model.arena.states.keys() - saved.slots
    optimizer = _counters(saved, "optimizer")
    for name, value in training.optimizer.counters().items():
        right = _is_losses if isinstance(value, list) else _is_count
        if not right(optimizer.get(name)):
            raise _broken(saved, f"{name} of the optimizer is {str(optimizer.get(name, 'missing'))[:40]}")
    lost |= {*training.optimizer.later_states(optimizer)} - saved.slots
    if lost:
        raise _broken(saved, f"the optimizer's state {min(lost)} is missing")
    for name, value in _counters(saved, "evolution").items():
        if not _is_number(value):
            raise _broken(saved, f"{name[:40]} of the method is {str(value)[:40]}")
    for name, array in training.arrays().items():
        found = saved.evolution.get(name)
        if found is None or found.dtype != array.dtype or found.shape != array.shape:
            what = "missing" if found is None else f"{found.dtype} of shape {found.shape}"
            raise _broken(saved, f"{name} is {what}")


def generator_states(
    generators: Mapping[str, np.random.Generator], communicator: Communicator = SERIAL
) -> dict[str, Any]:
    """What a checkpoint has of the random generators: their states, and of several ranks what each one draws
    dropout from. The others are the same on all ranks."""
    states = {name: generator.bit_generator.state for name, generator in generators.items()}
    every = communicator.gather(states["dropout"])
    return {"generators": states, **({"dropout_of_ranks": every} if len(every) > 1 else {})}


def restore_generators(
    saved: Checkpoint, generators: Mapping[str, np.random.Generator], communicator: Communicator = SERIAL
) -> None:
    """Put random generators into the states that a checkpoint has; TruesparseError if it has none.

    If it is one of another number of ranks, a warning tells of it.
    """
    given, every = (saved.training.get(name) for name in ("generators", "dropout_of_ranks"))
    states = dict(given) if isinstance(given, dict) else {}
    every = every if isinstance(every, list) and every else [states.get("dropout")]
    if len(every) == communicator.size:
        states["dropout"] = every[communicator.rank]
    for name, generator in generators.items():
        try:
            generator.bit_generator.state = states[name]
        except (KeyError, TypeError, ValueError, OverflowError):
            raise _broken(saved, f"the state of the random generator {name} is missing or is none") from None
    if len(every) != communicator.size:
        part_generators(generators, communicator.rank)
        if communicator.rank == 0:
            warnings.warn(
                f"the run was trained on {counted(len(every))} and goes on with {counted(communicator.size)}:"
                " sums are taken in another order, and dropout draws others, so it does not end with the same"
                " bits",
                stacklevel=2,
            )


def _broken(saved: Checkpoint, what: str) -> TruesparseError:
    return TruesparseError(
        f"{saved.path} is no checkpoint to go on from: {what}; use another checkpoint, or start a new run"
    )


def _counters(saved: Checkpoint, name: str) -> dict[str, Any]:
    counters = saved.training.get(name, {})
    if not isinstance(counters, dict):
        raise _broken(saved, f"{name} is {str(counters)[:40]}")
    return counters


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < _LARGEST


def _is_number(value: object) -> bool:
    """Whether it is a number that is finite; floats without a fraction may have become integers."""
    return type(value) in (int, float) and abs(value) < 1e300  # type: ignore[arg-type]


def _is_sum(value: object) -> bool:
    return _is_number(value) and value >= 0  # type: ignore[operator]


def _is_losses(value: object) -> bool:
    return isinstance(value, list) and all(_is_number(loss) for loss in value)


def _is_changes(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(pair, list | tuple) and len(pair) == 2 and all(map(_is_count, pair))
        for pair in value.values()
    )


def _sums_of(*names: str) -> Callable[[object], bool]:
    return lambda value: (
        isinstance(value, dict) and value.keys() == {*names} and all(map(_is_sum, value.values()))
    )


def _is_best(value: object) -> bool:
    return value is None or (
        isinstance(value, dict) and "loss" in value and all(map(_is_number, value.values()))
    )


# Of what every version has written; what has a default may be missing.
_RIGHT: dict[str, Callable[[Any], bool]] = {
    "planned_steps": lambda value: _is_count(value) and value > 0,
    "lr": _is_sum,
    "step": _is_count,
    "settled": lambda value: type(value) is bool,
    "best": _is_best,
    "best_nnz": lambda value: value is None or _is_count(value),
    "records": _is_count,
    "tokens": _is_count,
    "seconds": _is_sum,
    "step_seconds": _is_sum,
    "update_seconds": _is_sum,
    "flops": _is_sum,
    "interval": _sums_of("loss", "weight", "tokens", "seconds"),
    "epoch": _sums_of("steps", "updates"),
}
