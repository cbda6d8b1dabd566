"""Linear layers in training, besides their gradients; see `test_chain` for these."""

import tracemalloc

import numba
import numpy as np
import pytest

from truesparse.layers.chain import ChainSpec
from truesparse.layers.dropout.spec import Dropout
from truesparse.layers.embedding.spec import Embedding
from truesparse.layers.linear.spec import Linear
from truesparse.layers.lstm.spec import LSTM
from truesparse.layers.output.spec import Softmax
from truesparse.layers.pool.spec import Pool
from truesparse.model import random_model
from truesparse.optim.adam import Adam

LINEAR = ChainSpec(
    Embedding(600, 100),
    Linear(128, "relu"),
    LSTM(128),
    Linear(128, "tanh"),
    Linear(96, "srelu"),
    Dropout(0.2),
    Pool("mean"),
    Linear(64, "srelu"),
    Softmax(4),
)


def train_linear(steps, ws=None, model=None, optimizer=None):
    """Train on one batch."""
    model = model or random_model(LINEAR, 0.2, np.random.default_rng(0))
    ws = ws or model.workspace(20, 40)
    optimizer = optimizer or Adam(model.arena, 0.01)
    rng = np.random.default_rng(1)
    ids = rng.integers(0, 600, (20, 40)).astype(np.int32)
    targets = rng.integers(0, 4, 40).astype(np.int32)
    losses = []
    for _ in range(steps):
        model.arena.zero_grad()
        losses.append(model.loss_and_gradients(ids, targets, ws, rng=rng))
        optimizer.step()
    return losses, ws, model, optimizer


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads")
def test_linear_layers_give_the_same_bits_with_one_thread_and_with_two():
    results = []
    try:
        for threads in (1, 2):
            numba.set_num_threads(threads)
            results.append(train_linear(3)[2].arena.values)
    finally:
        numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    np.testing.assert_array_equal(*results)


def test_linear_layers_learn_and_allocate_nothing():
    losses, *rest = train_linear(3)
    tracemalloc.start()
    try:
        losses += train_linear(30, *rest)[0]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 * 1024  # bytes: views, the batch and small objects of Python
    assert losses[-1] < 0.5 * losses[0]
