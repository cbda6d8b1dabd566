from __future__ import annotations

import gc
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_helpers import StopAt, assert_same_end, records, tensors, without_times

from truesparse.errors import TruesparseError, UsageError
from truesparse.nn import LanguageModel
from truesparse.sparse import Arena
from truesparse.topology import erdos_renyi_epsilon_counts, initial_counts
from truesparse.training import checkpoint, language_modeling, loop, state
from truesparse.training import run as run_module
from truesparse.training.config import Config
from truesparse.training.language_modeling import language_model_spec
from truesparse.training.loop import TrainingStopped
from truesparse.training.reporter import Progress, Reporter
from truesparse.training.run import resume_run, train_model
from truesparse.training.state import make_generators


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
        {"method": "rigl", "update_interval": 5, "eval_interval": 10},
        {"method": "rigl", "cell": "rhn", "depth": 2, "tied": True, "layers": 1, "gates": "separate"},
        {"method": "snfs", "update_interval": 7, "clip": 0.1},
        {"method": "snfs", "cell": "rhn", "depth": 2, "optimizer": "adam", "tied": True},
        {"method": "snip", "update_interval": None},
        {"method": "set", "update_interval": 10, "track_positions": True},
        {"method": "small-dense", "update_interval": None},
        {"method": "st-rnn", "gates": "separate", "cell": "rhn", "depth": 2, "optimizer": "snt-asgd"},
        {"batch_size": 7, "bptt": 3},
        {"optimizer": "adam", "weight_decay": 1e-4, "decoupled_decay": True},
        {"optimizer": "asgd", "lr": 5.0},
        {"optimizer": "nt-asgd", "nonmonotone": 1, "eval_interval": 5, "lr": 30.0},
        {"optimizer": "snt-asgd", "nonmonotone": 1, "eval_interval": 5, "lr": 30.0},
        {"cell": "rhn", "depth": 3, "layers": 1, "tied": True, "dropout_hidden": 0.3},
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


def test_generators_are_independent_of_each_other_and_of_later_names(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {name: generator.random() for name, generator in make_generators(5).items()}
    assert len(set(before.values())) == len(before)
    monkeypatch.setattr(state, "GENERATORS", (*state.GENERATORS, "later"))
    after = {name: generator.random() for name, generator in make_generators(5).items()}
    assert {name: after[name] for name in before} == before


def test_it_learns_and_reports(config: Config, tmp_path: Path) -> None:
    class Counts(Reporter):
        steps = 0

        def step(self, progress: Progress) -> None:
            self.steps += 1

    config = replace(config, dropout=0.0, epochs=6, optimizer="adam", lr=0.02)  # sgd fails with some seeds
    counts = Counts()
    results = train_model(config, tmp_path / "run", counts)
    assert counts.steps == results["steps"] == 300
    assert results["epochs"] == 6
    assert results["valid_perplexity"] < 0.7 * results["unigram_perplexity"]
    assert results["density"] == pytest.approx(0.3, abs=1e-3)
    assert list(results) == [
        "valid_perplexity",
        "test_perplexity",
        "unigram_perplexity",
        "steps",
        "epochs",
        "nnz",
        "dense_parameters",
        "density",
        "training_flops",
        "relative_flops",
        "tokens_per_second",
        "seconds_per_epoch",
        "update_seconds",
        "seconds",
        "peak_memory_bytes",
        "run_dir",
    ]
    evaluations = records(tmp_path / "run", "eval")
    assert [record["step"] for record in evaluations] == [50, 100, 150, 200, 250, 300]
    assert min(record["perplexity"] for record in evaluations) == results["valid_perplexity"]
    for record in records(tmp_path / "run", "train"):
        assert record["perplexity"] == math.exp(record["loss"])
        assert set(record["density"]) == {
            "embedding.weight",
            "lstm.0.weight_ih",
            "lstm.0.weight_hh",
            "lstm.1.weight_ih",
            "lstm.1.weight_hh",
            "output.weight",
        }
        gates = record["density_per_gate"]["lstm.0.weight_hh"]
        assert np.mean(gates) == pytest.approx(record["density"]["lstm.0.weight_hh"])


def test_drop_fractions_follow_a_cosine_and_the_last_epoch_ends_without_update(
    config: Config, tmp_path: Path
) -> None:
    train_model(replace(config, drop_fraction=0.8), tmp_path / "run")
    updates = records(tmp_path / "run", "rewire")
    assert [record["step"] for record in updates] == [50, 100]
    assert [record["drop_fraction"] for record in updates] == pytest.approx([0.6, 0.2])
    for record in updates:
        assert all(count > 0 for count in record["replaced"].values())


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
    ("rigl", {"update_interval": 20}),
    ("snfs", {}),
    ("snip", {}),
    ("static", {}),
    ("small-dense", {}),
    ("dense", {"density": None, "lr": 0.5}),  # at 1 a dense highway network learns, then climbs again
]


