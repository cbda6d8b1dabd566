"""Runs of version 0.1 are read, used and gone on with.

The files in ``tests/golden/v0.1`` were written by that version: every cell and pattern, tied weights, words
in groups, characters, and classifiers; beside them stands what it said of some inputs.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from truesparse import runtime
from truesparse.cli import main
from truesparse.model.loading import load_model

GOLDEN = Path(__file__).parents[1] / "golden" / "v0.1"
EXPECTED: dict[str, dict[str, Any]] = json.loads((GOLDEN / "expected.json").read_text())


def data_of(name: str) -> Path:
    return GOLDEN / ("reviews.csv" if name.startswith("classifier") else "text.txt")


@pytest.mark.parametrize("name", EXPECTED)
def test_the_runtime_says_the_same(name: str) -> None:
    model, expected = runtime.load(GOLDEN / name), EXPECTED[name]
    if "texts" in expected:
        np.testing.assert_allclose(
            model.predict_proba(expected["texts"]), expected["probabilities"], rtol=1e-4, atol=2e-6
        )
    else:
        stream = model.stream()
        for token in expected["ids"]:
            said = stream.step(token)
        np.testing.assert_allclose(said, expected["log_probabilities"], rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("name", EXPECTED)
def test_training_reads_the_model(name: str) -> None:
    saved = load_model(GOLDEN / name / "model.safetensors")
    assert saved.model.arena.nnz == sum(matrix.nnz for matrix in saved.model.matrices.values()) > 0


@pytest.mark.parametrize("name", EXPECTED)
def test_a_run_goes_on(name: str, tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / name, tmp_path / "run")
    task = "classifier" if name.startswith("classifier") else "lm"
    more = ["--data", str(data_of(name)), "--max-steps", "85", "--json", "--quiet"]
    result = CliRunner().invoke(main, ["train", task, "--resume", str(tmp_path / "run"), *more])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["steps"] == 85


@pytest.mark.parametrize("name", EXPECTED)
def test_commands_use_the_model(name: str, tmp_path: Path) -> None:
    model = str(GOLDEN / name / "model.safetensors")
    for arguments in (
        ["info", model],
        ["evaluate", model, "--data", str(data_of(name))],
        ["export", model, "--to", "c", "--out", str(tmp_path / "c")],
    ):
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, result.output
