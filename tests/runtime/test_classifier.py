from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from truesparse import runtime
from truesparse.data import Sequences, TextEncoder, Vocabulary
from truesparse.errors import TruesparseError, UsageError
from truesparse.layers.chain import ChainSpec
from truesparse.layers.embedding.spec import Embedding
from truesparse.layers.linear.spec import Linear
from truesparse.layers.lstm.spec import LSTM
from truesparse.layers.models import language_model, sequence_model
from truesparse.layers.output.spec import Softmax
from truesparse.layers.pool.spec import Pool
from truesparse.model import Model, random_model
from truesparse.model.saving import save_model
from truesparse.runtime.reader import _BATCH

SIZES = {
    "last": sequence_model(40, 12, 20, 2, outputs=3),
    "mean": sequence_model(40, 12, 20, 1, pooling="mean", sparse_output=True),
    "max": sequence_model(40, 12, 20, 1, outputs=4, pooling="max"),
    "rhn, last": sequence_model(40, 12, 20, 1, cell="rhn", depth=3, outputs=3, sparse_output=True),
    "rhn, mean": sequence_model(40, 12, 20, 2, cell="rhn", depth=3, outputs=3, pooling="mean"),
    "linear, max": ChainSpec(
        Embedding(40, 12), LSTM(20), Linear(9, "tanh"), Pool("max"), Linear(30, "relu"), Softmax(4)
    ),
    "words alone": ChainSpec(Embedding(40, 12), Pool("mean"), Linear(9, "relu"), Softmax(3)),
    "linear, last": ChainSpec(Embedding(40, 12), LSTM(20), Pool(), Linear(9), Softmax(3, sparse=False)),
    "rhn, max": sequence_model(40, 12, 20, 1, cell="rhn", depth=3, pooling="max"),
}
LABELS = ("good", "bad", "ugly", "none")


class Pair(NamedTuple):
    """The same classifier in training and in the runtime."""

    trained: Model
    model: runtime.Classifier
    path: Path


def build(chain: ChainSpec, path: Path, padding: str = "masked") -> Pair:
    rng = np.random.default_rng(1)
    trained = random_model(chain, 0.3, rng, scale=0.5)
    for bias in trained.arena.biases.values():
        bias[...] = 0.5 * rng.normal(size=bias.size)
    vocabulary = Vocabulary(("<unk>", "<pad>", *(f"w{number}" for number in range(38))), "word", True)
    encoder = TextEncoder(vocabulary, 30, padding=padding)
    save_model(path, trained, vocabulary, encoder, LABELS[: chain.head.outputs])
    return Pair(trained, runtime.load_classifier(path), path)


@pytest.fixture(params=SIZES.values(), ids=SIZES)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Pair:
    return build(request.param, tmp_path / "m.safetensors")


def sequences(*lengths: int) -> list[np.ndarray]:
    rng = np.random.default_rng(2)
    return [rng.integers(0, 40, length).astype(np.int32) for length in lengths]


def as_trained(trained: Model, texts: list[np.ndarray]) -> np.ndarray:
    """Log-probabilities, shape (texts, classes)."""
    inputs, lengths = Sequences.of(texts).batch(np.arange(len(texts)), 18)
    return trained.predict(inputs, trained.workspace(30, 18), lengths=lengths).T[: len(texts)]


def test_the_forward_pass_is_that_of_training(pair: Pair) -> None:
    texts = sequences(5, 1, 30, 12, 12, 2, 30)
    expected = as_trained(pair.trained, texts)
    np.testing.assert_allclose(pair.model.log_probabilities(texts), expected, rtol=1e-6, atol=1e-6)


def test_a_stream_says_the_same(pair: Pair) -> None:
    (ids,) = texts = sequences(17)
    stream = pair.model.stream()
    for token in ids:
        stream.advance(token)
    expected = pair.model.log_probabilities(texts)[0]
    np.testing.assert_allclose(stream.log_probabilities(), expected, rtol=1e-6, atol=1e-6)
    difference = stream.logits() - stream.log_probabilities()
    np.testing.assert_allclose(difference, difference[0], atol=1e-6)
    both = pair.model.stream(2)
    for token in ids:
        both.advance([token, ids[0]])
    assert both.logits().shape == (2, len(pair.model.labels))
    np.testing.assert_allclose(both.log_probabilities()[0], expected, rtol=2e-6, atol=2e-6)


def test_a_stream_can_be_asked_in_between_and_goes_on(pair: Pair) -> None:
    (ids,) = sequences(9)
    asked, kept = pair.model.stream(), pair.model.stream()
    for place, token in enumerate(ids):
        asked.advance(token)
        asked.logits()
        if place == 4:
            kept.state = asked.state
        elif place > 4:
            kept.advance(token)
    expected = pair.model.log_probabilities([ids])[0]
    for stream in (asked, kept):
        np.testing.assert_allclose(stream.log_probabilities(), expected, rtol=1e-6, atol=1e-6)
    asked.reset()
    asked.advance(3)
    alone = pair.model.log_probabilities([[3]])[0]
    np.testing.assert_allclose(asked.log_probabilities(), alone, rtol=1e-6, atol=1e-6)


def test_more_texts_than_are_read_at_a_time(pair: Pair) -> None:
    lengths = np.random.default_rng(3).integers(1, 9, 2 * _BATCH + 5)
    texts = sequences(*lengths)
    alone = np.concatenate([pair.model.log_probabilities([ids]) for ids in texts])
    np.testing.assert_allclose(pair.model.log_probabilities(texts), alone, rtol=2e-6, atol=2e-6)
    assert pair.model.log_probabilities([]).shape == (0, len(pair.model.labels))


@pytest.mark.parametrize("padding", ["masked", "before", "after"])
def test_texts(tmp_path: Path, padding: str) -> None:
    trained, model, _ = build(SIZES["max"], tmp_path / "m", padding)
    texts = ["w1 W2, w3!", "giraffe", "w7 " * 50]
    probabilities = model.predict_proba(texts)
    expected = as_trained(trained, [model.encoder.encode(text) for text in texts])
    np.testing.assert_allclose(np.log(probabilities), expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert model.predict(texts) == [model.labels[place] for place in expected.argmax(axis=1)]
    assert model.labels == LABELS
    assert model.predict([]) == []


def test_texts_without_words(pair: Pair) -> None:
    with pytest.raises(TruesparseError, match="text 2 of 3 has no words"):
        pair.model.predict(["w1", " \n", "w2"])


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([1, 40], "the token 40 is not in the vocabulary, which has the numbers 0 to 39"),
        ([-1], "the token -1 is not"),
        ([1.5], "must be whole numbers"),
        ("w1", "must be one whole number"),
    ],
)
def test_bad_tokens(pair: Pair, ids: object, message: str) -> None:
    with pytest.raises(TruesparseError, match=message):
        pair.model.log_probabilities([[1], ids])  # type: ignore[list-item]
    with pytest.raises(TruesparseError, match="the token 40"):
        pair.model.stream().advance(40)


def test_models_of_another_kind(tmp_path: Path) -> None:
    path = build(SIZES["last"], tmp_path / "c").path
    assert isinstance(runtime.load(path), runtime.Classifier)
    with pytest.raises(UsageError, match="is a classifier, not a language model; use truesparse predict"):
        runtime.load_language_model(path)
    trained = random_model(language_model(5, 4, 4, 1), 0.5, np.random.default_rng(1))
    save_model(tmp_path / "l", trained)
    with pytest.raises(UsageError, match="is a language model, not a classifier; use truesparse generate"):
        runtime.load_classifier(tmp_path / "l")
