"""Kernels check nothing: what a model cannot read is refused before they see it."""

from __future__ import annotations

import numpy as np
import pytest

import truesparse as ts

IDS = np.arange(600) % 12


def speaker() -> ts.Model:
    return ts.Chain(ts.Embedding(12, 8), ts.GRU(8), ts.Softmax(12)).init(0.4, seed=1)


def of_numbers() -> ts.Model:
    return ts.Chain(ts.LSTM(8), ts.Pool("last"), ts.Softmax(3), features=2).init(0.5)


def test_a_step_refuses_tokens_and_targets_out_of_range() -> None:
    model = speaker()
    training = ts.Training(model, ts.sgd(lr=0.1).build(model.arena))
    before = model.arena.values.copy()
    with pytest.raises(ts.UsageError, match="there is a token 16, but the model reads the numbers 0 to 11"):
        training.step(ts.Windows(IDS + 5, 4, 10).batch(0, 0))
    batch = ts.Windows(IDS, 4, 10).batch(0, 0)
    with pytest.raises(ts.UsageError, match="there is a target 111, but the model names the numbers 0 to 11"):
        training.step(batch._replace(targets=batch.targets + 100))
    with pytest.raises(ts.UsageError, match="lengths go from 11 to 11, but must be 0 to 10"):
        training.step(batch._replace(lengths=np.full(4, 11, np.int32)))
    with pytest.raises(ts.UsageError, match="the weights are float64 of shape"):
        training.step(batch._replace(weights=np.ones(9)))
    np.testing.assert_array_equal(model.arena.values, before)
    assert np.isfinite(training.step(batch).loss)


def test_an_optimizer_of_another_model_is_refused() -> None:
    model, other = speaker(), speaker()
    for optimizer in (ts.sgd(lr=0.1).build(other.arena), ts.sgd(lr=0.1), None):
        with pytest.raises(ts.UsageError, match="the optimizer is not this model's"):
            ts.Training(model, optimizer)


def test_predictions_of_what_a_model_cannot_read_are_refused() -> None:
    rng = np.random.default_rng(0)
    numbers = ts.Sequences.of([rng.normal(size=(4, 2)) for _ in range(3)])
    classifier = ts.Chain(ts.Embedding(12, 8), ts.GRU(8), ts.Pool("max"), ts.Softmax(2)).init(0.4)
    with pytest.raises(ts.UsageError, match="there is a token 1000000"):
        ts.predict(classifier, ts.Sequences.of([np.array([0, 1, 10**6])]))
    with pytest.raises(ts.UsageError, match="the inputs are float32"):
        ts.predict(classifier, numbers)
    with pytest.raises(ts.UsageError, match="the inputs are int32"):
        ts.predict(of_numbers(), ts.Sequences.of([np.array([0, 1])]))
    with pytest.raises(ts.UsageError, match="the model has an output at each step"):
        ts.predict(speaker(), ts.Sequences.of([np.array([0, 1])]))
    assert ts.predict(of_numbers(), numbers).shape == (3, 3)


@pytest.mark.parametrize(
    ("vocabulary", "labels", "message"),
    [
        (ts.TextEncoder(ts.Vocabulary(tuple("abcdefghijkl")), 5), ["x", "y"], "lacks <unk>"),
        (ts.Vocabulary(tuple(range(12))), (), "cannot be saved so"),
        (["a"] * 12, (), "the vocabulary is a list; it must be a Vocabulary"),
    ],
)
def test_a_file_that_could_not_be_read_is_not_written(tmp_path, vocabulary, labels, message: str) -> None:
    model = (
        speaker() if not labels else ts.Chain(ts.Embedding(12, 8), ts.Pool("max"), ts.Softmax(2)).init(0.5)
    )
    with pytest.raises(ts.UsageError, match=message):
        model.save(tmp_path / "m.safetensors", vocabulary, labels)
    assert not (tmp_path / "m.safetensors").exists()


@pytest.mark.parametrize("ids", [IDS + 0.5, IDS + 2**33, IDS.reshape(100, 6)])
def test_a_text_is_whole_numbers_one_after_another(ids) -> None:
    with pytest.raises(ts.UsageError, match="it must be a row of whole numbers of tokens"):
        ts.Windows(ids, 4, 10)


@pytest.mark.parametrize(
    "drop", [lambda part, update: np.array([True]), lambda part, update: np.arange(part.nnz), lambda *_: None]
)
def test_a_drop_rule_that_returns_something_else_is_refused(drop) -> None:
    settings = {"drop_fraction": 0.3, "update_interval": 2, "update_end": 1.0}
    method = ts.Method("wrong", "returns nonsense", drop, defaults=settings)
    with pytest.raises(ts.UsageError, match=r"the drop rule must return an array of .* booleans for"):
        ts.fit(speaker(), ts.Windows(IDS, 4, 10), ts.sgd(lr=0.1), method, epochs=1)