@pytest.mark.parametrize("cell", ["lstm", "rhn"])
@pytest.mark.parametrize(("method", "settings"), METHODS_AND_SETTINGS)
def test_every_method_learns(
    config: Config, tmp_path: Path, cell: str, method: str, settings: dict[str, Any]
) -> None:
    sizes = {"cell": cell, "layers": 1, "depth": 2 if cell == "rhn" else None, "hidden_size": 20}
    config = replace(config, dropout=0.0, epochs=4, method=method, **sizes, **{"lr": 1.0, **settings})
    results = train_model(config, tmp_path / "run")
    first, *_, last = records(tmp_path / "run", "train")
    assert last["loss"] < first["loss"] - 0.3
    assert results["valid_perplexity"] < results["unigram_perplexity"]
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
    spec = checkpoint.load_model(run / "model.safetensors").model
    counts = initial_counts(spec.spec.shapes, 0.3, "erdos-renyi")
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
    model = checkpoint.load_model(tmp_path / "run" / "model.safetensors").model
    counts = erdos_renyi_epsilon_counts(language_model_spec(config, model.spec.vocab_size).shapes, 3.0, gates)
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
    assert [record["step"] for record in updates] == [10, 20]
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


def test_the_learning_rate_falls_when_the_loss_is_no_new_best(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([3.0, 2.0, 2.0, 2.5, 1.0, 1.0])  # the last is the test text's
    monkeypatch.setattr(language_modeling, "evaluate", lambda *_: (next(losses), 10))
    train_model(replace(config, epochs=5, lr=1.0, lr_decay=2.0), tmp_path / "run")
    assert [record["best"] for record in records(tmp_path / "run", "eval")] == [
        True,
        True,
        False,
        False,
        True,
    ]
    rates = {record["step"]: record["lr"] for record in records(tmp_path / "run", "train")}
    assert (rates[147], rates[154], rates[203], rates[245]) == (1.0, 0.5, 0.25, 0.25)


def test_the_learning_rate_falls_every_epoch_from_the_one_that_was_asked_for(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([5.0, 4.0, 3.0, 2.0, 1.0, 1.0])
    monkeypatch.setattr(language_modeling, "evaluate", lambda *_: (next(losses), 10))
    changed = replace(config, epochs=5, lr=1.0, lr_decay=2.0, lr_decay_start=3)
    train_model(changed, tmp_path / "run")
    assert [record["lr"] for record in records(tmp_path / "run", "eval")] == [1.0, 1.0, 1.0, 0.5, 0.25]


def test_it_falls_at_the_end_of_an_epoch_even_if_nothing_is_evaluated_there(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([5.0, 4.0, 3.0, 2.0, 1.0])
    monkeypatch.setattr(language_modeling, "evaluate", lambda *_: (next(losses), 10))
    changed = replace(config, lr=1.0, lr_decay=2.0, lr_decay_start=1, eval_interval=40)
    train_model(changed, tmp_path / "run")
    assert [record["lr"] for record in records(tmp_path / "run", "eval")] == [1.0, 0.5, 0.25, 0.25]


def test_a_short_run_has_a_training_loss(config: Config, tmp_path: Path) -> None:
    train_model(replace(config, max_steps=10, log_interval=7), tmp_path / "run")
    assert [record["step"] for record in records(tmp_path / "run", "train")] == [7, 10]


@pytest.mark.parametrize("optimizer", ["nt-asgd", "snt-asgd"])
def test_averaging_begins_when_the_loss_stalls_and_the_best_model_is_an_average(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    losses = iter([3.0, 2.0, 4.0, 1.5, 1.0])
    evaluate: Callable[..., Any] = language_modeling.evaluate
    monkeypatch.setattr(
        language_modeling, "evaluate", lambda *given: evaluate(*given)._replace(loss=next(losses))
    )
    run = tmp_path / "run"
    changes = {"optimizer": optimizer, "nonmonotone": 1, "lr": 1.0, "lr_decay": 2.0}
    train_model(replace(config, epochs=4, **changes), run)
    evaluations = records(run, "eval")
    assert [record["averaged"] for record in evaluations] == [False, False, False, True]
    assert [record["lr"] for record in evaluations] == [1.0] * 4, "it does not fall when averaging begins"
    saved, last = tensors(run / "model.safetensors"), tensors(run / "checkpoint.safetensors")
    assert saved["output.bias"] == last["state.average.output.bias"] != last["output.bias"]
    where = "lstm.0.weight_hh"
    assert saved[f"{where}.data"] == last[f"state.average.{where}"]
    if optimizer == "snt-asgd":
        ages = np.frombuffer(last[f"state.averaged_steps.{where}"], np.float32)
        assert set(ages) == {50.0}, "averaging began after the last topology update"


def test_the_tested_model_is_the_best_one(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_model(replace(config, epochs=1), tmp_path / "one")
    best = tensors(tmp_path / "one" / "model.safetensors")
    evaluate: Callable[..., Any] = language_modeling.evaluate
    losses = iter([1.0, 2.0, 3.0, 1.0])  # the last is the test text's
    monkeypatch.setattr(
        language_modeling, "evaluate", lambda *given: evaluate(*given)._replace(loss=next(losses))
    )
    train_model(config, tmp_path / "three")
    kept = tensors(tmp_path / "three" / "model.safetensors")
    assert {name for name in kept if kept[name] != best[name]} == set()


def test_the_trained_model_is_freed_before_the_best_one_is_loaded(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(path: Path) -> checkpoint.SavedModel:
        assert not [thing for thing in gc.get_objects() if type(thing) is Arena]
        return checkpoint.load_model(path)

    gc.collect()
    monkeypatch.setattr(run_module, "load_model", load)
    train_model(replace(config, max_steps=2), tmp_path / "run")
    resume_run(tmp_path / "run", {})


def test_a_longer_run_keeps_the_first_plan(config: Config, tmp_path: Path) -> None:
    run = tmp_path / "run"
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


def test_a_run_that_lost_its_best_model_is_refused_before_it_trains(config: Config, tmp_path: Path) -> None:
    train_model(replace(config, max_steps=2), tmp_path / "run")
    (tmp_path / "run" / "model.safetensors").unlink()
    with pytest.raises(TruesparseError, match=r"has no model.safetensors, the best model"):
        resume_run(tmp_path / "run", {"max_steps": 9})


def test_a_run_cannot_be_made_shorter_than_it_is(config: Config, tmp_path: Path) -> None:
    train_model(replace(config, max_steps=5), tmp_path / "run")
    with pytest.raises(UsageError, match="has done 5 steps, more than the 3 that"):
        resume_run(tmp_path / "run", {"max_steps": 3})
    assert "max_steps = 5\n" in (tmp_path / "run" / "config.toml").read_text()


def test_a_learning_rate_that_is_far_too_high(config: Config, tmp_path: Path) -> None:
    with pytest.raises(TruesparseError, match=r"at step \d+; try a lower --lr \(it is 1e\+38\) or a --clip"):
        train_model(replace(config, lr=1e38, clip=0.0), tmp_path / "run")


@pytest.mark.parametrize("name", ["forward", "evaluate"])
def test_a_loss_that_is_not_finite_keeps_the_last_checkpoint(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    run = tmp_path / "run"
    right = getattr(LanguageModel, name)

    def wrong(*given: Any) -> float:
        loss = right(*given)
        return math.nan if (run / "checkpoint.safetensors").exists() else loss

    with monkeypatch.context() as patch:
        patch.setattr(LanguageModel, name, wrong)
        with pytest.raises(TruesparseError, match=r"is nan at step \d+; try a lower --lr"):
            train_model(config, run)
    train_model(config, tmp_path / "whole")
    resume_run(run, {})
    assert_same_end(run, tmp_path / "whole")


def test_a_disk_that_fills_up_keeps_the_last_checkpoint(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import safetensors.numpy

    run = tmp_path / "run"
    save = safetensors.numpy.save_file

    def fail(*given: Any) -> None:
        if (run / "checkpoint.safetensors").exists():
            raise safetensors.SafetensorError("I/O error: No space left on device (os error 28)")
        save(*given)

    with monkeypatch.context() as patch:
        patch.setattr(safetensors.numpy, "save_file", fail)
        with pytest.raises(TruesparseError, match=r"cannot save .*: No space left on device; make room"):
            train_model(config, run)
    train_model(config, tmp_path / "whole")
    resume_run(run, {})
    assert_same_end(run, tmp_path / "whole")


def test_checkpoints_are_also_written_by_the_clock(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Count(Reporter):
        written = 0

        def checkpoint(self, path: Path) -> None:
            self.written += 1

    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    count = Count()
    train_model(replace(config, max_steps=5), tmp_path / "run", count)
    assert count.written == 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 1000}, "training text"),
        ({"batch_size": 11}, "validation text"),
        ({"density": 1e-4}, "density"),
        ({"density": 1e-4, "method": "gmp", "update_interval": 9}, "density 0.0001 leaves"),
        ({"density": 1e-3, "method": "snip"}, "leaves .* without a weight, because others matter more"),
        ({"density": 1e-4, "method": "small-dense"}, "use a higher density"),
        ({"method": "gmp", "max_steps": 50}, "needs an update before its run of 50 steps ends"),
    ],
)
def test_what_cannot_work_leaves_no_folder(
    config: Config, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(TruesparseError, match=message):
        train_model(replace(config, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()
