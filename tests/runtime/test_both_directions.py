"""Models that read in both directions: what they say of whole sequences, and that they have no stream."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from truesparse import runtime
from truesparse.data import Sequences, TextEncoder, TokenEncoder, Vocabulary
from truesparse.errors import TruesparseError, UsageError
from truesparse.layers.bidirectional.spec import Bidirectional
from truesparse.layers.chain import ChainSpec
from truesparse.layers.embedding.spec import Embedding
from truesparse.layers.linear.spec import Linear
from truesparse.layers.lstm.spec import LSTM
from truesparse.layers.models import sequence_model
from truesparse.layers.output.spec import Softmax
from truesparse.layers.pool.spec import Pool
from truesparse.model import random_model
from truesparse.model.saving import save_model

SIZES = {
    "last": sequence_model(40, 12, 20, 2, outputs=3, bidirectional=True),
    "mean, rhn": sequence_model(
        40, 12, 20, 1, cell="rhn", depth=3, outputs=3, bidirectional=True, pooling="mean"
    ),
    "max, gru": sequence_model(40, 12, 20, 1, cell="gru", outputs=3, bidirectional=True, pooling="max"),
    "steps": sequence_model(40, 12, 20, 2, pattern="unit", outputs=3, pooling="", bidirectional=True),
    "then forward": ChainSpec(
        Embedding(40, 12), Bidirectional(LSTM(8)), Linear(9, "tanh"), LSTM(20), Pool(), Softmax(3)
    ),
}
WORDS = ("<unk>", *(f"w{number}" for number in range(39)))


@pytest.mark.parametrize("chain", SIZES.values(), ids=SIZES)
def test_what_is_said_of_whole_sequences_is_what_training_says(chain: ChainSpec, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    trained = random_model(chain, 0.3, rng, scale=0.5)
    for bias in trained.arena.biases.values():
        bias[...] = 0.5 * rng.normal(size=bias.size)
    words = Vocabulary(WORDS)
    encoder = TokenEncoder(words) if chain.per_step else TextEncoder(words, 40)
    save_model(tmp_path / "m", trained, words, encoder, ("a", "b", "c"))
    model = runtime.load(tmp_path / "m")
    assert isinstance(model, runtime.Classifier | runtime.Tagger)
    assert model.chain == chain
    sequences = [rng.integers(0, 40, length).astype(np.int32) for length in (5, 1, 30, 12, 12, 2, 30)]
    inputs, lengths = Sequences.of(sequences).batch(np.arange(7), 18)
    ws = trained.workspace(30, 18)
    if chain.per_step:
        expected = trained.predict_steps(inputs, ws, lengths=lengths)
        for place, scores in enumerate(model.log_probabilities(sequences)):
            np.testing.assert_allclose(scores, expected[: len(scores), :, place], rtol=1e-6, atol=1e-6)
        assert model.log_probabilities([np.zeros(0, np.int32)])[0].shape == (0, 3)
    else:
        expected = trained.predict(inputs, ws, lengths=lengths).T[:7]
        np.testing.assert_allclose(model.log_probabilities(sequences), expected, rtol=1e-6, atol=1e-6)
    with pytest.raises(TruesparseError, match="reads in both directions has no stream"):
        model.stream()


def test_a_model_without_labels_reads_numbers_and_is_no_language_model(tmp_path: Path) -> None:
    trained = random_model(SIZES["steps"], 0.3, np.random.default_rng(1))
    with pytest.raises(UsageError, match="is no language model; give a TokenEncoder and the labels"):
        trained.save(tmp_path / "m", Vocabulary(WORDS))
    trained.save(tmp_path / "m")
    ids = np.arange(7, dtype=np.int32)
    (said,) = runtime.load(tmp_path / "m").predict([ids])
    expected = trained.predict_steps(ids[:, None].repeat(18, axis=1), trained.workspace(7, 18))[:, :, 0]
    np.testing.assert_array_equal(said, expected.argmax(axis=1))
