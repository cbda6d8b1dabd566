"""Runs that are killed, or end early: nothing is lost."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from training_helpers import assert_same_end, records, without_times

from truesparse.errors import TruesparseError
from truesparse.model import Model
from truesparse.modelfile import container
from truesparse.tasks.run import resume_run, train_model
from truesparse.training import loop
from truesparse.training.config import Config
from truesparse.training.reporter import Progress, Reporter

pytestmark = pytest.mark.usefixtures("command")


class Killed(Reporter):
    """Ends a run as a kill does: nothing more is written."""

    def __init__(self, step: int) -> None:
        self._step = step

    def step(self, progress: Progress) -> None:
        if progress.step == self._step:
            raise SystemExit


@pytest.mark.parametrize("step", [1, 20, 50])
def test_a_run_that_was_killed_before_its_first_checkpoint_begins_again(
    config: Config, tmp_path: Path, step: int
) -> None:
    run = tmp_path / "run"
    with pytest.raises(SystemExit):
        train_model(config, run, Killed(step))
    assert not (run / "checkpoint.safetensors").exists()
    check_it_goes_on(config, run)


def test_a_run_that_was_killed_after_its_first_evaluation_begins_again(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any, **__: Any) -> None:
        raise SystemExit

    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(loop.checkpoint, "save_checkpoint", killed)
        with pytest.raises(SystemExit):
            train_model(config, run)
    assert records(run, "eval")
    check_it_goes_on(config, run)


def test_metrics_that_somebody_cut_are_counted_from_what_is_there(config: Config, tmp_path: Path) -> None:
    config = replace(config, eval_interval=25)
    run, metrics = tmp_path / "run", tmp_path / "run" / "metrics.jsonl"
    for path in (tmp_path / "other", run):
        train_model(replace(config, max_steps=60), path)
    metrics.write_text("".join(metrics.read_text().splitlines(keepends=True)[:5]))
    with pytest.raises(SystemExit):  # before its next checkpoint
        resume_run(run, {"max_steps": 100}, Killed(74))
    for path in (tmp_path / "other", run):
        for steps in (100, 150):
            resume_run(path, {"max_steps": steps})
    whole = without_times(records(tmp_path / "other"))
    expected = whole[:5] + [record for record in whole if record.get("step", 99) > 60]
    assert without_times(records(run)) == expected
    assert len(records(run, "end")) == 1


def test_records_are_on_the_disk_before_the_checkpoint_that_counts_them(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = tmp_path / "run" / "metrics.jsonl"
    safe = {"size": 0}
    synchronise, save = os.fsync, loop.checkpoint.save_checkpoint

    def fsync(handle: int) -> None:
        synchronise(handle)
        if os.path.sameopenfile(handle, file.fileno()):
            safe["size"] = os.fstat(handle).st_size

    saved = []

    def save_checkpoint(path: Path, *given: Any, training: dict[str, Any], **more: Any) -> None:
        lines = metrics.read_bytes()[: safe["size"]].count(b"\n")
        saved.append((training["records"], lines))
        save(path, *given, training=training, **more)

    train_model(replace(config, max_steps=1), tmp_path / "run")
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(loop.checkpoint, "save_checkpoint", save_checkpoint)
    with metrics.open("rb") as file:
        resume_run(tmp_path / "run", {"max_steps": 150})
        assert safe["size"] == os.fstat(file.fileno()).st_size  # with the results
    assert len(saved) == 3
    assert all(count == lines for count, lines in saved)


def test_a_run_that_lost_its_best_model_is_refused_before_it_trains(config: Config, tmp_path: Path) -> None:
    train_model(replace(config, max_steps=2), tmp_path / "run")
    (tmp_path / "run" / "model.safetensors").unlink()
    with pytest.raises(TruesparseError, match=r"has no model.safetensors, the best model"):
        resume_run(tmp_path / "run", {"max_steps": 9})


def test_a_learning_rate_that_is_far_too_high(config: Config, tmp_path: Path) -> None:
    with pytest.raises(TruesparseError, match=r"at step \d+; try a lower --lr \(it is 1e\+38\) or a --clip"):
        train_model(replace(config, lr=1e38, clip=0.0), tmp_path / "run")


def check_it_goes_on(config: Config, run: Path) -> None:
    """A run that failed ends, when it is resumed, as one that did not."""
    whole = run.with_name("whole")
    train_model(config, whole)
    resume_run(run, {})
    assert_same_end(run, whole)


@pytest.mark.parametrize("name", ["loss_and_gradients", "loss"])
def test_a_loss_that_is_not_finite_keeps_the_last_checkpoint(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    run = tmp_path / "run"
    right = getattr(Model, name)

    def wrong(*given: Any, **named: Any) -> float:
        loss = right(*given, **named)
        return math.nan if (run / "checkpoint.safetensors").exists() else loss

    with monkeypatch.context() as patch:
        patch.setattr(Model, name, wrong)
        with pytest.raises(TruesparseError, match=r"is nan at step \d+; try a lower --lr"):
            train_model(config, run)
    check_it_goes_on(config, run)


def test_a_disk_that_fills_up_keeps_the_last_checkpoint(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    write = container.replacing

    @contextmanager
    def full(path: Path) -> Iterator[Path]:
        with write(path) as partial:
            yield partial
            if (run / "checkpoint.safetensors").exists():
                raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(container, "replacing", full)
        with pytest.raises(TruesparseError, match=r"cannot save .*: No space left on device; make room"):
            train_model(config, run)
    check_it_goes_on(config, run)


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
