"""What follows from the layers of a chain, which chains there cannot be, and chains that no task builds."""

import numpy as np
import pytest
from model_helpers import positions, two_cells
from oracles import (
    central_differences,
    dense_parameters,
    language_model_loss,
    sequence_model_loss,
)

from truesparse.kernels.buffers import aligned_zeros
from truesparse.layers import recurrence
from truesparse.layers.chain import ChainSpec
from truesparse.layers.dropout.spec import Dropout, WordDropout
from truesparse.layers.embedding.spec import Embedding
from truesparse.layers.gru.spec import GRU
from truesparse.layers.linear.spec import Linear
from truesparse.layers.lstm.spec import LSTM
from truesparse.layers.output.spec import Softmax
from truesparse.layers.pool.spec import Pool
from truesparse.layers.rhn.spec import RHN
from truesparse.model import random_model


def batch_of(model, steps, batch, seed=1):
    """A window of tokens, or of features, and random biases and state."""
    rng = np.random.default_rng(seed)
    chain = model.chain
    for bias in model.arena.biases.values():
        bias[...] = rng.uniform(-0.3, 0.3, bias.shape)
    state = model.zero_state(batch)
    state.load({k: rng.uniform(-0.5, 0.5, v.shape).astype(np.float32) for k, v in state.arrays().items()})
    if chain.tokens:
        inputs = rng.integers(0, chain.tokens, (steps, batch)).astype(np.int32)
    else:
        inputs = rng.standard_normal((steps, chain.features, batch)).astype(np.float32)
    targets = rng.integers(0, chain.head.outputs, (steps, batch)).astype(np.int32)
    return inputs, targets if chain.per_step else targets[0], model.workspace(steps + 2, batch), state


OF_ONES_OWN = {
    "two cells": two_cells(),
    "wider first": ChainSpec(Embedding(9, 5), RHN(12, depth=3), LSTM(8, "unit"), Softmax(7)),
    "features at each step": ChainSpec(LSTM(8), RHN(3, depth=1), Softmax(5), features=4),
    "dense head at each step": ChainSpec(Embedding(9, 5), LSTM(8), Softmax(5, sparse=False)),
    "tied, of two cells": ChainSpec(Embedding(9, 12), LSTM(8), RHN(12, depth=3), Softmax(9, tied=True)),
    "gru": ChainSpec(Embedding(9, 5), GRU(12, "unit"), GRU(8, reset_gate="before"), LSTM(4), Softmax(7)),
    "no recurrent layer": ChainSpec(Embedding(9, 5), Softmax(9)),
    "pooled words": ChainSpec(Embedding(9, 5), Pool("mean"), Softmax(4)),
    "tied after pooling": ChainSpec(Embedding(9, 8), LSTM(8), Pool("mean"), Softmax(9, tied=True)),
    "linear before the head": ChainSpec(Embedding(9, 5), LSTM(8), Linear(6, "relu"), Softmax(7)),
    "linear before an LSTM": ChainSpec(Embedding(9, 5), Linear(11, "tanh"), LSTM(4), Softmax(7)),
    "linear layers alone": ChainSpec(
        *(Linear(7, "relu"), Linear(9, "srelu"), Linear(6, "selu"), Linear(3), Softmax(5)), features=4
    ),
    "linear after pooling": ChainSpec(Embedding(9, 5), LSTM(8), Pool(), Linear(6, "tanh"), Softmax(4)),
    "linear before pooling": ChainSpec(
        Embedding(9, 5), LSTM(8), Linear(12, "relu"), Pool("mean"), Linear(6), Linear(9, "relu"), Softmax(4)
    ),
    "tied to a linear layer": ChainSpec(Embedding(9, 5), LSTM(8), Linear(5, "tanh"), Softmax(9, tied=True)),
    "only a head": ChainSpec(Softmax(5), features=4),
}


