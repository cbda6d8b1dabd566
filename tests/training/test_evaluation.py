"""The perplexity of a text is that of a stream, however it is computed."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from oracles import loss_of_stream
from runtime.conftest import Pair, pair

from truesparse.data import Windows
from truesparse.errors import TruesparseError
from truesparse.layers.lstm.spec import LSTM
from truesparse.training import evaluation
from truesparse.training.evaluation import evaluate, evaluate_stream

__all__ = ["pair"]  # a fixture


@pytest.fixture
def ids() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 40, 331).astype(np.int32)


@pytest.mark.parametrize("tokens", [2, 3, 12, 331])
def test_any_text_of_two_tokens_or_more(pair: Pair, ids: np.ndarray, tokens: int) -> None:
    result = evaluate_stream(pair.trained, ids[:tokens], batch_size=20, bptt=10)
    assert result.tokens == tokens - 1
    assert result.loss == pytest.approx(loss_of_stream(pair.model, ids[:tokens]), rel=2e-6)


@pytest.mark.parametrize("tokens", [0, 1])
def test_less_is_refused(pair: Pair, ids: np.ndarray, tokens: int) -> None:
    with pytest.raises(TruesparseError, match=f"has {tokens} token.* needs two"):
        evaluate_stream(pair.trained, ids[:tokens], 3, 10)


def test_parts_side_by_side_are_one_stream(
    pair: Pair, ids: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the tokens before a part do not tell its state."""
    exact = loss_of_stream(pair.model, ids)
    monkeypatch.setattr(evaluation, "WARM_UP", 3)
    for (batch_size, bptt), part in product(((18, 10), (20, 1000)), (10, 55, 83)):
        monkeypatch.setattr(evaluation, "PART", part)
        result = evaluate_stream(pair.trained, ids, batch_size, bptt)
        assert result.loss == pytest.approx(exact, rel=1e-5), (batch_size, bptt, part)
        assert result.tokens == 330


def test_a_model_that_forgets_nothing(ids: np.ndarray, monkeypatch: pytest.MonkeyPatch, pair: Pair) -> None:
    """Every part is read until it begins as the one before has ended."""
    places = pair.trained.chain.recurrent
    if not isinstance(places[0].spec, LSTM):
        pytest.skip("of an LSTM's forget gates")
    monkeypatch.setattr(evaluation, "PART", 40)
    monkeypatch.setattr(evaluation, "WARM_UP", 3)
    for place in places:
        pair.trained.arena.biases[f"{place.name}.bias"].reshape(4, -1)[1] = 30
    passes = [0]
    load = type(pair.trained.zero_state(1)).load

    def counted(state, arrays) -> None:
        passes[0] += 1
        load(state, arrays)

    monkeypatch.setattr("truesparse.model.model.State.load", counted)
    whole = evaluate(pair.trained, Windows(ids, 1, 50), pair.trained.workspace(50, 1))
    result = evaluate_stream(pair.trained, ids, 20, 10)
    assert result.loss == pytest.approx(whole.loss, rel=1e-5)
    assert passes[0] == 8
