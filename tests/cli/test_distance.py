from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from truesparse.layers.chain import ChainSpec
from truesparse.layers.embedding.spec import Embedding
from truesparse.layers.lstm.spec import LSTM
from truesparse.layers.models import language_model
from truesparse.layers.output.spec import Softmax
from truesparse.layers.rhn.spec import RHN
from truesparse.model import random_model
from truesparse.model.saving import save_model


@pytest.fixture
def runs(run, tiny: list[str]) -> list[str]:
    """Two runs with different seeds."""
    for name, seed in (("a", 1), ("b", 2)):
        assert run("train", "lm", *tiny, "--seed", seed, "--out", name, "--quiet").exit_code == 0
    return ["a", "b"]


def test_two_models(run, runs: list[str]) -> None:
    lines = run("distance", *runs).stdout.splitlines()
    assert lines[0].split() == ["layer", "distance", "unmatched", "i", "f", "g", "o"]
    assert [line.split()[0] for line in lines[2:] if line.strip()] == [
        *("embedding", "lstm.0", "weight_ih", "weight_hh", "output", "total")
    ]
    values = json.loads(run("distance", *runs, "--json").stdout)
    (pair,) = values["pairs"]
    assert values["models"] == runs
    assert values["distances"] == [[0, pair["distance"]], [pair["distance"], 0]]
    assert 0.3 < pair["distance"] < pair["unmatched"] < 1
    assert lines[-1].split() == ["total", f"{pair['distance']:.4f}", f"{pair['unmatched']:.4f}"]
    layer = pair["layers"][1]
    assert list(layer["per_gate"]) == ["i", "f", "g", "o"]
    assert [matrix["name"] for matrix in layer["matrices"]] == ["lstm.0.weight_ih", "lstm.0.weight_hh"]


def test_two_models_of_the_other_cell(run, tiny: list[str]) -> None:
    for name, seed in (("a", 1), ("b", 2)):
        flags = ["--cell", "rhn", "--depth", "2", "--tied", "--seed", seed, "--out", name, "--quiet"]
        assert run("train", "lm", *tiny, *flags).exit_code == 0
    lines = run("distance", "a", "b").stdout.splitlines()
    assert lines[0].split() == ["layer", "distance", "unmatched", "h", "t"]
    assert [line.split()[0] for line in lines[2:] if line.strip()] == [
        *("embedding", "rhn.0", "weight_ih", "weight_hh.0", "weight_hh.1", "total")
    ]


def test_models_of_two_cells(run, tmp_path: Path) -> None:
    for seed, (pattern, bias) in enumerate([("weight", -2.0), ("unit", -3.0)]):
        cells = LSTM(6, pattern), RHN(6, pattern, depth=1, transform_bias=bias)
        model = random_model(ChainSpec(Embedding(9, 4), *cells, Softmax(9)), 0.5, np.random.default_rng(seed))
        save_model(tmp_path / str(seed), model)
    lines = run("distance", "0", "1").stdout.splitlines()
    assert lines[0].split() == ["layer", "distance", "unmatched", "i", "f", "g", "o", "h", "t"]
    rows = {line.split()[0]: line for line in lines[2:] if line.strip()}
    first = {name: rows[name].rstrip() for name in ("lstm.0", "rhn.0")}
    assert len(first["lstm.0"]) == lines[0].index("o  ") + 1
    assert len(first["rhn.0"].split()) == 5
    assert len(first["rhn.0"]) == len(lines[0].rstrip())
    save_model(
        tmp_path / "2",
        random_model(language_model(9, 4, 6, 1, cell="rhn", depth=1), 0.5, np.random.default_rng(1)),
    )
    save_model(
        tmp_path / "3",
        random_model(language_model(9, 4, 6, 1, cell="rhn", depth=2), 0.5, np.random.default_rng(1)),
    )
    assert "rhn.0.depth is 1 in the first and 2 in the second" in run("distance", "2", "3").stderr


