"""How topologies change in training, method by method, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_helpers import StopAt, records, tensors

from truesparse.errors import UsageError
from truesparse.model.loading import load_model
from truesparse.tasks.lm import task as language_modeling
from truesparse.tasks.lm.settings import language_model_chain
from truesparse.tasks.run import resume_run, train_model
from truesparse.topology import erdos_renyi_epsilon_counts, initial_counts
from truesparse.training import checkpoint
from truesparse.training.config import Config
from truesparse.training.loop import TrainingStopped

pytestmark = pytest.mark.usefixtures("command")


def test_epochs_tell_what_they_cost(config: Config, tmp_path: Path) -> None:
    results = train_model(config, tmp_path / "run")
    epochs = records(tmp_path / "run", "epoch")
    assert [record["step"] for record in epochs] == [50, 100, 150]
    assert {record["nnz"] for record in epochs} == {results["nnz"]}
    for record in epochs[:2]:
        assert 0 < record["update_seconds"] < record["epoch_seconds"] < record["seconds"]
    assert epochs[2]["update_seconds"] == 0, "there is none after the last step"
    updates = sum(record["update_seconds"] for record in epochs)
    assert results["update_seconds"] == pytest.approx(updates)
    seconds = sum(record["epoch_seconds"] for record in epochs)
    assert results["seconds_per_epoch"] == pytest.approx(seconds / 3)
    assert [record["training_flops"] for record in epochs] == pytest.approx(
        [results["training_flops"] * k / 3 for k in (1, 2, 3)]
    )
    assert results["relative_flops"] == epochs[2]["relative_flops"] == pytest.approx(0.3, abs=0.01)


def test_flops_are_relative_to_the_dense_model_and_count_the_density_of_each_step(
    config: Config, tmp_path: Path
) -> None:
    def relative(**changes: Any) -> list[float]:
        run = tmp_path / changes["method"]
        train_model(replace(config, tied=True, layers=1, **changes), run)
        return [record["relative_flops"] for record in records(run, "epoch")]

    assert relative(method="dense", density=None) == [1.0, 1.0, 1.0]
    assert relative(method="small-dense") == pytest.approx([0.3] * 3, rel=0.1)
    densities = [1 - 0.7 * (1 - (1 - k / 50) ** 3) for k in range(50)] + [0.3] * 100  # at each step
    means = [sum(densities[:steps]) / steps for steps in (50, 100, 150)]
    pruned = relative(method="gmp", update_interval=1, update_end=1 / 3)
    assert pruned == pytest.approx(means, rel=0.01)
    assert relative(method="snfs") == pytest.approx([0.3 + 1 / 3] * 3, rel=0.01)
    grown = relative(method="rigl", update_interval=10, update_end=1 / 3)  # 5 times
    assert grown == pytest.approx([0.3 + 5 / steps / 3 for steps in (50, 100, 150)], rel=0.02)
    assert relative(method="snip", saliency_windows=5)[2] == pytest.approx(0.3 + 5 / 150, rel=0.01)


METHODS_AND_SETTINGS = [
    ("st-rnn", {}),
    ("selfish", {}),
    ("set", {}),
    ("dsr", {"update_interval": 20}),
    ("deepr", {}),
    ("gmp", {"update_interval": 20, "lr": 0.5}),
    ("granet", {"update_interval": 20}),
    ("rigl", {"update_interval": 20}),
    ("snfs", {}),
    ("snip", {}),
    ("static", {}),
    ("small-dense", {}),
    ("dense", {"density": None, "lr": 0.5}),  # at 1 a dense highway network learns, then climbs again
]


@pytest.mark.parametrize("cell", ["lstm", "gru", "rhn"])
@pytest.mark.parametrize(("method", "settings"), METHODS_AND_SETTINGS)
def test_every_method_learns(
    config: Config, tmp_path: Path, cell: str, method: str, settings: dict[str, Any]
) -> None:
    sizes = {"cell": cell, "layers": 1, "depth": 2 if cell == "rhn" else None, "hidden_size": 20}
    config = replace(config, dropout=0.0, epochs=4, method=method, **sizes, **{"lr": 1.0, **settings})
    results = train_model(config, tmp_path / "run")
    first, *_, last = records(tmp_path / "run", "train")
    assert last["loss"] < first["loss"] - 0.3
    assert results["valid_perplexity"] < results["valid_unigram_perplexity"]
    if method in ("dense", "small-dense"):
        assert results["density"] == 1
    else:
        assert results["density"] == pytest.approx(0.3, abs=1e-3)
    assert results["training_flops"] > 0


@pytest.mark.parametrize(
    ("method", "settings"), [case for case in METHODS_AND_SETTINGS if case[0] != "deepr"]
)
def test_every_method_but_one_learns_with_connections_of_units(
    config: Config, tmp_path: Path, method: str, settings: dict[str, Any]
) -> None:
    settings = {"lr": 1.0, "pattern": "unit", **settings}
    config = replace(config, layers=1, hidden_size=20, dropout=0.0, **settings)
    if method == "snip":  # leaves a recurrent matrix of 20 units nothing at a lower density
        config = replace(config, density=0.6)
    results = train_model(replace(config, method=method), tmp_path / "run")
    first, *_, last = records(tmp_path / "run", "train")
    assert last["loss"] < first["loss"] - 0.3
    if method not in ("dense", "small-dense"):
        assert results["density"] == pytest.approx(config.density, abs=4e-3)


def test_what_connections_of_units_do_not_go_with(config: Config, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match="--pattern unit does not go with --method deepr, which keeps the sign"
    ):
        replace(config, pattern="unit", method="deepr")
    with pytest.raises(UsageError, match="--output-group does not go with --method deepr"):
        replace(config, output_group=2, method="deepr")
    with pytest.raises(UsageError, match="--importance l2 is for connections of several weights"):
        replace(config, importance="l2")
    with pytest.raises(UsageError, match="a vocabulary of 41 cannot be cut into groups of 4"):
        train_model(replace(config, output_group=4), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_pruning_ends_at_the_density_asked_for_and_only_then_is_a_model_the_best(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([1.0, 2.0, 3.0, 2.5, 2.7, 1.0])
    evaluate: Callable[..., Any] = language_modeling.evaluate
    monkeypatch.setattr(
        language_modeling, "evaluate", lambda *given: evaluate(*given)._replace(loss=next(losses))
    )
    run = tmp_path / "run"
    pruning = {"method": "gmp", "update_interval": 20, "update_end": 0.5, "lr": 1.0, "lr_decay": 2.0}
    results = train_model(replace(config, epochs=5, distribution="erdos-renyi", **pruning), run)
    updates = records(run, "rewire")
    assert [record["step"] for record in updates] == [20, 40, 60, 80, 100, 120]
    assert [record["drop_fraction"] for record in updates] == pytest.approx(
        [1 - (1 - step / 120) ** 3 for step in (20, 40, 60, 80, 100, 120)]
    )
    assert all(sum(record["replaced"].values()) == 0 for record in updates)
    assert [record["best"] for record in records(run, "eval")] == [True, True, True, True, False]
    assert [record["lr"] for record in records(run, "eval")] == [1.0] * 5
    assert results["density"] == pytest.approx(0.3, abs=1e-3)
    assert math.log(results["valid_perplexity"]) == pytest.approx(2.5)
    spec = load_model(run / "model.safetensors").model
    counts = initial_counts(spec.chain.shapes, 0.3, "erdos-renyi")
    assert {name: matrix.nnz for name, matrix in spec.matrices.items()} == {
        n: c[0] for n, c in counts.items()
    }


def test_an_update_by_the_gradient_takes_the_place_of_a_step(config: Config, tmp_path: Path) -> None:
    run = tmp_path / "run"

    def weights() -> dict[tuple[str, int], float]:
        """By matrix and position; then biases."""
        model = checkpoint.load_checkpoint(run / "checkpoint.safetensors").model
        found = {(name, k): value for name, b in model.arena.biases.items() for k, value in enumerate(b)}
        for name, matrix in model.matrices.items():
            dense = np.full(matrix.shape, np.nan)
            rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
            dense[rows, matrix.indices] = matrix.data
            places = np.flatnonzero(~np.isnan(dense))
            found |= dict(zip([(name, int(k)) for k in places], dense.ravel()[places], strict=True))
        return found

    stop = StopAt(19)
    with pytest.raises(TrainingStopped):
        train_model(replace(config, method="rigl", update_interval=20), run, stop, stop)
    steps = [weights()]
    for step in (20, 21):
        stop = StopAt(step)
        with pytest.raises(TrainingStopped):
            resume_run(run, {}, stop, stop)
        steps.append(weights())
    (update,) = records(run, "rewire")
    assert update["step"] == 20
    assert update["replaced"] == update["dropped"]
    before, after, later = steps
    assert sum(before.get(place) != value for place, value in after.items()) <= sum(
        update["replaced"].values()
    )
    assert {after[place] for place in after.keys() - before.keys()} == {0.0}
    assert sum(later[place] != value for place, value in after.items()) > 0.9 * len(after)


def test_a_small_dense_model_has_as_many_weights(config: Config, tmp_path: Path) -> None:
    config = replace(config, hidden_size=40, max_steps=1)
    sparse = train_model(config, tmp_path / "sparse")
    small = train_model(replace(config, method="small-dense"), tmp_path / "small")
    assert small["nnz"] == pytest.approx(sparse["nnz"], rel=0.05)
    assert small["dense_parameters"] == small["nnz"]


@pytest.mark.parametrize("method", ["st-rnn", "gmp", "small-dense"])
@pytest.mark.parametrize("gates", ["fused", "separate"])
def test_epsilon_says_how_many_weights_there_are(
    config: Config, tmp_path: Path, method: str, gates: str
) -> None:
    by_epsilon = {"density": None, "er_epsilon": 3.0, "distribution": "erdos-renyi", "max_steps": 30}
    interval = 10 if method == "gmp" else None
    config = replace(config, method=method, gates=gates, update_interval=interval, **by_epsilon)
    results = train_model(config, tmp_path / "run")
    model = load_model(tmp_path / "run" / "model.safetensors").model
    shapes = language_model_chain(config, model.chain.tokens).shapes
    counts = erdos_renyi_epsilon_counts(shapes, 3.0, gates)
    if method == "small-dense":
        total = sum(count.sum() for count in counts.values())
        assert results["nnz"] == pytest.approx(total, rel=0.1)
        return
    for name, matrix in model.matrices.items():
        assert matrix.nnz == counts[name].sum()
        if gates == "separate":
            assert matrix.block_nnz().tolist() == counts[name].tolist()


def test_positions_that_were_ever_used_are_counted_if_asked_for(config: Config, tmp_path: Path) -> None:
    config = replace(config, update_interval=25, density=0.2, track_positions=True)
    results = train_model(config, tmp_path / "run")
    shares = [record["positions_used"] for record in records(tmp_path / "run", "train")]
    assert shares == sorted(shares)
    assert shares[0] == results["density"]
    assert 0.25 < shares[-1] < 0.7
    last = records(tmp_path / "run", "eval")[-1]
    model = checkpoint.load_checkpoint(tmp_path / "run" / "checkpoint.safetensors")
    shapes = {name: matrix.shape for name, matrix in model.model.matrices.items()}
    counts = {name: int(np.unpackbits(model.evolution[f"positions.{name}"]).sum()) for name in shapes}
    assert last["positions_used_per_matrix"] == {
        name: counts[name] / math.prod(shape) for name, shape in shapes.items()
    }
    total = sum(counts.values()) / sum(math.prod(shape) for shape in shapes.values())
    assert last["positions_used"] == results["positions_used"] == total
    static = train_model(
        replace(config, method="static", drop_fraction=None, update_interval=None), tmp_path / "static"
    )
    assert static["positions_used"] == static["density"]
    without = train_model(replace(config, track_positions=False), tmp_path / "without")
    assert "positions_used" not in without
    assert not any("positions_used" in record for record in records(tmp_path / "without"))
    assert without["test_perplexity"] == results["test_perplexity"]


def test_updates_at_every_step_are_recorded_in_sums(config: Config, tmp_path: Path) -> None:
    config = replace(config, method="deepr", l1=0.05, max_steps=30, log_interval=10)
    train_model(config, tmp_path / "run")
    updates = records(tmp_path / "run", "rewire")
    assert [record["step"] for record in updates] == [10, 20, 30], "the last one tells of steps 21 to 29"
    assert all(sum(record["replaced"].values()) > 10 for record in updates)
    last = tensors(tmp_path / "run" / "checkpoint.safetensors")
    signs = np.frombuffer(last["state.sign.output.weight"], np.float32)
    assert set(signs) == {-1.0, 1.0}
    assert not any(last["state.sign.output.bias"])


@pytest.mark.parametrize("method", ["static", "dense"])
def test_methods_without_updates(config: Config, tmp_path: Path, method: str) -> None:
    config = replace(config, method=method, density=None, max_steps=60)
    results = train_model(config, tmp_path / "run")
    assert records(tmp_path / "run", "rewire") == []
    assert (results["density"] == 1) is (method == "dense")
