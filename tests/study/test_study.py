"""Studies from the command line: what is run, what is left of it, and what is shown."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
from click.testing import Result

from truesparse.errors import UsageError
from truesparse.modelfile.files import locked
from truesparse.study.plan import Study
from truesparse.study.results import Table, add_result, make_table, read_results
from truesparse.study.run import StudyReporter, run_study
from truesparse.tasks.lm.task import LanguageModeling
from truesparse.training.loop import TrainingStopped

pytestmark = pytest.mark.usefixtures("command")

STUDIES = Path(__file__).parents[2] / "benchmarks" / "studies"
FLAGS = "hidden_size = 8\ndensity = 0.3\nbatch_size = 4\nbptt = 10\nmax_steps = 12\n"
TIMES = {"seconds", "tokens_per_second", "threads"}

Run = Callable[..., Result]
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, text_file: Path) -> Write:
    """Write a study of tiny models: `write(grid, top)`."""

    def write(grid: str = "lr = [1, 4]", top: str = "seeds = 2", settings: str = "") -> Path:
        path = tmp_path / "grid.toml"
        path.write_text(
            f'task = "lm"\n{top}\n[settings]\ndata = "{text_file}"\n{FLAGS}{settings}\n[grid]\n{grid}\n'
        )
        return path

    return write


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def without_times(folder: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in line.items() if k not in TIMES} for line in lines(folder)]


class Noting(StudyReporter):
    """Notes which runs are done, and wishes to stop after so many steps of all runs."""

    def __init__(self, steps: float = math.inf) -> None:
        self.names: list[str] = []
        self.left = steps

    def run(self, run: Any, done: Any) -> None:
        self.names.append(run.name)

    def step(self, progress: Any) -> None:
        self.left -= 1

    def stop(self) -> bool:
        return self.left <= 0


def test_a_study(run: Run, write: Write, tmp_path: Path, text_file: Path) -> None:
    path = write(top="seeds = 2\ntest = true")
    done = run("study", path)
    assert done.exit_code == 0, done.stderr
    folder = tmp_path / "runs" / "study-grid"
    results = lines(folder)
    assert [(line["point"]["lr"], line["seed"]) for line in results] == [(1, 1), (4, 1), (1, 2), (4, 2)]
    flags = FLAGS.replace(" = ", " ").replace("_", "-").split("\n")[:-1]
    given = [word for line in flags for word in f"--{line}".split()]
    single = run("train", "lm", "--data", text_file, *given, "--lr", 4, "--seed", 2, "--json", "--out", "one")
    alone = json.loads(single.stdout)
    assert results[3]["valid"]["perplexity"] == alone["valid_perplexity"]
    assert results[3]["test"] == {"perplexity": alone["test_perplexity"]}
    assert results[3]["relative_flops"] == alone["relative_flops"]
    assert not list(folder.rglob("*.safetensors"))
    assert len(list(folder.rglob("metrics.jsonl"))) == 4

    assert "run 4 of 4: lr 4, seed 2, validation perplexity" in done.stderr
    rows = done.stdout.splitlines()[2:]
    for lr, row in zip((1, 4), rows, strict=True):
        for part in ("valid", "test"):
            values = [line[part]["perplexity"] for line in results if line["point"]["lr"] == lr]
            assert f" {mean(values):.2f} ± {stdev(values):.2f} " in row
    means = [row.split("±")[0].split()[-1] for row in rows]
    assert [row.endswith("best") for row in rows] == [value == min(means, key=float) for value in means]

    again = run("study", folder, "--json", "--quiet")
    assert lines(folder) == results
    table = json.loads(again.stdout)
    assert table["measure"] == "perplexity"
    assert [row["point"] for row in table["rows"]] == [{"lr": 1.0}, {"lr": 4.0}]
    assert [f"{row['valid']['mean']:.2f}" for row in table["rows"]] == means


def test_a_study_that_is_stopped_goes_on_to_the_same_results(write: Write, tmp_path: Path) -> None:
    study = Study(write())
    run_study(study, tmp_path / "whole", keep=True)
    assert len(list((tmp_path / "whole").rglob("model.safetensors"))) == 4
    noting = Noting(12 + 5)
    with pytest.raises(
        TrainingStopped, match=f"1 of 4 runs done; go on with: truesparse study {tmp_path}/parts"
    ):
        run_study(study, tmp_path / "parts", noting, noting.stop)
    assert noting.names == ["lr 1, seed 1", "lr 4, seed 1"]
    assert len(lines(tmp_path / "parts")) == 1
    with (tmp_path / "parts" / "results.jsonl").open("a") as file:
        file.write('{"run": "half wri')
    noting = Noting()
    run_study(Study(tmp_path / "parts" / "study.toml"), tmp_path / "parts", noting)
    assert noting.names == ["lr 4, seed 1", "lr 1, seed 2", "lr 4, seed 2"]
    assert without_times(tmp_path / "parts") == without_times(tmp_path / "whole")


def test_a_half_done_run_is_gone_on_with(write: Write, tmp_path: Path) -> None:
    study = Study(write("lr = [1]", "seeds = 1"))
    noting = Noting(5)
    with pytest.raises(TrainingStopped):
        run_study(study, tmp_path / "a", noting, noting.stop)
    noting = Noting(100)
    run_study(study, tmp_path / "a", noting)
    assert noting.left == 100 - (12 - 5)


def test_what_has_changed_is_run(write: Write, tmp_path: Path) -> None:
    folder = tmp_path / "a"
    names = []
    for grid, settings in (("lr = [1]", ""), ("lr = [1, 2]", "threads = 1"), ("lr = [2]", "dropout = 0.1")):
        noting = Noting()
        study = Study(write(grid, "seeds = 1", settings))
        run_study(study, folder, noting)
        names.append(noting.names)
    assert names == [["lr 1, seed 1"], ["lr 2, seed 1"], ["lr 2, seed 1"]]
    assert len(lines(folder)) == 3
    assert len(read_results(study, folder)) == 1


def test_a_run_that_diverges_is_a_result(run: Run, write: Write, tmp_path: Path) -> None:
    path = write("lr = [1e30, 1]", "seeds = 1", "clip = 0")
    done = run("study", path, "--out", "a")
    assert done.exit_code == 0, done.stderr
    bad, good = lines(tmp_path / "a")
    assert "try a lower --lr" in bad["diverged"]
    assert "valid" not in bad
    assert good["valid"]["loss"] > 0
    assert "1, 1 diverged" in done.stdout
    assert done.stdout.splitlines()[-1].endswith("best")
    assert "runs are done" in run("study", "a").stderr
    assert len(lines(tmp_path / "a")) == 2


@pytest.mark.parametrize("test", [False, True])
def test_the_test_data_are_looked_at_once_or_not_at_all(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, test: bool
) -> None:
    parts: list[str] = []
    evaluate = LanguageModeling.evaluate

    def noted(self: Any, model: Any, part: str, *more: Any) -> Any:
        parts.append(part)
        return evaluate(self, model, part, *more)

    monkeypatch.setattr(LanguageModeling, "evaluate", noted)
    run_study(Study(write("lr = [1]", f"test = {str(test).lower()}", "eval_interval = 5")), tmp_path / "a")
    assert parts == ["valid"] * 3 + ["test"] * test
    assert ("test" in lines(tmp_path / "a")[0]) == test


@pytest.mark.parametrize("keep", [False, True])
def test_runs_are_tested_later(write: Write, tmp_path: Path, keep: bool) -> None:
    noting = Noting(100)
    for test, left in (("false", 88), ("true", 88 if keep else 76), ("true", 88 if keep else 76)):
        lines = run_study(Study(write("lr = [1]", f"test = {test}")), tmp_path / "a", noting, keep=keep)
        assert ["test" in line for line in lines.values()] == [test == "true"]
        assert noting.left == left


def test_settings_on_the_command_line(run: Run, write: Write, tmp_path: Path, text_file: Path) -> None:
    path = write("lr = [1, 4]\nlayers = [1, 2]")
    moved = text_file.rename(tmp_path / "moved.txt")
    assert run("study", path).stderr.startswith(
        f"truesparse: there is no file or folder {text_file}; give --data"
    )
    assert not (tmp_path / "runs").exists()
    changes = ["--set", "lr=2", "--set", "hidden-size=4,6", "--set", "seed=7", "--set", "layers=1"]
    assert run("study", path, "--data", "moved.txt", *changes, "--out", "a").exit_code == 0
    for line, size in zip(lines(tmp_path / "a"), (4, 6), strict=True):
        assert line["point"] == {"hidden_size": size}
        config = line["config"]
        assert (config["lr"], config["seed"], config["data"]) == (2.0, 7, str(moved))
    moved.unlink()  # what is done is shown without it
    assert run("study", "a").exit_code == 0


def test_cases(tmp_path: Path, text_file: Path) -> None:
    path = tmp_path / "cases.toml"
    path.write_text(
        f'task = "lm"\n[settings]\ndata = "{text_file}"\n{FLAGS.replace("density = 0.3", "")}[grid]\n'
        'layers = [1, 2]\n[[cases]]\nname = "dense"\nmethod = "dense"\n'
        '[[cases]]\nname = "fast"\noptimizer = "adam"\n'
    )
    study = Study(path)
    assert [run.name for run in study.runs] == [
        f"case {case}, layers {layers}, seed 1" for case in ("dense", "fast") for layers in (1, 2)
    ]
    assert [run.config.density for run in study.runs] == [1, 1, 0.2, 0.2]
    assert [run.config.optimizer for run in study.runs] == ["sgd", "sgd", "adam", "adam"]


@pytest.mark.parametrize(
    ("grid", "top", "settings", "sentence"),
    [
        ("lr = [1, -1]", "", "", "lr -1: --lr is -1.0; it must be above 0"),
        ("lr = [1]", "", "desity = 0.2", "has the unknown key 'desity'; did you mean density?"),
        ("lr = 1", "", "", r"lr in \[grid\] of .* is 1; it must be a list of values"),
        ("lr = [1]", "", "lr = 2", r"has lr in \[grid\] and elsewhere too; leave it out of one"),
        ("seed = [1]", "", "", r"has a seed among its settings; write seeds = \[1, 2\]"),
        ("lr = [1, 1.0]", "", "", "has the same run twice, as lr 1, seed 1 and as lr 1, seed 1"),
        ("lr = [1]", "seeds = 0", "", "seeds in .* leave no run"),
        ("lr = [1]", "seeds = 20261127", "", "seeds in .* is 20261127; a list has the seeds themselves"),
        ("lr = [1]", "seed = 1", "", "there is no key 'seed'; did you mean seeds?"),
        ("lr = [1]", "seeds = true", "", "seeds in .* is True; it must be a number of seeds"),
        ("lr = [1]", 'measure = "bleu"', "", "measure in .* is 'bleu'; it must be f1,"),
        (
            'method = ["set", "dense"]',
            "",
            "",
            "method 'dense': --density 0.3 does not go with --method dense",
        ),
    ],
)
def test_what_cannot_be_run_is_told_before_the_first_run(
    run: Run, write: Write, tmp_path: Path, grid: str, top: str, settings: str, sentence: str
) -> None:
    path = write(grid, top, settings)
    with pytest.raises(UsageError, match=sentence):
        Study(path)
    assert run("study", path, "--out", "a").exit_code == 2
    assert not (tmp_path / "a").exists()


def test_folders(run: Run, write: Write, tmp_path: Path) -> None:
    path = write("lr = [1]", "seeds = 1")
    assert (
        "is not the folder of a study; choose another --out" in run("study", path, "--out", tmp_path).stderr
    )
    assert "it has no study.toml; give a study file" in run("study", tmp_path).stderr
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "study.toml").write_bytes(path.read_bytes())
    assert run("study", "a", "--table").exit_code == 0
    (tmp_path / "a" / "results.jsonl").write_text('{"run": 1}\n')
    assert "a line is no result of a run" in run("study", "a").stderr


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
    done = run("study", write(settings="output_group = 7"), "--out", "b", "--jobs", 2)
    assert done.exit_code == 1
    assert "1 of 2 processes ended before their runs; go on with: truesparse study b" in done.stderr


def test_a_measure_that_runs_do_not_have(write: Write, tmp_path: Path) -> None:
    study = Study(write("lr = [1]", 'measure = "accuracy"\nseeds = 1'))
    with pytest.raises(UsageError, match="must be one of perplexity, loss"):
        make_table(study, run_study(study, tmp_path / "a"))


def made(study: Study, losses: dict[tuple[float, int], Any]) -> Table:
    """A table of results that nobody trained for."""
    costs = dict.fromkeys(("epochs", "seconds", "tokens_per_second", "nnz", "relative_flops"), 1)
    results: dict[str, Any] = {}
    for run in study.runs:
        loss = losses.get((vars(run.config)["lr"], run.config.seed), "")
        if loss != "":
            results[run.key] = {"valid": {"perplexity": loss, "loss": 1.0}, **costs}
    return make_table(study, results)


def test_rows(write: Write) -> None:
    study = Study(write("lr = [1, 2, 4]", "seeds = 3"))
    table = made(study, {(1, 1): 10.0, (1, 2): 20.0, (1, 3): 60.0, (2, 1): 29.0, (4, 1): 1.0, (4, 2): None})
    assert [row.done for row in table.rows] == [3, 1, 2]
    assert [row.valid for row in table.rows] == [(30, stdev([10, 20, 60])), (29, 0), (math.inf, 0)]
    assert table.best == 1
    assert [row["valid"] is None for row in table.values()["rows"]] == [False, False, True]
    assert made(study, {}).values()["rows"][0]["valid"] is None


@pytest.mark.skipif(find_spec("matplotlib") is None, reason="draws with matplotlib")
def test_what_is_drawn(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    from truesparse.study.picture import draw_study

    study = Study(
        write('distribution = ["uniform", "erdos-renyi"]\nlr = [4, 1, 16]\nlayers = [1, 2]', "seeds = 2")
    )
    losses = {(lr, seed): 100 + lr + seed for lr in (1, 4, 16) for seed in (1, 2)}
    table = made(study, losses)
    draw_study(tmp_path / "a.png", table)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: figures.append(self))
    draw_study(tmp_path / "b.png", table)
    axes = figures[0].axes
    assert [panel.get_title() for panel in axes] == ["layers 1", "layers 2"]
    labels = [text.get_text() for text in figures[0].legends[0].get_texts()]
    assert labels == ["distribution uniform", "distribution erdos-renyi"]
    assert axes[0].get_xscale() == "log"
    for panel in axes:
        for container in panel.containers:
            points, _, (bars,) = container.lines
            assert points.get_xydata().tolist() == [[1, 102.5], [4, 105.5], [16, 117.5]]
            spread = stdev([1, 2])
            assert [segment[:, 1].tolist() for segment in bars.get_segments()] == [
                pytest.approx([y - spread, y + spread]) for y in (102.5, 105.5, 117.5)
            ]


@pytest.mark.skipif(find_spec("matplotlib") is None, reason="draws with matplotlib")
def test_runs_that_hardly_learned_leave_room_for_the_others(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.figure import Figure

    from truesparse.study.picture import draw_study

    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: figures.append(self))
    study = Study(write("lr = [1, 2, 4]", "seeds = 2"))
    losses = {(1, 1): 80, (1, 2): 90, (2, 1): 100, (2, 2): 100, (4, 1): 1e9, (4, 2): 2e9}
    draw_study(tmp_path / "a.png", made(study, losses))
    low, high = figures[0].axes[0].get_ylim()
    assert 50 < low < 85
    assert 100 < high < 200


@pytest.mark.parametrize("path", sorted(STUDIES.glob("[!r]*.toml")), ids=lambda path: path.stem)
def test_the_studies_of_the_project_can_be_run(path: Path) -> None:
    assert len(Study(path, {"data": ["texts"]}).runs) >= 10
