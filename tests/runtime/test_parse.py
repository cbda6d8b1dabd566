"""The structure of sentences by ordered neurons."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from oracles import cumax

from truesparse import runtime
from truesparse.cli.root import main
from truesparse.data import Vocabulary
from truesparse.errors import UsageError
from truesparse.layers.models import language_model
from truesparse.model import random_model
from truesparse.model.saving import save_model
from truesparse.modelfile import Reader, read_model
from truesparse.runtime.parse import Parse

WORDS = ("the", "<eos>", "old", "cat", "sleeps")


def save(path: Path, cell: str = "on-lstm", **own: int) -> Path:
    model = random_model(language_model(5, 4, 6, 2, cell, **own), 0.7, np.random.default_rng(3), scale=0.8)
    save_model(path, model, Vocabulary(WORDS))
    return path


@pytest.mark.parametrize(
    ("distances", "tree"),
    [
        ([2.0, 0.5, 0.3, 1.5], "(the ((old cat) sleeps))"),
        ([0.0, 1.0, 2.0, 3.0], "(((the old) cat) sleeps)"),
        ([3.0, 2.0, 1.0, 0.0], "(the (old (cat sleeps)))"),
    ],
)
def test_the_largest_distance_parts_first(distances: list[float], tree: str) -> None:
    assert Parse(("the", "old", "cat", "sleeps"), np.array(distances, np.float32), 1).brackets() == tree


def test_a_distance_is_how_much_the_master_forget_gate_overwrites(tmp_path: Path) -> None:
    path = save(tmp_path / "m", chunk_size=2)
    model = runtime.load_language_model(path)
    found = model.parse("the cat sleeps", layer=1)
    assert (found.tokens, found.layer) == (("the", "cat", "sleeps"), 1)
    stream = model.stream()
    stream.advance(1)
    with Reader(path) as reader:
        stored = read_model(reader)
    matrices = {name: csr.to_dense() for name, csr in stored.matrices.items()}
    master_ih, master_hh = (matrices[f"on_lstm.0.master_{reads}"] for reads in ("ih", "hh"))
    embedding = matrices["embedding.weight"]
    for token, distance in zip((0, 3, 4), found.distances, strict=True):
        sums = master_ih @ embedding[token] + master_hh @ stream.state["on_lstm.0.h"].ravel()
        assert distance == pytest.approx(3 - cumax(sums[:3]).sum(), rel=1e-5)
        stream.advance(token)


def test_the_command_prints_distances_and_a_tree(tmp_path: Path) -> None:
    path = save(tmp_path / "m", chunk_size=2)
    arguments = ["parse", str(path), "--text", "the old cat sleeps", "--text", "cat"]
    told = CliRunner().invoke(main, arguments)
    lines = told.stdout.splitlines()
    assert [line.split()[1] for line in lines[:4]] == ["the", "old", "cat", "sleeps"]
    assert lines[4].count("(") == lines[4].count(")") == 3
    assert lines[-1] == "cat"
    document = json.loads(CliRunner().invoke(main, [*arguments, "--json"]).stdout)
    assert document["layer"] == 2
    assert document["sentences"][0]["tree"] == lines[4]


def test_what_cannot_be_parsed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no layer of ordered neurons; train one with the cell on-lstm"):
        runtime.load_language_model(save(tmp_path / "lstm", "lstm")).parse("the cat")
    model = runtime.load_language_model(save(tmp_path / "m", chunk_size=2))
    with pytest.raises(UsageError, match="layer is 3; the model has 2"):
        model.parse("the cat", 3)
    with pytest.raises(UsageError, match="a sentence has 1 to 400 tokens, not 0"):
        model.parse(" ")