@pytest.mark.parametrize("chain", OF_ONES_OWN.values(), ids=OF_ONES_OWN)
def test_gradients_of_chains_of_ones_own(chain):
    """Against central differences where there is a weight; the dense ones at every position."""
    model = random_model(chain, 0.6, np.random.default_rng(0), scale=0.6)
    inputs, targets, ws, state = batch_of(model, 4, 18)
    start = state.arrays()

    def loss(parameters):
        if chain.per_step:
            return language_model_loss(parameters, chain, inputs, targets, start)[0]
        return sequence_model_loss(parameters, chain, inputs, [4] * 18, targets)

    if not chain.per_step:
        state.reset()
    parameters = dense_parameters(model)
    model.arena.zero_grad()
    assert model.loss_and_gradients(inputs, targets, ws, state) == pytest.approx(loss(parameters), rel=1e-6)
    for name, grad in model.arena.bias_grads.items():
        exact = central_differences(loss, parameters, name, (np.arange(grad.size),))
        np.testing.assert_allclose(grad, exact, rtol=2e-4, atol=2e-6, err_msg=name)
    dense = model.dense_gradients(ws)
    assert dense.keys() == model.matrices.keys()
    for name, matrix in model.matrices.items():
        everywhere = tuple(places.ravel() for places in np.indices(matrix.shape))
        exact = central_differences(loss, parameters, name, everywhere).reshape(matrix.shape)
        np.testing.assert_allclose(matrix.grad, exact[positions(matrix)], rtol=2e-4, atol=2e-6, err_msg=name)
        gradient = aligned_zeros(matrix.shape)
        for first in range(0, matrix.shape[0], 5):
            dense[name](gradient[first : first + 5], first)
        np.testing.assert_allclose(gradient, exact, rtol=2e-4, atol=2e-6, err_msg=name)


@pytest.mark.parametrize("name", ["two cells", "wider first", "gru"])
def test_windows_in_parts_give_the_same_gradients(name, monkeypatch):
    """Gradients of layers of different sizes lie in one buffer; the parts of an LSTM's window must not get
    into each other's way there."""
    chain, results = OF_ONES_OWN[name], []
    for part_bytes, part_weights in ((1 << 30, 4), (1, 0)):
        monkeypatch.setattr(recurrence, "_PART_BYTES", part_bytes)
        monkeypatch.setattr(recurrence, "_PART_WEIGHTS", part_weights)
        model = random_model(chain, 0.6, np.random.default_rng(0))
        inputs, targets, ws, state = batch_of(model, 25, 20)
        model.arena.zero_grad()
        loss = model.loss_and_gradients(inputs, targets, ws, state, rng=np.random.default_rng(3))
        results.append((loss, model.arena.grads.copy(), *state.arrays().values()))
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-8)


def test_dropout_in_a_chain_of_two_cells():
    """With the masks held fixed the loss's slope along the gradient is the gradient's norm."""
    model = random_model(two_cells(), 0.6, np.random.default_rng(0))
    inputs, targets, ws, state = batch_of(model, 5, 20)
    start = state.arrays()

    def loss():
        state.load(start)
        return model.loss_and_gradients(inputs, targets, ws, state, rng=np.random.default_rng(7))

    model.arena.zero_grad()
    loss()
    gradient = model.arena.grads.astype(np.float64)
    norm = np.linalg.norm(gradient)
    values = model.arena.values.copy()
    losses = []
    for sign in (1, -1):
        model.arena.values[...] = values + sign * 0.02 * gradient / norm
        model.arena.touch()
        losses.append(loss())
    assert (losses[0] - losses[1]) / 0.04 == pytest.approx(norm, rel=2e-3)


@pytest.mark.parametrize("locked", [False, True])
def test_dropout_of_words_scales_what_stays(locked):
    """The mean over many masks of what comes out is what goes in."""
    chain = ChainSpec(WordDropout(0.5), Embedding(1, 3), Dropout(0.25, locked), Softmax(2))
    model = random_model(chain, 1.0, np.random.default_rng(0), scale=0.5)
    ids, targets = np.zeros((1, 4000), np.int32), np.zeros((1, 4000), np.int32)
    ws = model.workspace(1, 4000)
    model.loss_and_gradients(ids, targets, ws, rng=np.random.default_rng(1))
    mean = ws.window.panels.step(ws.x[-1], 0).mean(axis=1)
    np.testing.assert_allclose(mean, model.matrices["embedding.weight"].data, rtol=0.1)
    model.loss(ids, targets, ws)
    mean = ws.window.panels.step(ws.x[-1], 0).mean(axis=1)
    np.testing.assert_allclose(mean, model.matrices["embedding.weight"].data, rtol=1e-5)
