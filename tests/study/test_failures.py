"""Runs of a study that fail, and runs that other processes do."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from study_helpers import FLAGS, Noting, Run, Write, lines

from truesparse.files import locked
from truesparse.study.plan import Study
from truesparse.study.results import add_result, end_of_results, read_results
from truesparse.study.run import run_study

pytestmark = pytest.mark.usefixtures("command")


def test_a_run_that_fails_leaves_the_others(run: Run, write: Write, tmp_path: Path) -> None:
    """Only reading the text shows that a density leaves a matrix no weight."""
    path = write("density = [0.2, 0.0001, 0.5]", "seeds = 1", "")
    path.write_text(path.read_text().replace("density = 0.3\n", ""))
    drawn = find_spec("matplotlib") is not None
    done = run("study", path, "--out", "a", *["--plot", "a.png"] * drawn)
    assert done.exit_code == 1
    good, bad, other = lines(tmp_path / "a")
    assert "valid" in good
    assert "valid" in other
    assert bad["point"] == {"density": 0.0001}
    assert f"run 2 of 3: density 0.0001, seed 1, failed: {bad['failed']}, " in done.stderr
    assert "run 3 of 3: density 0.5, seed 1, validation perplexity" in done.stderr
    sentence = f"truesparse: 1 of 3 runs failed; density 0.0001, seed 1: {bad['failed']}"
    assert done.stderr.splitlines()[-1] == sentence
    row = next(row for row in done.stdout.splitlines() if "failed" in row)
    assert row.split() == ["0.0001", "1,", "1", "failed"]
    assert (tmp_path / "a.png").exists() == drawn

    looked = run("study", "a", "--table", "--json")
    assert looked.exit_code == 0
    assert [(row["done"], row["failed"]) for row in json.loads(looked.stdout)["rows"]] == [
        (1, 0),
        (1, 1),
        (1, 0),
    ]
    assert len(lines(tmp_path / "a")) == 3
    again = run("study", "a")
    assert again.exit_code == 1
    assert again.stderr.splitlines()[0] == "2 of 3 runs are done"
    assert again.stderr.splitlines()[-1] == sentence
    assert [line["run"] for line in lines(tmp_path / "a")[3:]] == [bad["run"]]


@pytest.mark.parametrize("drawn", [False, True])
def test_a_start_topology_that_is_missing_fails_and_is_tried_again(
    run: Run, write: Write, tmp_path: Path, text_file: Path, drawn: bool
) -> None:
    if drawn:
        pytest.importorskip("matplotlib")
    path = write("lr = [1, 4]", "seeds = 1", f'start_topology = "{tmp_path / "first"}"\n')
    path.write_text(path.read_text().replace("density = 0.3\n", ""))
    done = run("study", path, "--out", "a", *["--plot", "a.svg"] * drawn)
    assert done.exit_code == 1
    assert "truesparse: 2 of 2 runs failed; lr 1, seed 1: " in done.stderr  # not that nothing can be drawn
    assert all("failed" in line for line in lines(tmp_path / "a"))
    flags = FLAGS.replace(" = ", " ").replace("_", "-").split("\n")[:-1]
    given = [word for line in flags for word in f"--{line}".split()]
    assert run("train", "lm", "--data", text_file, *given, "--out", "first").exit_code == 0
    assert run("study", "a").exit_code == 0
    assert len(lines(tmp_path / "a")) == 4


def test_a_failure_does_not_hide_an_earlier_result(write: Write, tmp_path: Path) -> None:
    study = Study(write("lr = [1]", "seeds = 1"))
    (of,) = study.runs
    add_result(tmp_path, {"config": asdict(of.config), "failed": "before"})
    assert read_results(study, tmp_path)[of.key]["failed"] == "before"
    since = end_of_results(tmp_path)
    assert read_results(study, tmp_path, since=since) == {}
    add_result(tmp_path, {"config": asdict(of.config), "failed": "later"})
    assert read_results(study, tmp_path, since=since)[of.key]["failed"] == "later"
    for line in ({"valid": {"loss": 1.0}}, {"failed": "as it was to be tested"}):
        add_result(tmp_path, {"config": asdict(of.config), **line})
    assert "valid" in read_results(study, tmp_path)[of.key]
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write('{"half')
    assert end_of_results(tmp_path) == (tmp_path / "results.jsonl").stat().st_size - len('{"half')


def test_two_processes_share_the_runs(write: Write, tmp_path: Path) -> None:
    study = Study(write("lr = [1, 2, 4]", "seeds = 1"))
    first, second, third = study.runs
    folder = tmp_path / "a"
    (folder / second.folder).mkdir(parents=True)
    (folder / "study.toml").touch()

    class Other(Noting):
        """While the first run is done, another process ends the third one."""

        def run(self, run: Any, done: Any) -> None:
            super().run(run, done)
            add_result(folder, {"config": asdict(third.config)})

    noting = Other()
    with locked(folder / second.folder):
        done = run_study(study, folder, noting)
    assert noting.names == [first.name]
    assert done.keys() == {first.key, third.key}
    run_study(study, folder, noting)
    assert noting.names == [first.name, second.name]


def test_other_processes_do_runs_too(
    run: Run, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("truesparse.study.run.run_study", lambda *_: None)  # in this process, not in others
    monkeypatch.setattr("truesparse.kernels.cores.available_cores", lambda: 6)
    done = run("study", write(), "--out", "a", "--jobs", 3)
    assert done.exit_code == 0, done.stderr
    assert {line["config"]["threads"] for line in lines(tmp_path / "a")} == {2}
    keys = [(line["point"]["lr"], line["seed"]) for line in lines(tmp_path / "a")]
    assert sorted(keys) == [(1, 1), (1, 2), (4, 1), (4, 2)]
    assert done.stdout.count("±") == 2
    done = run("study", write(settings="output_group = 7"), "--out", "b", "--jobs", 3)
    assert done.exit_code == 1
    assert done.stderr.count("runs failed") == 1  # of the process that shows the table
    assert done.stderr.startswith("truesparse: 4 of 4 runs failed; lr 1, seed 1: a vocabulary of")
    assert len(lines(tmp_path / "b")) == 4  # each was tried once
    (tmp_path / "b" / "results.jsonl").write_text("[]\n")
    done = run("study", "b", "--jobs", 2)
    assert done.exit_code == 1
    assert "a line is no result of a run" in done.stderr


def test_processes_that_end_before_their_runs(
    run: Run, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damage(*_: Any) -> None:
        (tmp_path / "a" / "results.jsonl").write_text("[]\n")

    monkeypatch.setattr("truesparse.study.run.run_study", damage)
    done = run("study", write(), "--out", "a", "--jobs", 2)
    assert done.exit_code == 1
    assert "1 of 2 processes ended before their runs; go on with: truesparse study a" in done.stderr
