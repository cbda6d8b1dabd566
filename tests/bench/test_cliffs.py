"""The random sweep: what is drawn, what it is measured beside, and what the file keeps."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from truesparse.bench import cliffs, ours
from truesparse.bench.timing import Timing
from truesparse.bench.workload import Workload
from truesparse.sparse.plan import machine_plan

TASK = Workload(vocab_size=60, layers=1, bptt=3)


def test_what_is_drawn() -> None:
    tasks = cliffs.draw(TASK, 200)
    assert cliffs.draw(TASK, 20) == tasks[:20]
    assert cliffs.draw(replace(TASK, seed=2), 20) != tasks[:20]
    for name, low, high in (("hidden_size", 32, 2048), ("batch_size", 1, 128), ("density", 0.005, 1.0)):
        values = sorted(getattr(task, name) for task in tasks)
        assert low <= values[0] < 1.5 * low
        assert 0.8 * high < values[-1] <= high
        assert (low * high) ** 0.5 / 2 < values[100] < (low * high) ** 0.5 * 2
    kinds = {(task.pattern, task.output_group) for task in tasks}
    assert kinds == {("weight", 1), ("weight", 4), ("unit", 1), ("unit", 4)}
    assert all(task.embedding_size == task.hidden_size for task in tasks)


def test_what_is_plainer() -> None:
    assert cliffs.plainer(TASK) == {"untiled": TASK}
    both = replace(TASK, pattern="unit", output_group=4)
    assert cliffs.plainer(both) == {
        "untiled": both,
        "weight pattern": replace(both, pattern="weight"),
        "no groups": replace(both, output_group=1),
    }


def test_products_without_tiles_compute_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = machine_plan()
    caches = {"L1": 32768, "L2": 524288}
    for name, value in {"caches": caches, "measured": {}, "measures": False, "tiles": True}.items():
        monkeypatch.setattr(plan, name, value)
    task = Workload("lm", 60, 200, 200, 1, 2, 64, 3, 0.3)
    tiled = ours.SparseTraining(task)
    losses = [tiled.step() for _ in range(3)]
    plain = ours.SparseTraining(task, ["untiled"])
    assert [plain.step() for _ in range(3)] == losses
    assert not plan.measured
    widths = [list(side._training.model.matrices["lstm.0.weight_ih"]._tiles) for side in (tiled, plain)]
    assert widths == [[100], [200]]


class Sides:
    """Contestants with times of their own, and how often each was asked to build a model."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, times: dict[str, list[float]]) -> None:
        self.built: list[tuple[str, dict[str, Any]]] = []

        class Contestant:
            def __init__(contestant, side: str, threads: int) -> None:
                contestant.side = side

            def __enter__(contestant) -> Any:
                return contestant

            def __exit__(contestant, *error: object) -> None:
                pass

            def ask(contestant, question: str, **arguments: Any) -> dict[str, Any]:
                if question == "model":
                    self.built.append((arguments["side"], arguments["task"]))
                return {"threads": 2}

        def measure(sides: Any, part: str, conditions: Any, monitor: Any) -> dict[str, Timing]:
            return {name: Timing((times[name].pop(0),)) for name in sides}

        monkeypatch.setattr(cliffs, "Contestant", Contestant)
        monkeypatch.setattr(cliffs, "measure", measure)


def sweep(run: Any, tmp_path: Path, count: int) -> tuple[list[dict[str, Any]], str]:
    files = ["--record", tmp_path / "record.jsonl", "--json", tmp_path / "out.json"]
    result = run("bench", "cliffs", "--shapes", count, "--vocab-size", 60, "--threads", 1, *files)
    assert result.exit_code == 0, result.output
    return json.loads((tmp_path / "out.json").read_text()), result.stdout


def test_a_cliff_is_one_twice(run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The first size is slow once, by chance, and the second one twice; the file is not measured again."""
    tasks = [TASK, replace(TASK, pattern="unit", density=0.5)]
    monkeypatch.setattr(cliffs, "draw", lambda task, count: tasks[:count])
    times = {"ours": [2.0, 1.0, 3.0, 3.0], "untiled": [1.0, 1.0, 2.9, 2.9], "weight pattern": [2.0, 2.5]}
    sides = Sides(monkeypatch, times)
    (first,), _ = sweep(run, tmp_path, 1)
    assert (first["slowdown"], first["cliff"], first["ours_ms"]) == (1.0, False, 1000)
    records, output = sweep(run, tmp_path, 2)
    assert records[0] == first
    assert records[1]["slowdown"] == pytest.approx(1.2)
    assert records[1]["cliff"] is True
    assert records[1]["rivals"]["weight pattern"] == {"ms": 2500, "threads": 2, "ratio": pytest.approx(1.2)}
    assert [side for side, _ in sides.built] == ["ours", "ours-untiled", "ours", "ours-untiled", "ours"]
    assert sides.built[-1][1]["pattern"] == "weight"
    assert "1 of 2 sizes are slower than a plainer way by more than 10 %" in output
    worst = [line.split() for line in output.splitlines() if "weight pattern" in line or "untiled" in line]
    assert worst[0][:4] == ["1500", "20", "0.5", "unit"]
    assert worst[0][-1] == "1.20×"


@pytest.mark.parametrize(
    "other",
    [{"threads": 64}, {"cpu": "X"}, {"microarchitecture": "znver1"}, {"caches": "32 KB L1"}, None],
)
def test_the_file_of_another_machine_does_not_count(
    run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, other: dict[str, Any] | None
) -> None:
    """Nor one of a version that did not write down LLVM's name of the processor."""
    monkeypatch.setattr(cliffs, "draw", lambda task, count: [TASK])
    sides = Sides(monkeypatch, {"ours": [1.0, 2.0], "untiled": [1.0, 2.0]})
    sweep(run, tmp_path, 1)
    file = tmp_path / "record.jsonl"
    line = json.loads(file.read_text())
    if other is None:
        del line["environment"]["microarchitecture"]
    else:
        line["environment"] |= other
    file.write_text(json.dumps(line) + '\n{"half')
    (record,), _ = sweep(run, tmp_path, 1)
    assert record["ours_ms"] == 2000
    assert len(sides.built) == 4
    assert len([json.loads(line) for line in file.read_text().splitlines()]) == 2
    file.write_text('{"a": 1}\n')
    result = run("bench", "cliffs", "--shapes", "1", "--record", file)
    assert result.exit_code != 0
    assert "a line is no result of bench cliffs" in result.stderr


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--vocab-size", "61"], "--vocab-size must be a multiple of 4, not 61"),
        (["--record", "no/such/file.jsonl"], "there is no folder"),
    ],
)
def test_refusals(run: Any, flags: list[str], sentence: str) -> None:
    result = run("bench", "cliffs", *flags)
    assert result.exit_code == 2
    assert sentence in result.stderr