def test_many_models(run, runs: list[str], tmp_path: Path) -> None:
    picture = ["--plot", "map.png"] if find_spec("matplotlib") else []
    result = run("distance", *runs, "a/checkpoint.safetensors", *picture)
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["model", "1", "2", "3"]
    assert [line[:2] for line in lines[2:5]] == [["1", "a"], ["2", "b"], ["3", "a/checkpoint.safetensors"]]
    for number, line in enumerate(lines[2:5]):
        assert line[2 + number] == "0.0000"
    assert lines[2][3] == lines[3][2]
    assert not picture or (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")


def test_refused(run, runs: list[str], tiny: list[str], text_file: Path, monkeypatch) -> None:
    run("train", "lm", *tiny, "--hidden-size", 13, "--out", "wide", "--quiet")
    run("train", "lm", *tiny, "--cell", "rhn", "--out", "rhn", "--quiet")
    text_file.write_text(text_file.read_text().replace("w7", "x7"))
    run("train", "lm", *tiny, "--out", "words", "--quiet")
    for arguments, sentence in (
        (["a"], "a distance needs two models; give two or more"),
        (
            ["a", "wide"],
            "a and wide cannot be compared: embedding.size is 12 in the first and 13 in the second",
        ),
        (
            ["a", "b", "rhn"],
            "a and rhn cannot be compared: a layer is lstm in the first and rhn in the second",
        ),
        (["a", "words"], "a and words cannot be compared: their vocabularies differ; give models that"),
        (["a", "none"], "there is no file or folder none"),
        (["a", "b", "--plot", "map"], "--plot is map; a picture's name must end in .png, .svg or .pdf"),
        (["a", "b", "--plot", "no/map.png"], "--plot: there is no folder"),
    ):
        result = run("distance", *arguments)
        assert result.exit_code == 2
        assert result.stderr.startswith(f"truesparse: {sentence}")
        assert result.stderr.count("\n") == 1
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = run("distance", "a", "b", "--plot", "map.png")
    assert result.exit_code == 2
    assert "a picture needs matplotlib; install it with: pip install" in result.stderr


def test_runs_over_time(run, tiny: list[str], tmp_path: Path) -> None:
    flags = [*tiny, "--keep-topologies", 3, "--update-interval", 20, "--quiet"]
    starts = {"a": ("--seed", 1), "b": ("--seed", 2), "same": ("--seed", 1, "--drop-fraction", 0.3)}
    for name, differs in starts.items():
        assert run("train", "lm", *flags, *differs, "--out", name).exit_code == 0
    steps = sorted(path.stem for path in (tmp_path / "a" / "topologies").iterdir())
    assert steps == [f"step-{step:010}" for step in (0, 40, 80)]

    lines = run("distance", "a").stdout.splitlines()
    assert lines[0].split() == ["epoch", "to", "the", "start", "unmatched", "to", "the", "end", "unmatched"]
    rows = [[float(number) for number in line.split()] for line in lines[2:5]]
    assert [row[0] for row in rows] == [0, 0.8, 1.6]
    assert rows[0][1:3] == [0, 0] == rows[2][3:]
    assert rows[0][3:] == rows[2][1:3]
    assert 0 < rows[1][1] <= rows[1][2] < rows[2][2]
    assert rows[1][4] < rows[0][4]
    if find_spec("matplotlib"):
        assert lines[-1] == "a/topologies.png"
        assert (tmp_path / "a" / "topologies.png").read_bytes().startswith(b"\x89PNG")

    plot = ["--plot", "two.svg"] if find_spec("matplotlib") else []
    values = json.loads(run("distance", "a", "same", "--json", *plot).stdout)
    assert list(values["over_time"]["distances"]) == [
        *("between the two", "first to its start", "second to its start")
    ]
    between = [apart["unmatched"] for apart in values["over_time"]["distances"]["between the two"]]
    assert between[0] == 0 < between[1] < between[2]
    other = json.loads(run("distance", "a", "b", "--json").stdout)["over_time"]["distances"]
    assert other["between the two"][0]["unmatched"] > 0.5
    assert [apart["unmatched"] for apart in other["first to its start"]] == pytest.approx(
        [row[2] for row in rows], abs=1e-4
    )
    if plot:
        drawn = (tmp_path / "two.svg").read_text()
        assert "<svg" in drawn
    text = run("distance", "a", "same").stdout
    assert "total" in text
    assert "between the two" in text

    (tmp_path / "b" / "topologies" / "step-0000000040.safetensors").unlink()
    (tmp_path / "b" / "topologies" / "step-0000000080.safetensors").rename(
        tmp_path / "b" / "topologies" / "step-0000000000.safetensors"
    )
    result = run("distance", "b")
    assert result.exit_code == 2
    assert "one run that was trained with --keep-topologies" in result.stderr
    result = run("distance", "a", "b")
    assert result.exit_code == 0
    assert "between the two" not in result.stdout
