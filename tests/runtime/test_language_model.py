from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from runtime.conftest import Pair

from truesparse import runtime
from truesparse.data import Vocabulary
from truesparse.errors import TruesparseError, UsageError
from truesparse.layers.chain import ChainSpec
from truesparse.layers.embedding.spec import Embedding
from truesparse.layers.linear.spec import Linear
from truesparse.layers.lstm.spec import LSTM
from truesparse.layers.models import language_model
from truesparse.layers.output.spec import Softmax
from truesparse.model import random_model
from truesparse.model.saving import save_model
from truesparse.training.checkpoint import save_checkpoint


def test_the_forward_pass_is_that_of_training(pair: Pair) -> None:
    trained, model, _ = pair
    ids = np.random.default_rng(2).integers(0, 40, (9, 18)).astype(np.int32)
    state, workspace = trained.zero_state(18), trained.workspace(9, 18)
    stream = model.stream(18)
    for step, tokens in enumerate(ids):
        expected = trained.predict(ids[step : step + 1], workspace, state).T
        np.testing.assert_allclose(stream.step(tokens), expected, rtol=1e-6, atol=1e-6)
    for name, array in state.arrays().items():
        np.testing.assert_allclose(stream.state[name], array, rtol=0, atol=1e-6)


def test_a_batch_is_as_many_sequences(pair: Pair) -> None:
    model = pair.model
    ids = np.random.default_rng(3).integers(0, 40, (6, 3))
    together = model.stream(3).read(ids)
    assert together.shape == (3, 40)
    for sequence in range(3):
        alone = model.stream().read(ids[:, sequence])
        assert alone.shape == (40,)
        np.testing.assert_allclose(alone, together[sequence], rtol=0, atol=2e-6)


def test_logits_and_log_probabilities(pair: Pair) -> None:
    stream = pair.model.stream()
    log_probabilities = stream.step(3)
    assert np.exp(log_probabilities).sum() == pytest.approx(1)
    difference = stream.logits() - log_probabilities
    np.testing.assert_allclose(difference, difference[0], atol=1e-5)


def test_a_state_can_be_kept(pair: Pair) -> None:
    stream = pair.model.stream()
    stream.read([1, 2, 3])
    kept = stream.state
    after = stream.step(4)
    stream.reset()
    assert not any(array.any() for array in stream.state.values())
    other = pair.model.stream()
    other.state = kept
    np.testing.assert_array_equal(other.step(4), after)
    with pytest.raises(TruesparseError, match=r"is not of the shape \(20, 2\) of this stream"):
        pair.model.stream(2).state = kept


def test_streams_do_not_disturb_each_other(pair: Pair) -> None:
    first, second = pair.model.stream(), pair.model.stream()
    first.step(1)
    second.step(7)
    np.testing.assert_array_equal(first.step(2), pair.model.stream().read([1, 2]))


def test_the_predictions_of_a_run_folder_and_of_a_checkpoint(tmp_path: Path) -> None:
    trained = random_model(language_model(5, 4, 4, 1), 0.5, np.random.default_rng(1))
    words = Vocabulary(tuple("abcde"), "char")
    save_checkpoint(tmp_path / "checkpoint.safetensors", trained, words, {}, {}, {})
    model = runtime.load(str(tmp_path))
    assert model.vocabulary == words
    assert model.chain.recurrent[0].spec == LSTM(4)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (40, "the token 40 is not in the vocabulary, which has the numbers 0 to 39"),
        (-1, "the token -1 is not"),
        (1.0, "must be one whole number, not float64"),
        ([1, 2], r"must be one whole number, not int64 of shape \(2,\)"),
        ("the", "encode text with the model's vocabulary"),
        (None, "must be one whole number"),
    ],
)
def test_bad_tokens(pair: Pair, tokens: object, message: str) -> None:
    stream = pair.model.stream()
    with pytest.raises(TruesparseError, match=message):
        stream.step(tokens)  # type: ignore[arg-type]
    with pytest.raises(TruesparseError, match=r"an array of shape \(2,\)"):
        pair.model.stream(2).step([1])
    with pytest.raises(TruesparseError, match="the token 99 is not"):
        pair.model.stream(2).step([1, 99])


def test_bad_batches(pair: Pair) -> None:
    with pytest.raises(UsageError, match="the batch is 0"):
        pair.model.stream(0)


def test_a_model_without_vocabulary_reads_numbers_only(tmp_path: Path) -> None:
    trained = random_model(language_model(5, 4, 4, 1), 0.5, np.random.default_rng(1))
    save_model(tmp_path / "m", trained)
    model = runtime.load(tmp_path / "m")
    assert model.stream().step(2).shape == (5,)
    with pytest.raises(TruesparseError, match="m has no vocabulary, so it reads numbers, not text"):
        next(model.generate("a"))


def test_a_chain_that_the_runtime_cannot_run(tmp_path: Path) -> None:
    chain = ChainSpec(Embedding(40, 12), Linear(9), Softmax(40))
    save_model(tmp_path / "m.safetensors", random_model(chain, 0.5, np.random.default_rng(0)))
    with pytest.raises(TruesparseError, match="has no recurrent layer, which the runtime needs"):
        runtime.load(tmp_path / "m.safetensors")


def test_importing_needs_numpy_and_safetensors_only() -> None:
    code = """
import sys
from truesparse import runtime
foreign = {name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names
print(sorted(foreign - {"__main__", "__mp_main__"}))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = eval(result.stdout)
    assert {"numpy", "safetensors", "truesparse"} <= set(imported)
    for name in ("numba", "scipy", "click", "rich", "llvmlite"):
        assert name not in imported
