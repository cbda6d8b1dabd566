from __future__ import annotations

import errno
import json
import math
import subprocess
import sys
from contextlib import closing
from datetime import datetime, tzinfo
from pathlib import Path

import pytest

from truesparse.errors import TruesparseError, UsageError
from truesparse.modelfile import find_model
from truesparse.tasks.lm.settings import LanguageModelConfig
from truesparse.training import rundir
from truesparse.training.rundir import RunDirectory, check_free, make_default

pytestmark = pytest.mark.usefixtures("command")


def test_the_default_path_has_date_and_name_and_belongs_to_one_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Noon(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Noon:
            return cls(2025, 1, 2, 12)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rundir, "datetime", Noon)
    names = ["2025-01-02-120000-book", "2025-01-02-120000-book-2", "2025-01-02-120000-book-3"]
    assert [make_default("book") for _ in names] == [Path("runs", name) for name in names]
    assert all(Path("runs", name).is_dir() for name in names)
    (tmp_path / "file").touch()
    monkeypatch.setattr(rundir, "Path", lambda *parts: Path("file", parts[1]))
    with pytest.raises(TruesparseError, match="cannot make the folder"):
        make_default("book")


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    check_free(tmp_path)
    check_free(tmp_path / "new")
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file"):
        with pytest.raises(UsageError, match=r"is not an empty folder; choose another --out$"):
            RunDirectory.create(path, LanguageModelConfig())
    (tmp_path / "checkpoint.safetensors").touch()
    with pytest.raises(UsageError, match=r"or continue its run with --resume"):
        check_free(tmp_path)


def test_only_one_process_writes_to_a_folder(tmp_path: Path) -> None:
    with closing(RunDirectory.create(tmp_path / "run", LanguageModelConfig())) as run:
        with pytest.raises(UsageError, match="another process is writing to"):
            RunDirectory(run.path)
        run.keep_records(0)
        with pytest.raises(UsageError, match="another process is writing to"):
            RunDirectory(run.path)
    RunDirectory(tmp_path / "run").close()


def test_what_a_killed_process_left_half_written_is_removed(tmp_path: Path) -> None:
    left = {".tmpAb3dE9", "checkpoint.safetensors.partial", "config.toml.partial"}
    others = {".tmp", ".tmpAb3dE9x", "notes.partial", "texts.json.partial", "checkpoint.safetensors"}
    for name in left | others:
        (tmp_path / name).touch()
    (tmp_path / ".tmpfolder").mkdir()
    write = "from truesparse.files import replacing; from pathlib import Path\n"
    write += "with replacing(Path('a.json')) as partial: partial.touch(); print(partial, flush=True); input()"
    command = [sys.executable, "-c", write]
    pipe = subprocess.PIPE
    with (
        subprocess.Popen(command, cwd=tmp_path, stdin=pipe, stdout=pipe, text=True) as killed,
        subprocess.Popen(command, cwd=tmp_path, stdin=pipe, stdout=pipe, text=True) as living,
    ):
        assert killed.stdout is not None
        assert living.stdout is not None
        files = [Path(process.stdout.readline().strip()) for process in (killed, living)]
        assert all(file.exists() for file in files)
        killed.kill()
        killed.wait()
        RunDirectory(tmp_path).close()
        assert [file.exists() for file in files] == [False, True]
        living.communicate("\n")
        assert living.returncode == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert names == others | {".tmpfolder", "metrics.jsonl", "a.json"}


def test_what_a_run_leaves_that_was_killed_before_it_began_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").touch()
    (tmp_path / ".truesparse-a1b2c3d4.partial").mkdir()
    RunDirectory.create(tmp_path, LanguageModelConfig()).close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.toml", "metrics.jsonl"]
    with pytest.raises(UsageError, match=r"or continue its run with --resume"):
        RunDirectory.create(tmp_path, LanguageModelConfig())


def test_results_and_damaged_lines_are_no_records_to_keep(tmp_path: Path) -> None:
    metrics = tmp_path / "metrics.jsonl"
    lines = ['{"kind": "train", "step": 1}', "\0\0\0", '{"kind": "end"}', '{"kind": "eval", "step": 2}']
    metrics.write_text("\n".join(lines) + "\n")
    with closing(RunDirectory(tmp_path)) as run:
        assert run.keep_records(9) == 2
        run.record({"kind": "end"})
    assert metrics.read_text().splitlines() == [lines[0], lines[3], '{"kind": "end"}']


def test_a_full_disk_does_not_cost_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, *_: object, **__: object) -> None:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    with closing(RunDirectory.create(tmp_path / "run", LanguageModelConfig(seed=7))) as run:
        monkeypatch.setattr(Path, "write_text", full)
        with pytest.raises(TruesparseError, match=r"cannot write .*config.toml: No space left"):
            run.write_config(LanguageModelConfig(seed=8))
    assert LanguageModelConfig.load_toml(tmp_path / "run" / "config.toml")["seed"] == 7
    assert sorted(path.name for path in run.path.iterdir()) == ["config.toml", "metrics.jsonl"]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TruesparseError, match="cannot make the folder"):
        RunDirectory.create(tmp_path / "file" / "run", LanguageModelConfig())


def test_records_and_what_is_kept_of_them(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run", LanguageModelConfig())
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
    run = RunDirectory.create(tmp_path / "run", LanguageModelConfig())
    run.record({"step": 0})
    metrics = tmp_path / "run" / "metrics.jsonl"
    metrics.write_text(metrics.read_text() + '{"st')
    run.keep_records(5)
    run.close()
    assert metrics.read_text() == '{"step": 0}\n'


def test_the_configuration_comes_back(tmp_path: Path) -> None:
    config = LanguageModelConfig(hidden_size=3, data="x")
    run = RunDirectory.create(tmp_path / "run", config)
    run.checkpoint.touch()
    assert LanguageModelConfig.from_dict(RunDirectory.read_config(run.path, LanguageModelConfig)) == config
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
