"""Training: what it reports, when the learning rate falls, which model is kept."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_helpers import OF_A_RUN
from training_helpers import records, tensors

from truesparse.errors import TruesparseError
from truesparse.model.loading import SavedModel, load_model
from truesparse.sparse import Arena
from truesparse.tasks import run as run_module
from truesparse.tasks.lm import task as language_modeling
from truesparse.tasks.run import resume_run, train_model
from truesparse.training import loop, state
from truesparse.training.communicator import SERIAL, Communicator
from truesparse.training.config import Config
from truesparse.training.reporter import Progress, Reporter
from truesparse.training.state import make_generators


def test_generators_are_independent_of_each_other_and_of_later_names(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {name: generator.random() for name, generator in make_generators(5).items()}
    assert len(set(before.values())) == len(before)
    monkeypatch.setattr(state, "GENERATORS", (*state.GENERATORS, "later"))
    after = {name: generator.random() for name, generator in make_generators(5).items()}
    assert {name: after[name] for name in before} == before


def test_ranks_try_threads_in_the_same_steps(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    class Two(Communicator):
        size = 2

    class Asked(Exception):
        pass

    def trial(on: bool, every: int) -> None:
        raise Asked(every)

    monkeypatch.setattr(loop, "ThreadTrial", trial)
    for communicator, every in ((SERIAL, 0), (Two(), 1600)):
        with pytest.raises(Asked) as asked:
            train_model(config, communicator=communicator)
        assert asked.value.args == (every,)


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
    assert results["valid_perplexity"] < 0.7 * results["valid_unigram_perplexity"]
    assert results["density"] == pytest.approx(0.3, abs=1e-3)
    measured = ["valid_perplexity", "test_perplexity", "unigram_perplexity", "valid_unigram_perplexity"]
    assert list(results) == [*measured, *OF_A_RUN]
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


def test_the_learning_rate_falls_along_half_a_cosine_whatever_the_loss(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([1.0, 2.0, 2.0, 2.0, 1.0, 2.0, 2.0, 1.0])
    monkeypatch.setattr(language_modeling, "evaluate", lambda *_: (next(losses), 10))
    changed = replace(config, epochs=4, lr=1.0, lr_decay=2.0, lr_schedule="cosine")
    train_model(changed, tmp_path / "run")
    resume_run(tmp_path / "run", {"epochs": 6})  # which leaves the plan as it was
    rates = [record["lr"] for record in records(tmp_path / "run", "eval")]
    planned = [(1 + math.cos(math.pi * part)) / 2 for part in (0, 1 / 4, 2 / 4, 3 / 4, 3 / 4, 3 / 4)]
    assert rates == pytest.approx(planned)


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
    def arenas() -> set[int]:
        return {id(thing) for thing in gc.get_objects() if type(thing) is Arena}

    def load(path: Path) -> SavedModel:
        assert arenas() <= of_others
        return load_model(path)

    gc.collect()
    of_others = arenas()  # which other tests keep
    monkeypatch.setattr(run_module, "load_model", load)
    train_model(replace(config, max_steps=2), tmp_path / "run")
    resume_run(tmp_path / "run", {})


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
