"""What keeps a recurrent network from learning its text by heart."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from truesparse import runtime
from truesparse.layers.activity.layer import ActivityPenaltyLayer
from truesparse.layers.activity.spec import ActivityPenalty
from truesparse.layers.chain import ChainSpec
from truesparse.layers.embedding.spec import Embedding
from truesparse.layers.gru.spec import GRU
from truesparse.layers.layer import Window
from truesparse.layers.lstm.spec import LSTM
from truesparse.layers.models import language_model
from truesparse.layers.output.spec import Softmax
from truesparse.layers.rhn.spec import RHN
from truesparse.model import random_model
from truesparse.sparse.panels import Panels


def slopes(x: np.ndarray, lengths: np.ndarray, size: float, change: float) -> np.ndarray:
    """Gradients of the penalties on (steps, features, batch), by their definition."""
    steps, features, _ = x.shape
    there = (np.arange(steps)[:, None] < lengths)[:, None]
    both = there[1:]
    gradient = 2 * size * x * there / (lengths.sum() * features)
    changes = 2 * change * (x[1:] - x[:-1]) * both / (both.sum() * features)
    gradient[1:] += changes
    gradient[:-1] -= changes
    return gradient


@pytest.mark.parametrize(("steps", "batch"), [(7, 3), (35, 20), (9, 40), (2, 1)])
def test_gradients_of_penalties(steps: int, batch: int) -> None:
    rng = np.random.default_rng(1)
    panels, one = Panels(steps + 2, batch), Panels(1, batch)
    chain = ChainSpec(Embedding(5, 6), ActivityPenalty(0.7, 1.3), LSTM(3), Softmax(5))
    model = random_model(chain, 1.0, rng)
    layer = model.layers[1]
    assert isinstance(layer, ActivityPenaltyLayer)
    lengths = rng.integers(1, steps + 1, batch)
    lengths[0] = steps
    x, dy = (rng.normal(size=(steps, 6, batch)).astype(np.float32) for _ in range(2))
    arrays = [panels.zeros(6) for _ in range(4)]
    for array in arrays:
        array[...] = rng.normal(size=array.shape)  # what lies in unused lanes has no influence
    placed, passed, gradient, given = arrays
    panels.place(placed, x)
    panels.place(given, dy)
    window = Window(panels, one, one.zeros(1)[:, 0], steps)
    one.place(window.lengths[:, None], lengths[None, None].astype(np.float32))
    layer.forward(passed, placed, (), None, window)
    passed_on = passed.copy()
    passed *= 0  # by a dropout behind it, in place
    layer.backward(gradient, given, placed, None, window)
    expected = dy + slopes(x.astype(np.float64), lengths, 0.7, 1.3)
    for step in range(steps):
        np.testing.assert_array_equal(panels.step(passed_on, step), x[step])
        np.testing.assert_allclose(panels.step(gradient, step), expected[step], rtol=1e-5, atol=1e-6)


def test_penalties_count_in_gradients_alone(tmp_path) -> None:
    rng = np.random.default_rng(2)
    ids = rng.integers(0, 9, (7, 4)).astype(np.int32)
    results = []
    for penalties in ({}, {"size_penalty": 2.0}, {"change_penalty": 1.0}):
        chain = language_model(9, 5, 6, 1, **penalties)
        model = random_model(chain, 0.6, np.random.default_rng(3), scale=0.9)
        loss = model.loss_and_gradients(ids[:-1], ids[1:], model.workspace(6, 4))
        results.append((loss, model.arena.grads.copy()))
        model.save(tmp_path / "m")
        stream = runtime.load(tmp_path / "m").stream()
        said = stream.step(int(ids[0, 0]))
        expected = model.predict(ids[:1], model.workspace(1, 4))[:, 0]
        np.testing.assert_allclose(said, expected, rtol=1e-4, atol=1e-6)
    assert results[0][0] == results[1][0] == results[2][0]
    for _, gradient in results[1:]:
        assert np.abs(gradient - results[0][1]).max() > 1e-3


@pytest.mark.parametrize("pattern", ["weight", "unit"])
@pytest.mark.parametrize("cell", [LSTM, GRU, RHN])
def test_dropped_weights(cell, pattern: str) -> None:
    """The gradient is that of a model without them, and what they were comes back."""
    rng = np.random.default_rng(4)
    ids = rng.integers(0, 9, (7, 4)).astype(np.int32)
    first = np.random.default_rng(5)
    chain = ChainSpec(Embedding(9, 5), cell(6, pattern, dropout_weights=0.4), Softmax(9))
    model = random_model(chain, 0.7, first, scale=0.9)
    arena = model.arena
    values = arena.values.copy()
    arena.grads[...] = 1.0
    loss = model.loss_and_gradients(ids[:-1], ids[1:], model.workspace(6, 4), rng=np.random.default_rng(6))
    gradient = arena.grads - 1
    np.testing.assert_array_equal(arena.values, values)

    plain = random_model(
        ChainSpec(Embedding(9, 5), cell(6, pattern), Softmax(9)), 0.7, np.random.default_rng(5), scale=0.9
    )
    np.testing.assert_array_equal(plain.arena.values, values)
    again = np.random.default_rng(6)
    factors = {}
    for name, matrix in plain.matrices.items():
        if "weight_hh" in name:
            factors[name] = (again.random(matrix.nnz, dtype=np.float32) >= 0.4) / np.float32(0.6)
            assert 0 < (factors[name] == 0).sum() < matrix.nnz
            matrix.data[...] *= factors[name]
    plain.arena.touch()
    assert loss == pytest.approx(plain.loss_and_gradients(ids[:-1], ids[1:], plain.workspace(6, 4)), rel=1e-6)
    for name, where in arena.layout.items():
        expected = plain.arena.grads[where] * factors.get(name, 1)
        np.testing.assert_allclose(gradient[where], expected, atol=1e-6)
    # without a generator nothing is left out
    assert model.loss(ids[:-1], ids[1:], model.workspace(6, 4)) != pytest.approx(loss, rel=1e-4)


@pytest.mark.parametrize("tied", [False, True])
def test_gradients_that_are_final_do_not_change_any_more(tied: bool) -> None:
    """They are named once, the head's first; those of matrices of which weights are dropped are not."""
    ids = np.random.default_rng(4).integers(0, 9, (7, 4)).astype(np.int32)
    chain = language_model(9, 6, 6, 2, tied=tied)
    chain = ChainSpec(*(replace(x, dropout_weights=0.4) if isinstance(x, LSTM) else x for x in chain.layers))
    model = random_model(chain, 0.7, np.random.default_rng(5), scale=0.9)
    arena = model.arena
    seen: dict[str, np.ndarray] = {}

    def final(names: Sequence[str]) -> None:
        assert not seen.keys() & set(names)
        seen.update({name: arena.grads[arena.layout[name]].copy() for name in names})

    rng = np.random.default_rng(6)
    model.loss_and_gradients(ids[:-1], ids[1:], model.workspace(6, 4), rng=rng, final=final)
    assert "output" in next(iter(seen))
    assert next(reversed(seen)) == "embedding.weight"
    assert arena.layout.keys() - seen.keys() == {name for name in arena.layout if "weight_hh" in name}
    for name, gradient in seen.items():
        np.testing.assert_array_equal(gradient, arena.grads[arena.layout[name]])
        assert gradient.any()


def test_weights_come_back_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = ChainSpec(Embedding(9, 5), LSTM(6, dropout_weights=0.4), Softmax(9))
    model = random_model(chain, 0.7, np.random.default_rng(1))
    values = model.arena.values.copy()

    def interrupted(*_: object) -> None:
        assert not np.array_equal(model.arena.values, values)
        raise KeyboardInterrupt

    monkeypatch.setattr(type(model.head), "loss_and_gradients", interrupted)
    ids = np.zeros((3, 2), np.int32)
    with pytest.raises(KeyboardInterrupt):
        model.loss_and_gradients(ids, ids, model.workspace(3, 2), rng=np.random.default_rng(1))
    np.testing.assert_array_equal(model.arena.values, values)
