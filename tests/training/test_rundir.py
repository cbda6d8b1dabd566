from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest

from truesparse.errors import TruesparseError, UsageError
from truesparse.training.config import Config
from truesparse.training.rundir import RunDirectory, check_free, default_path, find_model


def test_the_default_path_has_date_and_name() -> None:
    assert re.fullmatch(r"runs/\d{4}-\d\d-\d\d-\d{6}-book", str(default_path("book")))


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    check_free(tmp_path)
    check_free(tmp_path / "new")
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file"):
        with pytest.raises(UsageError, match=r"choose another --out, or continue a run with --resume"):
            RunDirectory.create(path, Config())


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TruesparseError, match="cannot make the folder"):
        RunDirectory.create(tmp_path / "file" / "run", Config())


def test_records_and_what_is_kept_of_them(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run", Config())
    for step in range(4):
        run.record({"step": step, "loss": math.inf})
    metrics = tmp_path / "run" / "metrics.jsonl"
    metrics.write_text(metrics.read_text() + '{"step": 4, "lo')  # cut off by a crash
    run.keep_records(2)
    run.record({"step": 9})
    run.close()
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    assert lines == [{"step": 0, "loss": None}, {"step": 1, "loss": None}, {"step": 9}]


def test_a_line_cut_off_is_never_kept(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run", Config())
    run.record({"step": 0})
    metrics = tmp_path / "run" / "metrics.jsonl"
    metrics.write_text(metrics.read_text() + '{"st')
    run.keep_records(5)
    run.close()
    assert metrics.read_text() == '{"step": 0}\n'


def test_the_configuration_comes_back(tmp_path: Path) -> None:
    config = Config(hidden_size=3, data="x")
    run = RunDirectory.create(tmp_path / "run", config)
    run.checkpoint.touch()
    assert Config.from_dict(RunDirectory.read_config(run.path)) == config
    run.close()


def test_finding_a_model(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file or folder"):
        find_model(tmp_path / "none")
    with pytest.raises(UsageError, match=r"has no model.safetensors"):
        find_model(tmp_path)
    (tmp_path / "checkpoint.safetensors").touch()
    assert find_model(tmp_path) == tmp_path / "checkpoint.safetensors"
    (tmp_path / "model.safetensors").touch()
    assert find_model(tmp_path) == tmp_path / "model.safetensors"
    assert find_model(tmp_path / "checkpoint.safetensors") == tmp_path / "checkpoint.safetensors"
