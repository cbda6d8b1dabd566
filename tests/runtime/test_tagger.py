from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from truesparse import runtime
from truesparse.data import Sequences, TokenEncoder, Vocabulary
from truesparse.errors import TruesparseError, UsageError
from truesparse.layers.models import language_model, sequence_model
from truesparse.model import Model, random_model
from truesparse.model.saving import save_model
from truesparse.runtime.reader import _BATCH

SIZES = {
    "lstm": sequence_model(40, 12, 20, 2, outputs=3, pooling=""),
    "sparse output": sequence_model(40, 12, 20, 1, outputs=3, pooling="", sparse_output=True),
    "rhn": sequence_model(40, 12, 20, 1, cell="rhn", depth=3, outputs=3, pooling=""),
    "unit": sequence_model(40, 12, 20, 1, pattern="unit", outputs=3, pooling=""),
}
LABELS = ("B-X", "I-X", "O")
WORDS = ("<unk>", *(f"w{number}" for number in range(39)))


class Pair(NamedTuple):
    """The same tagger in training and in the runtime."""

    trained: Model
    model: runtime.Tagger


@pytest.fixture(params=SIZES.values(), ids=SIZES)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Pair:
    rng = np.random.default_rng(1)
    trained = random_model(request.param, 0.3, rng, scale=0.5)
    for bias in trained.arena.biases.values():
        bias[...] = 0.5 * rng.normal(size=bias.size)
    trained.arena.touch()
    words = Vocabulary(WORDS)
    save_model(tmp_path / "m", trained, words, TokenEncoder(words), LABELS)
    model = runtime.load(tmp_path / "m")
    assert isinstance(model, runtime.Tagger)
    return Pair(trained, model)


def sequences(*lengths: int) -> list[np.ndarray]:
    rng = np.random.default_rng(2)
    return [rng.integers(0, 40, length).astype(np.int32) for length in lengths]


def test_the_forward_pass_is_that_of_training(pair: Pair) -> None:
    sentences = sequences(5, 1, 30, 12, 12, 2, 30)
    inputs, lengths = Sequences.of(sentences).batch(np.arange(7), 18)
    expected = pair.trained.predict_steps(inputs, pair.trained.workspace(30, 18), lengths=lengths)
    for place, scores in enumerate(pair.model.log_probabilities(sentences)):
        assert scores.shape == (len(sentences[place]), 3)
        np.testing.assert_allclose(scores, expected[: len(scores), :, place], rtol=1e-6, atol=1e-6)


def test_a_stream_says_the_labels_after_each_token(pair: Pair) -> None:
    (ids,) = sentences = sequences(17)
    expected = pair.model.log_probabilities(sentences)[0]
    stream, both = pair.model.stream(), pair.model.stream(2)
    for token, scores in zip(ids, expected, strict=True):
        np.testing.assert_allclose(stream.step(token), scores, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(both.step([ids[0], token])[1], scores, rtol=2e-6, atol=2e-6)
    stream.reset()
    np.testing.assert_allclose(stream.step(ids[0]), expected[0], rtol=1e-6, atol=1e-6)


def test_sentences(pair: Pair) -> None:
    words = [["w1", "giraffe", "w3"], [], ["w5"], ["w7"] * 50] * _BATCH
    told = pair.model.predict(words)
    ids = [[WORDS.index(word) if word in WORDS else 0 for word in tokens] for tokens in words]
    for tokens, labels in zip(ids, told, strict=True):
        stream = pair.model.stream()
        assert labels == [LABELS[stream.step(token).argmax()] for token in tokens]
    assert pair.model.predict([]) == []


def test_bad_tokens(pair: Pair) -> None:
    with pytest.raises(TruesparseError, match="the token 40 is not in the vocabulary"):
        pair.model.log_probabilities([[1, 40]])
    with pytest.raises(TruesparseError, match="must be one whole number"):
        pair.model.log_probabilities(["w1"])


def test_models_of_another_kind(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    words = Vocabulary(WORDS)
    tagger = random_model(SIZES["lstm"], 0.5, rng)
    save_model(tmp_path / "t", tagger, words, TokenEncoder(words), LABELS)
    save_model(tmp_path / "l", random_model(language_model(40, 4, 4, 1), 0.5, rng), words)
    for load, what in (
        (runtime.load_language_model, "language model"),
        (runtime.load_classifier, "classifier"),
    ):
        with pytest.raises(UsageError, match=f"t is a tagger, not a {what}; use truesparse predict"):
            load(tmp_path / "t")
    with pytest.raises(UsageError, match="l is a language model, not a tagger; use truesparse generate"):
        runtime.load_tagger(tmp_path / "l")
