"""Races: what is chosen and tested, what becomes of candidates that fail, and pictures."""

from __future__ import annotations

import json
import math
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from race_helpers import PERPLEXITIES, SPARSE, Answers, Command, Write, lines

from truesparse.bench.race.plan import Race
from truesparse.bench.race.standings import Standings, read_lines
from truesparse.files import locked
from truesparse.training.rundir import read_metrics


def test_a_race(race: Command, write: Write, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    path = write(SPARSE + "[dense]\nprecision = ['float32']\n[dense.settings]\nlr = 2.0")
    done = race(path)
    assert done.exit_code == 0, done.stderr
    folder = tmp_path / "runs" / "race-tiny-0.02min"
    *candidates, one, other = lines(folder)
    assert [line["side"] for line in candidates] == ["sparse", "dense", "sparse"]
    for line in candidates:
        assert line["seconds"] >= 1.2
        assert line["epochs"] == line["steps"] / 50
        assert line["valid"]["perplexity"] == pytest.approx(math.exp(line["valid"]["loss"]))
        assert "test" not in line
    best = min((line for line in candidates if line["side"] == "sparse"), key=lambda of: of["valid"]["loss"])
    assert {name: one[name] for name in best} == best
    assert other["run"] == candidates[1]["run"]
    a, b = one["test"]["perplexity"], other["test"]["perplexity"]
    word = "lower" if a < b else "higher"
    verdict = f"sparse {a:.1f} against dense {b:.1f} (test perplexity): {100 * abs(a / b - 1):.1f} % {word}"
    assert done.stdout.splitlines()[-1] == verdict
    assert done.stdout.count("chosen") == 2
    models = {file.parent.name for file in folder.rglob("model.safetensors")}
    assert models == {one["run"], other["run"]}
    records = read_metrics(folder / "runs" / one["run"])
    assert 1 <= len(records) <= 20
    assert (records[-1]["seconds"], records[-1]["step"]) == (one["seconds"], one["steps"])

    again = race(folder, "--json", "--quiet")
    assert len(lines(folder)) == 5
    values = json.loads(again.stdout)
    assert values["verdict"] == {"part": "test", "sparse": a, "dense": b}
    assert sum(row["chosen"] for row in values["rows"]) == 2


def test_the_chosen_are_tested_once(
    race: Command, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of both precisions of the dense side; and by the mean over the seeds, none of which diverges."""
    answers = Answers(monkeypatch, PERPLEXITIES)
    path = write(SPARSE + "[dense.grid]\nlr = [2.0]")
    done = race(path, "--seeds", 2, "--out", "a")
    assert done.exit_code == 0, done.stderr
    assert [asked for asked in answers.asked if asked[0] == "race_test"] == [
        ("race_test", name, f"lr {lr}, seed {seed}")
        for name, lr in (("sparse", 1), ("dense bf16", 2))
        for seed in (1, 2)
    ]
    assert "sparse 111.0 ± 14.1 against dense 120.0 ± 1.4 (test perplexity): 7.5 % lower" in done.stdout
    assert "2, 1 diverged" in done.stdout
    assert len(list(tmp_path.rglob("model.safetensors"))) == 4
    assert race("a").exit_code == 0
    assert len(answers.asked) == 8 + 4


def test_a_race_that_is_stopped_goes_on(
    race: Command, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = Answers(monkeypatch, PERPLEXITIES)
    answers.interrupt = 2
    path = write(SPARSE + "[dense.grid]\nlr = [2.0]")
    stopped = race(path, "--out", "a")
    assert stopped.exit_code == 130
    assert "stopped, with 2 of 4 runs done; go on with: truesparse race a" in stopped.stderr
    assert (
        "so far, with candidates left: sparse 100.0 against dense 130.0 (validation perplexity): 23.1 %"
        in (race("a", "--table").stdout)
    )
    assert len(answers.asked) == 2
    answers.interrupt = math.inf
    assert race("a").exit_code == 0
    assert [name for question, name, _ in answers.asked if question == "race"] == [
        "sparse",
        "dense",
        "dense bf16",
        "sparse",
    ]
    assert len(answers.asked) == 6


def test_a_candidate_that_fails_is_tried_again_the_next_time(
    race: Command, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others go on without it, and it cannot win."""
    answers = Answers(monkeypatch, PERPLEXITIES)
    answers.fails = {("race", "sparse", 4.0)}
    path = write(SPARSE + "[dense.grid]\nlr = [2.0]")
    done = race(path, "--out", "a")
    assert done.exit_code == 0, done.stderr
    assert "sparse 101.0 against dense 119.0 (test perplexity): 15.1 % lower" in done.stdout
    assert "sparse lr 4, seed 1 failed: it was killed, as the test wants" in done.stdout.splitlines()
    assert [line["point"] for line in lines(tmp_path / "a") if "failed" in line] == [{"lr": 4.0}]
    assert [row[:6] for row in done.stdout.splitlines() if row.endswith(" failed")] == ["sparse"]
    values = json.loads(race("a", "--table", "--json").stdout)
    assert [row["failed"] for row in values["rows"]] == [0, 1, 0, 0]
    assert values["failures"] == ["sparse lr 4, seed 1 failed: it was killed, as the test wants"]

    answers.fails.clear()
    done = race("a")
    assert answers.asked[6:] == [("race", "sparse", "lr 4, seed 1"), ("race_test", "sparse", "lr 4, seed 1")]
    assert "sparse 91.0 against dense 119.0 (test perplexity)" in done.stdout
    assert "failed" not in done.stdout


def test_a_side_without_a_candidate_left(
    race: Command, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = Answers(monkeypatch, PERPLEXITIES)
    answers.fails = {("race", name, 2.0) for name in ("dense", "dense bf16")}
    path = write(SPARSE + "[dense.grid]\nlr = [2.0]")
    done = race(path, "--out", "a")
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1] == "truesparse: the dense side has no candidate left"
    assert done.stdout.splitlines()[-1] == "no verdict: the dense side has no candidate left"
    assert done.stdout.count("failed: it was killed") == 2
    assert race("a", "--table").exit_code == 0
    answers.fails.clear()
    assert race("a").exit_code == 0


def test_a_candidate_above_its_density_cannot_win(
    race: Command, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trained again, it would come to the same."""
    answers = Answers(monkeypatch, PERPLEXITIES)
    answers.failed = {4.0: "it has not come down"}
    path = write(SPARSE + "[dense.grid]\nlr = [2.0]")
    done = race(path, "--out", "a")
    assert done.exit_code == 0, done.stderr
    assert "sparse 101.0 against dense 119.0 (test perplexity)" in done.stdout
    assert "sparse lr 4, seed 1 failed: it has not come down" in done.stdout
    assert "90.00" in done.stdout
    assert len(list(tmp_path.rglob("model.safetensors"))) == 2
    assert race("a").exit_code == 0
    assert len(answers.asked) == 6


def test_a_test_that_fails(race: Command, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other side is tested all the same; and the next time only what is left."""
    answers = Answers(monkeypatch, PERPLEXITIES)
    answers.fails = {("race_test", "sparse", 4.0)}
    path = write(SPARSE + "[dense.grid]\nlr = [2.0]")
    done = race(path, "--out", "a")
    assert done.exit_code == 1
    assert "sparse lr 4, seed 1, on the test text: it was killed, as the test wants" in done.stderr
    assert answers.asked[-1] == ("race_test", "dense bf16", "lr 2, seed 1")
    assert "(validation perplexity, not tested yet): 23.7 % lower" in race("a", "--table").stdout
    answers.fails.clear()
    assert race("a").exit_code == 0
    assert answers.asked[6:] == [("race_test", "sparse", "lr 4, seed 1")]


@pytest.mark.parametrize("interrupted", [False, True])
def test_more_seeds_may_choose_a_candidate_whose_model_was_removed(
    race: Command, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupted: bool
) -> None:
    """It is trained again, also if that is interrupted when it has written a model."""
    answers = Answers(monkeypatch, PERPLEXITIES)
    path = write(SPARSE + "[dense.grid]\nlr = [2.0]")
    assert race(path, "--out", "a").exit_code == 0
    assert len(answers.asked) == 6
    again = ("race", "sparse", "lr 1, seed 1")
    if interrupted:
        answers.interrupt = 10
        stopped = race("a", "--seeds", 2)
        assert "stopped, with 7 of 8 runs done" in stopped.stderr
        lost = next((tmp_path / "a" / "runs").glob("sparse-lr-1-seed-1*"))
        (lost / "model.safetensors").touch()
        answers.interrupt = math.inf
    done = race("a", "--seeds", 2)
    assert done.exit_code == 0, done.stderr
    assert answers.asked.count(again) == 2
    assert [asked for asked in answers.asked[10:] if asked[0] == "race"] == [again]
    assert answers.asked[-3:] == [
        ("race_test", "sparse", "lr 1, seed 1"),
        ("race_test", "sparse", "lr 1, seed 2"),
        ("race_test", "dense bf16", "lr 2, seed 2"),
    ]
    assert "sparse 111.0 ± 14.1 against dense 120.0 ± 1.4 (test perplexity): 7.5 % lower" in done.stdout
    assert interrupted or "is trained again" in done.stderr


def test_folders(race: Command, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = Answers(monkeypatch, PERPLEXITIES)
    path = write(SPARSE + "[dense.grid]\nlr = [2.0]")
    assert "is not the folder of a race; choose another --out" in race(path, "--out", tmp_path).stderr
    assert "it has no race.toml; give a file of a race" in race(tmp_path).stderr
    assert "no verdict yet" in race(path, "--out", "a", "--table").stdout
    assert race(path, "--out", "a").exit_code == 0
    assert "--out does not go with the folder of a race" in race("a", "--out", "b").stderr
    done = race(path, "--minutes", 3, "--out", "a")
    assert done.exit_code == 2
    assert "a has a race of another budget, 0.02 minutes; choose another --out" in done.stderr
    with locked(tmp_path / "a" / "runs"):
        assert "another process is at the race in a" in race("a").stderr
    assert len(answers.asked) == 6
    missing = race(path, "--data", "nowhere", "--out", "c")
    assert "there is no file or folder" in missing.stderr
    assert not (tmp_path / "c").exists()


def test_pytorch_is_asked_for(race: Command, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("truesparse.bench.settings.installed", lambda package: False)
    done = race(write())
    assert done.exit_code == 2
    assert done.stderr == (
        "truesparse: the dense side of a race is PyTorch's; install it with: pip install"
        ' "truesparse[bench]"\n'
    )


@pytest.mark.skipif(find_spec("matplotlib") is None, reason="draws with matplotlib")
def test_what_is_drawn(race: Command, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    from truesparse.bench.race.picture import draw_race

    Answers(monkeypatch, PERPLEXITIES)
    path = write(SPARSE + "[dense.grid]\nlr = [2.0]")
    assert race(path, "--out", "a", "--plot", "a.png").exit_code == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: figures.append(self))
    plan = Race(tmp_path / "a" / "race.toml")
    draw_race(tmp_path / "b.png", plan, Standings(plan, read_lines(plan, tmp_path / "a")), tmp_path / "a")
    (axes,) = figures[0].axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "sparse: lr 4",
        "its test perplexity 91.0",
        "dense bf16: lr 2",
        "its test perplexity 119.0",
    ]
    drawn = {tuple(np.round(line.get_ydata(), 6)): line.get_xdata() for line in axes.get_lines()}
    assert list(drawn[91.0, 90.0]) == pytest.approx([0.01, 0.02])
    assert {(91.0, 91.0), (119.0, 119.0), (131.0, 130.0)} <= drawn.keys()
    assert axes.get_title().endswith("(test perplexity): 23.5 % lower")


@pytest.mark.skipif(find_spec("matplotlib") is None, reason="draws with matplotlib")
def test_all_seeds_are_drawn(
    race: Command, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.figure import Figure

    Answers(monkeypatch, PERPLEXITIES).failed = {4.0: "it has not come down"}
    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: figures.append(self))
    path = write(SPARSE + "[dense.grid]\nlr = [2.0]")
    assert race(path, "--seeds", 2, "--out", "a", "--plot", "a.png").exit_code == 0
    (axes,) = figures[0].axes
    drawn = [round(line.get_ydata()[-1], 6) for line in axes.get_lines() if len(set(line.get_ydata())) > 1]
    assert drawn == [130, 130, 100, 120, 118, 120]  # those of lr 4 failed
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "sparse: lr 1, 2 seeds",
        "its test perplexity 111.0 ± 14.1",
        "dense bf16: lr 2, 2 seeds",
        "its test perplexity 120.0 ± 1.4",
    ]


# Several races


@pytest.fixture
def budgets(race: Command, write: Write, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of two races that have ended: of 5 minutes in the folder a, with two seeds, and of 15 in b."""
    Answers(monkeypatch, PERPLEXITIES)
    path = write(SPARSE + "[dense.grid]\nlr = [2.0]")
    assert race(path, "--minutes", 15, "--out", "b").exit_code == 0
    assert race(path, "--minutes", 5, "--seeds", 2, "--out", "a").exit_code == 0
    return path


def test_races_of_several_budgets(race: Command, budgets: Path, tmp_path: Path) -> None:
    done = race("--compare", "b", "a")
    assert done.stdout.splitlines() == [
        "5 minutes: sparse 111.0 ± 14.1 against dense 120.0 ± 1.4 (test perplexity): 7.5 % lower",
        "15 minutes: sparse 91.0 against dense 119.0 (test perplexity): 23.5 % lower",
    ]
    values = json.loads(race("--compare", "b", "a", "--json").stdout)
    assert [of["minutes"] for of in values["races"]] == [5, 15]

    assert "--compare needs the folders of finished races" in race("--compare").stderr
    assert "--minutes does not go with --compare" in race("--compare", "a", "--minutes", 5).stderr
    assert "give one file or folder, or --compare with several" in race("a", "b").stderr
    assert "it has no race.toml" in race("--compare", "a", tmp_path).stderr
    assert race(budgets, "--minutes", 5, "--out", "c").exit_code == 0
    assert "a and c are both races of 5 minutes" in race("--compare", "a", "c").stderr
    other = tmp_path / "other.txt"
    other.write_bytes((tmp_path / "text.txt").read_bytes())
    assert race(budgets, "--data", other, "--minutes", 6, "--out", "d").exit_code == 0
    assert "a and d have different texts" in race("--compare", "a", "d").stderr
    (tmp_path / "d" / "results.jsonl").unlink()
    assert "d has no test perplexity of both sides" in race("--compare", "a", "d").stderr


@pytest.mark.usefixtures("budgets")
@pytest.mark.skipif(find_spec("matplotlib") is None, reason="draws with matplotlib")
def test_the_picture_of_several_budgets(
    race: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from matplotlib.figure import Figure

    assert race("--compare", "a", "b", "--plot", "a.png").exit_code == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: figures.append(self))
    assert race("--compare", "b", "a", "--plot", "a.png").exit_code == 0
    (axes,) = figures[0].axes
    sparse, dense = axes.containers
    assert list(sparse.lines[0].get_xdata()) == [5, 15]
    assert list(sparse.lines[0].get_ydata()) == pytest.approx([111, 91])
    assert list(dense.lines[0].get_ydata()) == pytest.approx([120, 119])
    bars = [np.ptp(segment[:, 1]) / 2 for segment in dense.lines[2][0].get_segments() if len(segment)]
    assert bars == pytest.approx([math.sqrt(2)])  # one seed has no deviation
    texts = [text.get_text() for text in axes.texts]
    assert texts == ["111.0 ± 14.1", "sparse\n91.0", "120.0 ± 1.4", "dense (PyTorch)\n119.0"]
