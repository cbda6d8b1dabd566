"""Checkpoints that do not say all that it takes to go on, or something else."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_helpers import StopAt, assert_same_end

from truesparse.errors import TruesparseError
from truesparse.modelfile import container
from truesparse.tasks.run import resume_run, train_model
from truesparse.training.config import Config
from truesparse.training.loop import TrainingStopped

Tensors = dict[str, np.ndarray]


def stopped(config: Config, run: Path, step: float = 3) -> tuple[Tensors, dict[str, Any]]:
    """The checkpoint of a run that was stopped."""
    stop = StopAt(step)
    with pytest.raises(TrainingStopped):
        train_model(config, run, stop, stop)
    with container.Reader(run / "checkpoint.safetensors") as reader:
        return {name: reader.get(name) for name in reader.names}, reader.document


def check_refused(run: Path, tensors: Tensors, document: dict[str, Any], message: str) -> None:
    container.write(run / "checkpoint.safetensors", tensors, document)
    with pytest.raises(TruesparseError, match=f"is no checkpoint to go on from: {message}.*start a new run"):
        resume_run(run, {})


def test_what_training_says_is_checked(config: Config, tmp_path: Path) -> None:
    run = tmp_path / "run"
    tensors, document = stopped(replace(config, max_steps=60, eval_interval=2), run)
    changes: list[tuple[str, Any, str]] = [
        ("step", None, "step is None"),
        ("step", -1, "step is -1"),
        ("step", 2.5, "step is 2.5"),
        ("step", True, "step is True"),
        ("lr", -0.1, "lr is -0.1"),
        ("lr", "fast", "lr is fast"),
        ("lr", [], r"lr is \[\]"),
        ("planned_steps", 0, "planned_steps is 0"),
        ("planned_steps", 1 << 70, "planned_steps is 1180591620717411303424"),
        ("settled", 1, "settled is 1"),
        ("best", {"loss": "low"}, "best is {"),
        ("best", {"perplexity": 3.0}, "best is {"),
        ("best", [], r"best is \[\]"),
        ("best", None, "best and best_nnz do not fit"),
        ("best_nnz", -3, "best_nnz is -3"),
        ("records", -1, "records is -1"),
        ("tokens", 0, "3 steps took no tokens"),
        ("step_seconds", 0.0, "3 steps took no tokens or no time"),
        ("seconds", -1, "seconds is -1"),
        ("interval", {}, "interval is {}"),
        ("interval", None, "interval is None"),
        ("epoch", {"steps": 0.0, "updates": -1.0}, "epoch is {"),
        ("changed", {"lstm.0.weight_hh": [1]}, "changed has no pairs"),
        ("changed", [], "changed has no pairs"),
        ("text_crc32", None, "text_crc32 is missing"),
        ("generators", None, "the state of the random generator initial is missing"),
        ("generators", {}, "the state of the random generator initial is missing"),
        ("optimizer", 3, "optimizer is 3"),
        ("evolution", {"threshold": None}, "threshold of the method is None"),
    ]
    for key, value, message in changes:
        changed = document | {"training": document["training"] | {key: value}}
        check_refused(run, tensors, changed, message)
    for key in ("step", "lr", "planned_steps", "settled", "best", "records", "tokens", "interval"):
        training = {name: value for name, value in document["training"].items() if name != key}
        check_refused(run, tensors, document | {"training": training}, f"{key} is missing")
    broken = copy.deepcopy(document)
    broken["training"]["generators"]["topology"]["state"]["state"] = "?"
    check_refused(run, tensors, broken, "the state of the random generator topology is missing or is none")


def test_keys_that_nobody_knows_are_ignored(config: Config, tmp_path: Path) -> None:
    config = replace(config, max_steps=10)
    train_model(config, tmp_path / "whole")
    run = tmp_path / "run"
    tensors, document = stopped(config, run)
    with_more = {**document["training"], "colour": "red"}
    with_more["optimizer"] = {**with_more["optimizer"], "colour": 3}
    with_more["generators"] = {**with_more["generators"], "colour": {}}
    container.write(run / "checkpoint.safetensors", tensors, {**document, "training": with_more})
    resume_run(run, {})
    assert_same_end(tmp_path / "whole", run)


def lose_states(tensors: Tensors, document: dict[str, Any]) -> None:
    for name in [name for name in tensors if name.startswith("state.")]:
        del tensors[name]


def lose_ages(tensors: Tensors, document: dict[str, Any]) -> None:
    for name in [name for name in tensors if name.startswith("state.averaged_steps")]:
        del tensors[name]


def lose_counters(tensors: Tensors, document: dict[str, Any]) -> None:
    del document["training"]["optimizer"]


def miscount(tensors: Tensors, document: dict[str, Any]) -> None:
    counters = document["training"]["optimizer"]
    counters |= dict.fromkeys(counters, -2)


def lose_momentum(tensors: Tensors, document: dict[str, Any]) -> None:
    del tensors["method.output.weight"]


def cut_momentum(tensors: Tensors, document: dict[str, Any]) -> None:
    tensors["method.output.weight"] = tensors["method.output.weight"][:3].copy()


@pytest.mark.parametrize(
    ("changes", "damage", "message"),
    [
        ({"momentum": 0.9}, lose_states, "the optimizer's state momentum is missing"),
        ({"optimizer": "adam"}, lose_states, "the optimizer's state first_moment is missing"),
        ({"optimizer": "adam"}, lose_counters, "steps of the optimizer is missing"),
        ({"optimizer": "adam"}, miscount, "steps of the optimizer is -2"),
        ({"optimizer": "asgd"}, lose_states, "the optimizer's state average is missing"),
        ({"optimizer": "nt-asgd", "nonmonotone": 1}, lose_states, "the optimizer's state average is missing"),
        ({"optimizer": "nt-asgd", "nonmonotone": 1}, miscount, "averaged_steps of the optimizer is -2"),
        (
            {"optimizer": "snt-asgd", "nonmonotone": 1},
            lose_ages,
            "the optimizer's state averaged_steps is missing",
        ),
        ({"method": "deepr", "update_interval": None}, lose_states, "the optimizer's state (sign|momentum)"),
        ({"method": "snfs"}, lose_momentum, "method.output.weight is missing"),
        ({"method": "snfs"}, cut_momentum, "method.output.weight is float32 of shape"),
    ],
)
def test_what_is_remembered_must_be_there(
    config: Config,
    tmp_path: Path,
    changes: dict[str, Any],
    damage: Callable[[Tensors, dict[str, Any]], None],
    message: str,
) -> None:
    config = replace(config, eval_interval=1, max_steps=60)
    if "optimizer" in changes:
        changes = {"momentum": None, "lr": 20.0, **changes}  # so high that the loss stalls at once
    if changes.get("optimizer") == "adam":
        changes["lr"] = 0.01
    tensors, document = stopped(replace(config, **changes), tmp_path / "run", 8)
    damage(tensors, document)
    check_refused(tmp_path / "run", tensors, document, message)
