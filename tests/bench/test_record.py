"""How a run gets into the results of the benchmarks."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "record.py"


def record(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, SCRIPT, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=False, text=True)


@pytest.fixture(autouse=True)
def of_a_repository() -> None:
    if not (SCRIPT.parents[1] / ".git").exists():
        pytest.skip("no repository whose commit could be written down")


def test_results_of_a_benchmark_become_a_line(tmp_path: Path) -> None:
    records = [
        {"density": 0.2, "sizes": {"layers": 2}, "environment": {"cpu": "X", "cores": 4, "onednn": True}},
        {"density": 0.1, "sizes": {"layers": 2}, "environment": {"cpu": "X", "cores": 4, "onednn": False}},
    ]
    (tmp_path / "step.json").write_text(json.dumps(records))
    for _ in range(2):
        done = record(tmp_path / "all.jsonl", tmp_path / "step.json", "truesparse bench step")
        assert done.returncode == 0, done.stderr
    one, other = map(json.loads, (tmp_path / "all.jsonl").read_text().splitlines())
    assert one == other
    assert one.pop("date").startswith("20")
    assert one.pop("commit")
    assert one == {
        "run": "step",
        "command": "truesparse bench step",
        "processor": "X, 4 cores",
        "sizes": {"layers": 2},
        "environment": {"cpu": "X", "cores": 4},
        "records": [
            {"density": 0.2, "environment": {"onednn": True}},
            {"density": 0.1, "environment": {"onednn": False}},
        ],
    }


def test_a_training_run_becomes_a_line(tmp_path: Path) -> None:
    folder = tmp_path / "unit-0.2"
    folder.mkdir()
    (folder / "environment.json").write_text('{"cpu": "X", "microarchitecture": "x3", "cores": 4}')
    (folder / "config.toml").write_text("density = 0.2\n")
    (folder / "metrics.jsonl").write_text('{"kind": "eval", "loss": 5.0}\n{"kind": "end"}\n')
    assert record(tmp_path / "all.jsonl", folder).returncode == 0
    line = json.loads((tmp_path / "all.jsonl").read_text())
    assert line["run"] == "unit-0.2"
    assert line["config"] == {"density": 0.2}
    assert line["records"] == [{"kind": "eval", "loss": 5.0}, {"kind": "end"}]
    assert "command" not in line
    assert line["processor"] == "X (x3), 4 cores"


def test_every_line_of_the_results_says_where_it_is_from() -> None:
    files = list((SCRIPT.parent / "results").glob("*/*.jsonl"))
    assert len(files) >= 5
    for file in files:
        for text in file.read_text().splitlines():
            assert {"date", "commit", "processor"} <= json.loads(text).keys(), file
