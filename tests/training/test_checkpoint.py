from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from document_helpers import with_settings

import truesparse
from truesparse.data import Vocabulary
from truesparse.errors import TruesparseError
from truesparse.layers.models import language_model
from truesparse.model import Model, random_model
from truesparse.model.loading import load_model
from truesparse.model.saving import save_model
from truesparse.modelfile import container
from truesparse.modelfile.data_settings import DataSettings
from truesparse.optim import SGD
from truesparse.training.checkpoint import load_checkpoint, save_checkpoint

HISTORY = {"batch_size": 3, "bptt": 7, "data": None, "colour": "red"}
VOCABULARY = Vocabulary(("the", "a", "<eos>", "ü", "<unk>"))


@pytest.fixture(
    params=[
        {},
        {"tied": True},
        {"cell": "rhn", "depth": 3},
        {"pattern": "unit", "output_group": 5},
        {"cell": "rhn", "depth": 3, "pattern": "unit"},
        {"cell": "gru"},
        {"cell": "gru", "reset_gate": "before", "pattern": "unit"},
    ],
    ids=["untied", "tied", "rhn", "unit", "rhn, unit", "gru", "gru, unit"],
)
def model(request: pytest.FixtureRequest) -> Model:
    spec = language_model(len(VOCABULARY), 6, 6, 2, **request.param)
    return random_model(spec, 0.4, np.random.default_rng(1))


def assert_same(model: Model, other: Model) -> None:
    assert model.chain == other.chain
    assert model.arena.layout == other.arena.layout
    np.testing.assert_array_equal(model.arena.values, other.arena.values)
    for name, matrix in model.arena.matrices.items():
        np.testing.assert_array_equal(matrix.indptr, other.arena.matrices[name].indptr)
        np.testing.assert_array_equal(matrix.indices, other.arena.matrices[name].indices)
        assert matrix.blocks == other.arena.matrices[name].blocks
        assert matrix.group == other.arena.matrices[name].group
        assert other.arena.matrices[name].indices.ctypes.data % 64 == 0


def test_a_model_comes_back(model: Model, tmp_path: Path) -> None:
    save_model(tmp_path / "m", model, VOCABULARY, history=HISTORY)
    saved = load_model(tmp_path / "m")
    assert_same(model, saved.model)
    assert (saved.vocabulary, saved.encoder, saved.path) == (VOCABULARY, None, tmp_path / "m")
    assert saved.data == DataSettings(batch_size=3, bptt=7, built_in=True)
    assert saved.model.arena.states == {}
    ids = np.array([[0], [1]], np.int32).repeat(18, axis=1)
    np.testing.assert_array_equal(
        model.predict(ids, model.workspace(4, 18)),
        saved.model.predict(ids, saved.model.workspace(4, 18)),
    )


def test_a_checkpoint_comes_back(model: Model, tmp_path: Path) -> None:
    SGD(model.arena, 1.0, momentum=0.9)
    for where in model.arena.layout.values():
        model.arena.states["momentum"][where] = np.random.default_rng(2).random(where.stop - where.start)
    hidden = {"lstm.0.h": np.full((6, 3), 0.5, np.float32)}
    generator = np.random.default_rng(3)
    training = {"step": 7, "lr": 0.1 + 0.2, "generator": generator.bit_generator.state, "best_loss": None}
    save_checkpoint(tmp_path / "c", model, VOCABULARY, HISTORY, hidden, training)
    saved = load_checkpoint(tmp_path / "c")
    assert_same(model, saved.model)
    np.testing.assert_array_equal(model.arena.states["momentum"], saved.model.arena.states["momentum"])
    np.testing.assert_array_equal(hidden["lstm.0.h"], saved.hidden["lstm.0.h"])
    assert (saved.training, saved.history) == (training, HISTORY)
    assert saved.version == truesparse.__version__
    other = np.random.default_rng()
    other.bit_generator.state = saved.training["generator"]
    assert other.random() == generator.random()
    assert_same(model, load_model(tmp_path / "c").model)


def test_a_model_is_no_checkpoint(model: Model, tmp_path: Path) -> None:
    save_model(tmp_path / "m", model, VOCABULARY, history=HISTORY)
    with pytest.raises(TruesparseError, match="is a model, not a checkpoint"):
        load_checkpoint(tmp_path / "m")


@pytest.fixture
def contents(tmp_path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    spec = language_model(len(VOCABULARY), 6, 6, 1)
    model = random_model(spec, 0.4, np.random.default_rng(1))
    save_model(tmp_path / "good", model, VOCABULARY)
    with container.Reader(tmp_path / "good") as reader:
        return {name: reader.get(name) for name in reader.names}, reader.document


def test_a_file_without_a_depth_has_an_lstm(
    contents: tuple[dict[str, np.ndarray], dict[str, Any]], tmp_path: Path
) -> None:
    tensors, document = contents
    sizes = {key: value for key, value in document["model"].items() if key != "depth"}
    container.write(tmp_path / "old", tensors, document | {"model": sizes})
    assert_same(load_model(tmp_path / "old").model, load_model(tmp_path / "good").model)


def test_files_whose_parts_do_not_fit(
    contents: tuple[dict[str, np.ndarray], dict[str, Any]], tmp_path: Path
) -> None:
    tensors, document = contents
    path = tmp_path / "bad"

    def check(message: str, tensors: dict[str, np.ndarray], document: dict[str, Any]) -> None:
        container.write(path, tensors, document)
        with pytest.raises(TruesparseError, match=message):
            load_model(path)

    layers = document["model"]["layers"]
    name = "lstm.0.weight_hh"
    indices = tensors[f"{name}.indices"].copy()
    indices[0] = 60_000
    check(f"{name} in .*bad is not a valid sparse pattern", {**tensors, f"{name}.indices": indices}, document)
    check(
        "is of another model: it has no lstm.1",
        tensors,
        {**document, "model": document["model"] | {"layers": [*layers[:3], *layers[1:]]}},
    )
    larger = with_settings(document["model"], "embedding", tokens=6)
    check("not a valid sparse pattern", tensors, {**document, "model": larger})
    fewer = document["vocabulary"] | {"tokens": ["a"]}
    check(
        "another model: its vocabulary has 1 tokens, its matrices 5",
        tensors,
        {**document, "vocabulary": fewer},
    )
    check("is float64 of shape", {**tensors, "output.bias": np.zeros(5)}, document)
    check("bad does not describe its model; use another", tensors, {**document, "model": None})
    check("'colour', which is unknown", tensors, {**document, "model": document["model"] | {"colour": 2}})
    check(
        "there is no layer 'tagger'",
        tensors,
        {**document, "model": with_settings(document["model"], "lstm", type="tagger")},
    )
    check(
        "is of another model: its type is lstm-tagger",
        tensors,
        {**document, "model": {"type": "lstm-tagger"}},
    )
