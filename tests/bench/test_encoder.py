"""The script that compares encoders with PyTorch's."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "encoder.py"
SIZES = {"hidden-size": 8, "layers": 1, "heads": 2, "vocabulary": 300, "length": 8, "batch-size": 4}


def run(*arguments):
    pytest.importorskip("torch")
    alone = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    sizes = [f"--{name}={size}" for name, size in SIZES.items()]
    command = [sys.executable, SCRIPT, *arguments, *sizes]
    done = subprocess.run(command, env=alone, check=True, capture_output=True, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_steps_of_both_sides_are_timed():
    records = run("step", "--densities", "0.5", "0.1", "--rounds", "1")
    assert [record["density"] for record in records] == [0.5, 0.1]
    for record in records:
        assert record["ratio"] == pytest.approx(record["masked_torch_ms"] / record["ours_ms"])


def test_both_sides_learn_from_the_same_batches(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("the cat sat on the mat and the dog sat on the log\n" * 200)
    out = tmp_path / "race.jsonl"
    run("race", "--data", text, "--out", out, "--densities", "1", "0.5", "--steps", "40", "--interval", "20")
    dense, sparse = ([*map(json.loads, out.read_text().splitlines())][k : k + 2] for k in (0, 2))
    assert [record["density"] for record in dense + sparse] == [1, 1, 0.5, 0.5]
    for first, last in (dense, sparse):
        assert last["loss"] < first["loss"]
        assert last["seconds"] > first["seconds"] > 0
    assert sparse[-1]["net_seconds"] == pytest.approx(0.5 * sparse[-1]["seconds"])
