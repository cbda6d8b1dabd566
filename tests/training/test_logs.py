"""Reporters: your own, CSV files, TensorBoard."""

from __future__ import annotations

import csv
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from training_helpers import StopAt, records

import truesparse as ts
from truesparse.errors import TruesparseError, UsageError
from truesparse.tasks.run import resume_run, train_model
from truesparse.training.config import Config
from truesparse.training.loop import TrainingStopped
from truesparse.training.reporter import Reporters

IDS = np.random.default_rng(1).integers(3, size=700).cumsum() % 9
TRAIN, VALID = ts.Windows(IDS[:500], 4, 8), ts.Windows(IDS[500:], 3, 11)


def make() -> ts.Model:
    return ts.Chain(ts.Embedding(9, 6), ts.LSTM(7), ts.Dropout(0.1), ts.Softmax(9)).init(0.4, seed=2)


class Told(ts.Reporter):
    """Remembers what it is told, but for single steps."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.losses: list[float] = []
        for name in ("start", "train", "eval", "epoch", "end"):
            setattr(self, name, lambda what, name=name: self.calls.append((name, what)))

    def step(self, progress: ts.Progress) -> None:
        self.losses.append(progress.loss)
        assert progress.step == len(self.losses)

    def close(self) -> None:
        self.calls.append(("close", None))

    def of(self, kind: str) -> list[Any]:
        return [what for name, what in self.calls if name == kind]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_fit_tells_steps_and_epochs() -> None:
    told = Told()
    fitted = ts.fit(make(), TRAIN, ts.sgd(lr=1, lr_decay=2), epochs=3, valid=VALID, reporter=told)
    kinds = [name for name, _ in told.calls]
    assert kinds == ["start", *(["train", "eval", "epoch"] * 3), "end", "close"]
    assert [record["loss"] for record in told.of("train")] == fitted.losses
    assert [record["loss"] for record in told.of("eval")] == fitted.valid_losses
    assert [record["best"] for record in told.of("eval")] == [epoch.best for epoch in fitted.epochs]
    steps = len(TRAIN)
    assert [record["step"] for record in told.of("epoch")] == [steps, 2 * steps, 3 * steps]
    (info,) = told.of("start")
    assert (info.path, info.total_steps, info.steps_per_epoch) == (None, 3 * steps, steps)
    counted = [TRAIN.batch(0, k).counted for k in range(steps)]
    assert np.average(told.losses[:steps], weights=counted) == pytest.approx(fitted.losses[0])
    (end,) = told.of("end")
    assert (end["steps"], end["epochs"]) == (3 * steps, 3)


def test_it_is_closed_whatever_happens() -> None:
    class Enough(Told):
        def step(self, progress: ts.Progress) -> None:
            raise KeyError("enough")

    told, model = Enough(), make()
    with pytest.raises(KeyError):
        ts.fit(model, TRAIN, ts.sgd(lr=1), reporter=told)
    assert told.calls[-1] == ("close", None)
    ts.fit(model, TRAIN, ts.sgd(lr=1), epochs=1)  # which nobody else trains any more


def test_several_are_told_in_their_order() -> None:
    one, two, order = Told(), Told(), []
    one.compiled = lambda seconds: order.append(("one", seconds))  # type: ignore[method-assign]
    two.compiled = lambda seconds: order.append(("two", seconds))  # type: ignore[method-assign]
    Reporters([one, two]).compiled(3.0)
    assert order == [("one", 3.0), ("two", 3.0)]
    names = {name for name in vars(ts.Reporter) if not name.startswith("_")}
    assert names <= vars(Reporters([])).keys()


def test_a_csv_file_of_fit(tmp_path: Path) -> None:
    for name, valid in (("with.csv", VALID), ("without.csv", None)):
        log = ts.CsvLog(tmp_path / name)
        fitted = ts.fit(make(), TRAIN, ts.sgd(lr=1), epochs=3, valid=valid, reporter=log)
        written = rows(tmp_path / name)
        assert [float(row["train_loss"]) for row in written] == fitted.losses
        assert [float(row["epoch"]) for row in written] == [1, 2, 3]
        if valid is not None:
            assert [float(row["loss"]) for row in written] == fitted.valid_losses


def test_a_csv_file_of_a_run_that_goes_on(config: Config, tmp_path: Path) -> None:
    config, run = replace(config, log="csv", eval_interval=20), tmp_path / "run"
    stop = StopAt(59.5)  # within an evaluation
    with pytest.raises(TrainingStopped):
        train_model(config, run, stop, stop)
    assert [row["step"] for row in rows(run / "metrics.csv")] == ["20", "40"]
    with (run / "metrics.csv").open("a") as file:  # what a process wrote that was killed then
        file.write("60,1.2\n80,1.6\n")
    resume_run(run, {"max_steps": 100})
    written, told = rows(run / "metrics.csv"), records(run, "eval")
    assert (
        [int(row["step"]) for row in written] == [record["step"] for record in told] == [20, 40, 60, 80, 100]
    )
    assert [float(row["perplexity"]) for row in written] == [record["perplexity"] for record in told]
    assert {row["best"] for row in written} <= {"True", "False"}
    last = {record["step"]: record["loss"] for record in records(run, "train")}
    assert float(written[0]["train_loss"]) == last[14]


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Stands for tensorboardX, and remembers."""
    seen = SimpleNamespace(made=[], scalars=[], closed=0)

    class SummaryWriter:
        def __init__(self, folder: str, purge_step: int | None) -> None:
            seen.made.append((folder, purge_step))

        def add_scalar(self, tag: str, value: float, step: int) -> None:
            seen.scalars.append((tag, value, step))

        def flush(self) -> None:
            pass

        def close(self) -> None:
            seen.closed += 1

    module = ModuleType("tensorboardX")
    module.SummaryWriter = SummaryWriter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tensorboardX", module)
    return seen


