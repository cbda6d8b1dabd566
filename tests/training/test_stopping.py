"""Training that ends before its plan: by patience, or by the clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_helpers import StopAt, assert_same_end, records, tensors, without_times

import truesparse as ts
from truesparse.errors import TruesparseError, UsageError
from truesparse.tasks.lm import task as language_modeling
from truesparse.tasks.run import resume_run, train_model
from truesparse.training.config import Config
from truesparse.training.loop import TrainingStopped

LOSSES = (3.0, 2.0, 2.5, 2.2, 1.0, 1.5, 1.5, 1.5, 0.5)


@pytest.fixture
def short(config: Config) -> Config:
    """At most 100 steps, an evaluation and a change of the topology every 10."""
    return replace(config, epochs=2, eval_interval=10, update_interval=10)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Callable[[Iterable[float]], None]:
    """Let the validation losses be those that are given."""

    def set_losses(losses: Iterable[float]) -> None:
        left = iter(losses)

        def evaluate(model: Any, windows: Any, *rest: Any) -> tuple[float, int]:
            return (9.0, 10) if len(windows) == test else (next(left), 10)

        monkeypatch.setattr(language_modeling, "evaluate", evaluate)

    test = -1  # the results of the test text do not matter
    real = language_modeling.LanguageModeling.evaluate

    def of_part(self: Any, model: Any, part: str, *rest: Any) -> Any:
        nonlocal test
        test = len(self.windows[part]) if part == "test" else -1
        return real(self, model, part, *rest)

    monkeypatch.setattr(language_modeling.LanguageModeling, "evaluate", of_part)
    return set_losses


def test_it_ends_after_so_many_evaluations_without_a_new_best(
    short: Config, tmp_path: Path, measured: Any
) -> None:
    measured(LOSSES)
    results = train_model(replace(short, patience=2), tmp_path / "run")
    assert (results["steps"], results["ended_by"]) == (40, "patience")
    assert [record["best"] for record in records(tmp_path / "run", "eval")] == [True, True, False, False]
    fractions = [record["drop_fraction"] for record in records(tmp_path / "run", "rewire")]
    measured([*LOSSES, 0.4])  # of the plan of all epochs
    results = train_model(short, tmp_path / "whole")
    assert "ended_by" not in results
    assert fractions == [r["drop_fraction"] for r in records(tmp_path / "whole", "rewire")][:4]


def test_a_run_that_was_interrupted_is_as_patient(short: Config, tmp_path: Path, measured: Any) -> None:
    config = replace(short, patience=2)
    measured(LOSSES)
    whole = train_model(config, tmp_path / "whole")
    measured(LOSSES)
    stop = StopAt(32)  # when one evaluation has been no new best
    with pytest.raises(TrainingStopped):
        train_model(config, tmp_path / "parts", stop, stop)
    again = resume_run(tmp_path / "parts", {})
    assert_same_end(tmp_path / "whole", tmp_path / "parts")
    assert without_times([again]) == without_times([whole])


def test_more_patience_goes_on_to_the_same_bits(short: Config, tmp_path: Path, measured: Any) -> None:
    config = replace(short, patience=3)
    measured(LOSSES)
    assert train_model(config, tmp_path / "whole")["steps"] == 80
    measured(LOSSES)
    assert train_model(replace(config, patience=1), tmp_path / "parts")["steps"] == 30
    assert resume_run(tmp_path / "parts", {})["steps"] == 30
    assert resume_run(tmp_path / "parts", {"patience": 3})["steps"] == 80
    assert_same_end(tmp_path / "whole", tmp_path / "parts")


def test_patience_begins_when_all_weights_that_go_have_gone(
    config: Config, tmp_path: Path, measured: Any
) -> None:
    measured(range(1, 99))
    config = replace(config, method="gmp", update_interval=20, update_end=0.5, eval_interval=5, patience=2)
    results = train_model(config, tmp_path / "run")
    assert results["density"] == pytest.approx(0.3, abs=0.01)
    # the last update comes after step 60; the pruned model of step 65 is the best of its size
    assert results["steps"] == 75


def test_it_ends_with_time_and_goes_on_with_more(config: Config, tmp_path: Path) -> None:
    config = replace(config, max_minutes=1e-9, max_steps=60, optimizer="adam", lr=0.01)  # so that it learns
    run = tmp_path / "run"
    results = train_model(config, run)
    assert (results["steps"], results["ended_by"]) == (1, "max_minutes")
    assert [record["step"] for record in records(run, "eval")] == [1]
    assert resume_run(run, {"log_interval": 8})["steps"] == 1
    results = resume_run(run, {"max_minutes": 60.0})
    assert results["steps"] == 60
    assert "ended_by" not in results
    train_model(replace(config, max_minutes=None), tmp_path / "whole")
    mine, whole = (tensors(path / "model.safetensors") for path in (run, tmp_path / "whole"))
    assert mine == whole


def test_a_run_that_was_stopped_before_it_was_measured_is_measured_when_its_time_is_over(
    config: Config, tmp_path: Path
) -> None:
    stop, run = StopAt(3), tmp_path / "run"
    with pytest.raises(TrainingStopped):
        train_model(config, run, stop, stop)
    assert resume_run(run, {"max_minutes": 1e-9})["steps"] == 4


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"patience": 0}, "--patience is 0; it must be at least 1"),
        ({"patience": 2.5}, "--patience is 2.5; it must be a whole number"),
        ({"max_minutes": 0}, "--max-minutes is 0.0; it must be above 0"),
        ({"max_minutes": 5, "method": "gmp"}, "--max-minutes does not go with --method gmp, which has to"),
    ],
)
@pytest.mark.usefixtures("command")
def test_what_cannot_end_a_run(config: Config, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        replace(config, **changes)


IDS = np.random.default_rng(1).integers(3, size=700).cumsum() % 9
TRAIN = ts.Windows(IDS[:500], 4, 8)
OTHER = ts.Windows(np.random.default_rng(3).permutation(IDS), 3, 11)  # where what is learned does not help


def make() -> ts.Model:
    return ts.Chain(ts.Embedding(9, 6), ts.LSTM(7), ts.Dropout(0.1), ts.Softmax(9)).init(0.4, seed=2)


def test_fit_waits_for_a_better_loss_and_keeps_the_best_model() -> None:
    how = {"method": ts.method("st-rnn", update_interval=5), "epochs": 9, "valid": OTHER}
    patient, model = make(), make()
    whole = ts.fit(patient, TRAIN, ts.adam(lr=0.05, lr_decay=1), **how)
    fitted = ts.fit(model, TRAIN, ts.adam(lr=0.05, lr_decay=1), patience=2, **how)
    assert (fitted.ended_by, whole.ended_by) == ("patience", "")
    assert fitted.epochs == whole.epochs[: len(fitted.epochs)]
    assert len(fitted.epochs) == fitted.best.number + 2 < 9
    assert ts.evaluate(model, OTHER).loss == pytest.approx(fitted.best.valid_loss, rel=1e-6)


def test_fit_ends_with_its_time_within_an_epoch() -> None:
    model, by_hand = make(), make()
    fitted = ts.fit(
        model,
        TRAIN,
        ts.sgd(lr=1, clip=0),
        ts.method("st-rnn", update_interval=1),
        epochs=3,
        max_minutes=1e-9,
        seed=5,
    )
    assert fitted.ended_by == "max_minutes"
    rng = ts.training.state.make_generators(5)["dropout"]
    training = ts.Training(by_hand, ts.sgd(lr=1).build(by_hand.arena), rng=rng)
    assert fitted.losses == [training.step(TRAIN.batch(0, 0)).loss]
    # no connection is made that nobody trains
    assert model.arena.values.tobytes() == by_hand.arena.values.tobytes()


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ({"patience": 2}, "patience waits for a better validation loss; give valid"),
        ({"patience": 0, "valid": OTHER}, "patience is 0; it must be at least 1"),
        ({"max_minutes": 5, "method": "granet", "density": 0.2}, "the method granet has to know how many"),
    ],
)
def test_what_cannot_end_fit(told: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TruesparseError, match=sentence):
        ts.fit(make(), TRAIN, ts.sgd(lr=1), **told)
