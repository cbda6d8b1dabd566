from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from truesparse.data import SeriesEncoder, TextEncoder, Vocabulary
from truesparse.errors import TruesparseError, UsageError
from truesparse.layers.models import sequence_model
from truesparse.model import Model, random_model
from truesparse.model.saving import document_of, save_model, tensors_of
from truesparse.modelfile import Reader, read_model
from truesparse.modelfile.container import write


def test_a_dense_output_layer_can_be_had_as_a_matrix(tmp_path: Path) -> None:
    words = Vocabulary(("<unk>", "a"), "word", True)
    for sparse in (False, True):
        spec = sequence_model(2, 3, 4, 1, outputs=3, sparse_output=sparse)
        model = random_model(spec, 0.5, np.random.default_rng(1))
        save_model(tmp_path / "m", model, words, TextEncoder(words, 7), ("x", "y", "z"))
        with Reader(tmp_path / "m") as reader:
            stored = read_model(reader)
        if sparse:
            assert stored.with_sparse_output() is stored
            continue
        made = stored.with_sparse_output()
        weights = stored.vectors["output.weight"]
        np.testing.assert_array_equal(made.matrices["output.weight"].to_dense(), weights.reshape(3, 4))
        assert "output.weight" not in made.vectors
        assert made.matrices.keys() == {matrix.name for matrix in made.chain.matrices}
        assert made.vectors.keys() == {vector.name for vector in made.chain.vectors}
        assert made.nnz == stored.nnz + 12


FORECASTER = SeriesEncoder(
    "forecast",
    ("sales", "rain", "holiday"),
    ("sales",),
    ("holiday",),
    lookback=9,
    horizon=2,
    season=7,
    linear=(0.5, -2.0),
)


def forecaster() -> Model:
    chain = sequence_model(0, len(FORECASTER.read), 5, 1, outputs=2, kind="regressor")
    return random_model(chain, 0.5, np.random.default_rng(1))


def test_a_model_of_features_says_what_they_are_called(tmp_path: Path) -> None:
    labels = SeriesEncoder("label-steps", ("x1",), ("label",))
    tagger = random_model(sequence_model(0, 1, 5, 1, outputs=2, pooling=""), 0.5, np.random.default_rng(1))
    for model, encoder, names in (forecaster(), FORECASTER, ()), (tagger, labels, ("up", "down")):
        model.save(tmp_path / "m", encoder, names)
        with Reader(tmp_path / "m") as reader:
            stored = read_model(reader)
        assert (stored.encoder, stored.labels, stored.vocabulary) == (encoder, names, None)
    tagger.save(tmp_path / "m", labels=("up", "down"))  # names of features are no must
    with Reader(tmp_path / "m") as reader:
        assert (read_model(reader).encoder, read_model(reader).labels) == (None, ("up", "down"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"goal": "guess", "lookback": 0, "horizon": 0, "season": 0}, "describes other numbers"),
        ({"goal": "regress-steps", "lookback": 0, "horizon": 0, "season": 0}, "describes other numbers"),
        ({"goal": "classify", "lookback": 0, "horizon": 0, "season": 0}, "describes other numbers"),
        ({"features": ("sales", "holiday")}, "as many numbers as its layers do not"),
        ({"horizon": 3}, "as many numbers as its layers do not"),
        ({"horizon": 0}, "no valid horizon"),
        ({"lookback": True}, "no valid lookback"),
        ({"targets": ("rain",)}, "forecasts what it does not read"),
        ({"features": ("sales", "sales", "rain")}, "has names twice among the features"),
        ({"linear": (0.5, True)}, "no valid linear part"),
        ({"linear": (0.5,)}, "has a linear part of other forecasts"),
        ({"linear": (0.5,) * 20}, "has a linear part of other forecasts"),
        ({"known": "holiday"}, "no valid names as known"),
    ],
)
def test_what_does_not_fit_a_model_of_features_is_refused(tmp_path: Path, change, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        forecaster().save(tmp_path / "m", replace(FORECASTER, **change))
    assert not (tmp_path / "m").exists()
    document = {**FORECASTER.to_document(), **change}
    save = partial(document_of, "model", forecaster().chain, None, None, ())
    write(tmp_path / "m", tensors_of(forecaster().arena), {**save(None), "series": document})
    with Reader(tmp_path / "m") as reader, pytest.raises(TruesparseError, match=message):
        read_model(reader)
