"""Runs that are interrupted and resumed: the bits are the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from training_helpers import StopAt, assert_same_end, records, tensors, without_times

from truesparse.errors import TruesparseError, UsageError
from truesparse.tasks.run import resume_run, train_model
from truesparse.training.config import Config
from truesparse.training.loop import TrainingStopped

pytestmark = pytest.mark.usefixtures("command")


def interrupted(config: Config, out: Path, *steps: float) -> dict[str, Any]:
    """Train, stopping at each of `steps` and going on."""
    first, *more = [StopAt(step) for step in steps]
    with pytest.raises(TrainingStopped, match=f"--resume {out}"):
        train_model(config, out, first, first)
    for stop in more:
        with pytest.raises(TrainingStopped):
            resume_run(out, {}, stop, stop)
    return resume_run(out, {})


@pytest.mark.parametrize(
    "steps",
    [
        (0,),  # before the first
        (20,),  # within an epoch
        (50,),  # at its end: before the evaluation
        (49.5,),  # within the evaluation
        (51, 52, 99.5, 120),
        (149.5,),  # within the last evaluation
    ],
)
def test_a_run_that_was_interrupted_ends_with_the_same_bits(
    config: Config, tmp_path: Path, steps: tuple[float, ...]
) -> None:
    results = train_model(config, tmp_path / "whole")
    again = interrupted(config, tmp_path / "parts", *steps)
    assert_same_end(tmp_path / "whole", tmp_path / "parts")
    assert without_times([again]) == without_times([results])


@pytest.mark.parametrize("steps", [(4,), (50,), (49.5, 52)])
def test_the_same_with_changes_of_the_topology_that_wait_for_a_record(
    config: Config, tmp_path: Path, steps: tuple[float, ...]
) -> None:
    config = replace(config, update_interval=3, max_steps=59)
    train_model(config, tmp_path / "whole")
    interrupted(config, tmp_path / "parts", *steps)
    assert_same_end(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize("method", ["dsr", "snfs"])
def test_the_same_with_weights_that_wait_for_a_connection(
    groups: Config, tmp_path: Path, method: str
) -> None:
    changes = {"method": method, "pattern": "unit", "output_group": 4, "density": 0.9}
    config = replace(groups, update_interval=3, drop_fraction=0.4, max_steps=45, **changes)
    train_model(config, tmp_path / "whole")
    interrupted(config, tmp_path / "parts", 13, 22, 31)
    assert_same_end(tmp_path / "whole", tmp_path / "parts")


def test_the_same_with_updates_and_evaluations_within_epochs(config: Config, tmp_path: Path) -> None:
    config = replace(config, update_interval=13, eval_interval=17, max_steps=70, lr_decay=2.0)
    train_model(config, tmp_path / "whole")
    interrupted(config, tmp_path / "parts", 12, 13, 25.5, 40)
    assert_same_end(tmp_path / "whole", tmp_path / "parts")
    assert [record["step"] for record in records(tmp_path / "whole", "eval")] == [17, 34, 51, 68, 70]
    assert [record["step"] for record in records(tmp_path / "whole", "rewire")] == [13, 26, 39, 52, 65]


@pytest.mark.parametrize(
    "changes",
    [
        {"momentum": 0.0, "clip": 0.0, "weight_decay": 1e-4},
        {"tied": True, "layers": 1, "level": "char"},
        {"embedding_size": 5, "distribution": "erdos-renyi", "gates": "separate", "clip": 0.01},
        {"method": "dense", "density": None, "update_interval": None},
        {"method": "selfish", "update_interval": 7},
        {"method": "set"},
        {"method": "dsr", "update_interval": 5, "drop_fraction": 0.3},
        {"method": "deepr", "update_interval": None, "l1": 0.01, "noise": 0.01},
        {"method": "gmp", "update_interval": 10},
        {"method": "granet", "update_interval": 10, "initial_density": 0.6},
        {"method": "rigl", "update_interval": 5, "eval_interval": 10},
        {"method": "rigl", "cell": "rhn", "depth": 2, "tied": True, "layers": 1, "gates": "separate"},
        {"method": "snfs", "update_interval": 7, "clip": 0.1},
        {"method": "snfs", "cell": "rhn", "depth": 2, "optimizer": "adam", "tied": True},
        {"method": "snip", "update_interval": None},
        {"method": "set", "update_interval": 10, "track_positions": True},
        {"method": "iss", "update_interval": 10, "group_lasso": 0.001, "density": 0.5},
        {"redistribute": "momentum", "update_interval": 7},
        {"method": "cht", "update_interval": 7, "gates": "separate"},
        {"method": "cht", "update_interval": 7, "pattern": "unit", "cell": "gru", "redistribute": "momentum"},
        {"method": "rigl", "redistribute": "momentum", "optimizer": "adam", "update_interval": 7},
        {"pattern": "unit", "output_group": 41, "redistribute": "momentum", "update_interval": 7},
        {"method": "small-dense", "update_interval": None},
        {"method": "st-rnn", "gates": "separate", "cell": "rhn", "depth": 2, "optimizer": "snt-asgd"},
        {"batch_size": 7, "bptt": 5},
        {"optimizer": "adam", "weight_decay": 1e-4, "decoupled_decay": True},
        {"optimizer": "adam", "regrowth_warmup": 20, "lr_density_exponent": 0.5, "update_interval": 7},
        {"optimizer": "asgd", "lr": 5.0},
        {"optimizer": "nt-asgd", "nonmonotone": 1, "eval_interval": 5, "lr": 30.0},
        {"optimizer": "snt-asgd", "nonmonotone": 1, "eval_interval": 5, "lr": 30.0},
        {"cell": "rhn", "depth": 2, "layers": 1, "tied": True, "dropout_hidden": 0.3},
        {"cell": "gru", "update_interval": 7, "dropout": 0.2},
        {"cell": "gru", "method": "rigl", "gates": "separate", "update_interval": 5},
        {"cell": "gru", "method": "snfs", "reset_gate": "before", "optimizer": "adam"},
        {"cell": "gru", "method": "rigl", "pattern": "unit", "reset_gate": "before", "update_interval": 5},
        {"cell": "on-lstm", "chunk_size": 2, "pattern": "unit", "method": "rigl", "optimizer": "adam"},
        {"head": "mos", "experts": 3, "tied": True, "method": "snfs", "optimizer": "snt-asgd", "lr": 5.0},
        {"pattern": "unit", "update_interval": 7},
        {"pattern": "unit", "output_group": 41, "method": "snfs", "importance": "l2"},  # words in one group
        {"pattern": "unit", "cell": "rhn", "depth": 2, "method": "dsr", "drop_fraction": 0.3},
    ],
)
def test_the_same_for_other_models(config: Config, tmp_path: Path, changes: dict[str, Any]) -> None:
    config = replace(config, **{"max_steps": 60, "eval_interval": 25, "update_interval": 25, **changes})
    train_model(config, tmp_path / "whole")
    interrupted(config, tmp_path / "parts", 10, 25, 40)
    assert_same_end(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"method": "set", "gates": "separate"},
        {"method": "dsr", "update_interval": 20},
        {"method": "deepr", "noise": 0.01},
        {"method": "gmp", "update_interval": 20},
        {"pattern": "unit", "method": "rigl", "update_interval": 20, "importance": "max"},
    ],
)
def test_the_number_of_threads_does_not_change_the_bits(
    config: Config, tmp_path: Path, changes: dict[str, Any]
) -> None:
    config = replace(config, **changes)
    train_model(replace(config, threads=1), tmp_path / "one")
    train_model(replace(config, threads=2), tmp_path / "two")
    assert_same_end(tmp_path / "one", tmp_path / "two")


def test_the_seed_decides(config: Config, tmp_path: Path) -> None:
    train_model(replace(config, max_steps=1), tmp_path / "one")
    train_model(replace(config, max_steps=1, seed=2), tmp_path / "two")
    one, two = (
        tensors(tmp_path / "one" / "model.safetensors"),
        tensors(tmp_path / "two" / "model.safetensors"),
    )
    assert one["lstm.0.weight_hh.indices"] != two["lstm.0.weight_hh.indices"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"method": "set"}, "--method is 'set' but was 'st-rnn' when the run began, and that cannot change"),
        ({"optimizer": "adam"}, "--optimizer is 'adam' but was 'sgd' when the run began"),
        ({"beta1": 0.5}, "--beta1 is 0.5 but was not set when the run began"),
        ({"pattern": "unit"}, "--pattern is 'unit' but was 'weight' when the run began, and that cannot"),
    ],
)
def test_a_run_goes_on_as_it_began(
    config: Config, tmp_path: Path, flags: dict[str, Any], message: str
) -> None:
    train_model(replace(config, max_steps=1), tmp_path / "run")
    with pytest.raises(UsageError, match=message):
        resume_run(tmp_path / "run", flags)


@pytest.mark.parametrize("name", ["method", "optimizer"])
def test_a_checkpoint_of_another_method_or_optimizer_is_refused(
    config: Config, tmp_path: Path, name: str
) -> None:
    other = {"method": "set", "optimizer": "asgd"}[name]
    train_model(replace(config, max_steps=1), tmp_path / "run")
    train_model(replace(config, max_steps=1, **{name: other}), tmp_path / "other")
    (tmp_path / "other" / "checkpoint.safetensors").rename(tmp_path / "run" / "checkpoint.safetensors")
    with pytest.raises(TruesparseError, match=f"is of another model: its {name} is '{other}', but config"):
        resume_run(tmp_path / "run", {})


@pytest.mark.parametrize("stopped", [False, True])
def test_a_longer_run_keeps_the_first_plan(config: Config, tmp_path: Path, stopped: bool) -> None:
    run = tmp_path / "run"
    if stopped:  # within the last evaluation, after which an update would be due if this were not the end
        stop = StopAt(149.5)
        with pytest.raises(TrainingStopped):
            train_model(config, run, stop, stop)
    else:
        train_model(config, run)
    results = resume_run(run, {"epochs": 5})
    assert results["steps"] == 250
    assert [record["step"] for record in records(run, "rewire")] == [50, 100]
    assert [record["step"] for record in records(run, "eval")] == [50, 100, 150, 200, 250]
    assert "epochs = 5\n" in (run / "config.toml").read_text()
    assert len(records(run, "end")) == 1


def test_resuming_a_run_that_has_ended_gives_its_results_again(config: Config, tmp_path: Path) -> None:
    results = train_model(config, tmp_path / "run")
    again = resume_run(tmp_path / "run", {})
    assert without_times([again]) == without_times([results])
    assert len(records(tmp_path / "run", "end")) == 1


def test_what_may_change_and_what_may_not(config: Config, tmp_path: Path, text_file: Path) -> None:
    run = tmp_path / "run"
    train_model(replace(config, max_steps=5), run)
    moved = text_file.rename(tmp_path / "moved.txt")
    with pytest.raises(UsageError, match="there is no file"):
        resume_run(run, {})
    resume_run(run, {"data": str(moved), "max_steps": 9, "threads": 1, "log_interval": 3})
    with pytest.raises(UsageError, match=r"--density is 0\.5 but was 0\.3"):
        resume_run(run, {"density": 0.5})
    with pytest.raises(UsageError, match="--optimizer is 'adam' but was 'sgd'"):
        resume_run(run, {"optimizer": "adam"})
    with pytest.raises(UsageError, match="--method is 'static' but was 'st-rnn'"):
        resume_run(run, {"method": "static"})
    moved.write_text(moved.read_text().replace("w3", "w4"))
    with pytest.raises(TruesparseError, match="the text is not the one"):
        resume_run(run, {})


def test_the_checkpoint_of_another_run_is_refused(config: Config, tmp_path: Path) -> None:
    train_model(replace(config, max_steps=2), tmp_path / "one")
    train_model(replace(config, max_steps=2, hidden_size=8), tmp_path / "two")
    (tmp_path / "two" / "checkpoint.safetensors").replace(tmp_path / "one" / "checkpoint.safetensors")
    with pytest.raises(TruesparseError, match="is of another model: its hidden_size is 8"):
        resume_run(tmp_path / "one", {})
    train_model(replace(config, max_steps=2, pattern="unit"), tmp_path / "three")
    (tmp_path / "three" / "checkpoint.safetensors").replace(tmp_path / "one" / "checkpoint.safetensors")
    with pytest.raises(TruesparseError, match="is of another model: its pattern is 'unit'"):
        resume_run(tmp_path / "one", {})


def test_folders_that_cannot_be_resumed(config: Config, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not the folder of a run"):
        resume_run(tmp_path, {})
    train_model(replace(config, max_steps=2), tmp_path / "run")
    (tmp_path / "run" / "checkpoint.safetensors").unlink()
    with pytest.raises(UsageError, match=r"no checkpoint.safetensors"):
        resume_run(tmp_path / "run", {})


def test_a_run_cannot_be_made_shorter_than_it_is(config: Config, tmp_path: Path) -> None:
    train_model(replace(config, max_steps=5), tmp_path / "run")
    with pytest.raises(UsageError, match="has done 5 steps, more than the 3 that"):
        resume_run(tmp_path / "run", {"max_steps": 3})
    assert "max_steps = 5\n" in (tmp_path / "run" / "config.toml").read_text()