def test_tensorboard_is_told(config: Config, tmp_path: Path, board: SimpleNamespace) -> None:
    config, run = replace(config, log="tensorboard, csv", max_steps=60), tmp_path / "run"
    train_model(replace(config, max_steps=20), run)
    resume_run(run, {"max_steps": 60})
    assert board.made == [(str(run / "tensorboard"), None), (str(run / "tensorboard"), 21)]
    assert board.closed == 2
    for kind, tag in (("eval", "valid"), ("train", "train"), ("epoch", "epoch")):
        for record in records(run, kind):
            assert (f"{tag}/lr", record["lr"], record["step"]) in board.scalars
    for record in records(run, "eval"):
        assert ("valid/perplexity", record["perplexity"], record["step"]) in board.scalars
        density = record["density"]["lstm.0.weight_hh"]
        assert ("density/lstm.0.weight_hh", density, record["step"]) in board.scalars
    assert (run / "metrics.csv").is_file()


def test_tensorboardx_itself(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    ts.fit(
        make(), TRAIN, ts.sgd(lr=1), epochs=1, valid=VALID, reporter=ts.TensorBoardLog(tmp_path / "events")
    )
    (events,) = (tmp_path / "events").iterdir()
    assert b"valid/loss" in events.read_bytes()


def test_what_cannot_be_told(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    run = tmp_path / "run"
    with pytest.raises(TruesparseError, match="tensorboardX is not installed; run pip install tensorboardX"):
        train_model(replace(config, log="tensorboard"), run)
    with pytest.raises(
        UsageError, match="log is 'cvs'; it must be csv or tensorboard, or several with commas"
    ):
        train_model(replace(config, log="cvs"), run)
    assert not run.exists()
    with pytest.raises(UsageError, match="CsvLog does not know where to write"):
        ts.fit(make(), TRAIN, ts.sgd(lr=1), reporter=ts.CsvLog())
    with pytest.raises(UsageError, match=r"reporter is of the type .*; it must be a truesparse\.Reporter"):
        ts.fit(make(), TRAIN, ts.sgd(lr=1), reporter=print)
    with pytest.raises(UsageError, match=r"reporter is the class CsvLog; it must be a truesparse\.Reporter"):
        ts.fit(make(), TRAIN, ts.sgd(lr=1), reporter=ts.CsvLog)
    with pytest.raises(TruesparseError, match=r"cannot write .*: Is a directory"):
        ts.fit(make(), TRAIN, ts.sgd(lr=1), reporter=ts.CsvLog(tmp_path))
