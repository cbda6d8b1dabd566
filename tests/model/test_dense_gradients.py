"""The gradients of all positions, a few rows at a time, against NumPy and against the sparse ones."""

import tracemalloc

import numba
import numpy as np
import pytest
from model_helpers import ALL_KINDS, CASES, make, positions
from oracles import central_differences, dense_parameters, language_model_loss, random_panels

from truesparse.kernels.buffers import aligned_copy, aligned_zeros
from truesparse.kernels.dense import decay_and_add, lookup_rows, product_rows, softmax_rows
from truesparse.layers.models import language_model
from truesparse.model import random_model
from truesparse.optim import SGD
from truesparse.topology import Update, get_method

KINDS = {**CASES, "rhn, dropout": {**CASES["rhn"], "dropout": ALL_KINDS}}


def dense_gradients(model, ws, height):
    """All of them, in blocks of `height` rows."""
    gradients = {}
    for name, rows_of in model.dense_gradients(ws).items():
        rows, columns = model.matrices[name].shape
        out = aligned_zeros((rows, columns))
        out.fill(77)
        for first in range(0, rows, height):
            rows_of(out[first : first + height], first)
        gradients[name] = out
    return gradients


@pytest.mark.parametrize("height", [1, 5, 1000])
@pytest.mark.parametrize("case", KINDS.values(), ids=KINDS)
def test_they_are_those_of_the_arena_where_there_is_a_weight(case, height):
    model, ws, state, ids, targets = make(case, dropout=case.get("dropout", 0.0))
    model.arena.zero_grad()
    model.loss_and_gradients(ids, targets, ws, state, rng=np.random.default_rng(3))
    gradients = dense_gradients(model, ws, height)
    assert gradients.keys() == model.matrices.keys()
    for name, matrix in model.matrices.items():
        np.testing.assert_allclose(
            gradients[name][positions(matrix)], matrix.grad, rtol=1e-5, atol=1e-7, err_msg=name
        )


@pytest.mark.parametrize(
    "case",
    [
        *("stacked", "tied", "short window", "rhn", "rhn, tied, short window"),
        *("gru, tied, short window", "gru, reset before, short window", "gru, reset before, unit"),
    ],
)
def test_they_are_derivatives_where_there_is_none(case):
    """A weight of 0 at an empty position changes the loss at the rate of its gradient."""
    model, ws, state, ids, targets = make(CASES[case])
    start = state.arrays()
    model.loss_and_gradients(ids, targets, ws, state)
    gradients = dense_gradients(model, ws, 4)

    def loss(parameters):
        return language_model_loss(parameters, model.chain, ids, targets, start)[0]

    parameters = dense_parameters(model)
    rng = np.random.default_rng(0)
    for name, matrix in model.matrices.items():
        empty = np.ones(matrix.shape, dtype=bool)
        empty[positions(matrix)] = False
        rows, columns = np.nonzero(empty)
        some = rng.permutation(rows.size)[:25]
        places = rows[some], columns[some]
        exact = central_differences(loss, parameters, name, places)
        np.testing.assert_allclose(gradients[name][places], exact, rtol=2e-4, atol=2e-6, err_msg=name)


def test_they_need_a_backward_pass():
    model, ws, state, ids, targets = make(CASES["stacked"])
    with pytest.raises(RuntimeError, match="backward"):
        model.dense_gradients(ws)
    for run in (lambda: model.loss(ids, targets, ws, state), lambda: model.predict(ids, ws, state)):
        model.loss_and_gradients(ids, targets, ws, state)
        model.dense_gradients(ws)
        run()
        with pytest.raises(RuntimeError, match="backward"):
            model.dense_gradients(ws)


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads")
@pytest.mark.parametrize(
    "case", ["stacked", "rhn, tied, short window", "batch in blocks", "gru, reset before"]
)
def test_two_threads_give_the_bits_of_one(case):
    model, ws, state, ids, targets = make(CASES[case])
    model.loss_and_gradients(ids, targets, ws, state)
    results = []
    try:
        for threads in (1, 2):
            numba.set_num_threads(threads)
            results.append(dense_gradients(model, ws, 3))
    finally:
        numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    for name, gradient in results[0].items():
        np.testing.assert_array_equal(gradient, results[1][name])


@pytest.mark.parametrize("lanes", [4, 8, 20, 64, 80])
@pytest.mark.parametrize("columns", [1, 8, 21])
def test_product_of_rows(lanes, columns):
    rng = np.random.default_rng(lanes)
    dy, x = random_panels(3, 11, lanes, rng), random_panels(3, columns, lanes, rng)
    out = aligned_zeros((6, columns))
    out.fill(77)
    product_rows(lanes)(out, dy, 4, x)
    exact = np.einsum("pin,pjn->ij", dy[:, 4:10].astype(np.float64), x)
    np.testing.assert_allclose(out, exact, rtol=1e-5, atol=1e-4)


def test_lookup_of_rows_adds():
    rng = np.random.default_rng(0)
    ids = rng.integers(-1, 9, (2, 4)).astype(np.int32)
    dx = random_panels(2, 70, 4, rng)
    out, exact = aligned_zeros((3, 70)), np.ones((3, 70))
    out += 1
    lookup_rows(4)(out, ids, 5, dx)
    for panel, lane in np.ndindex(*ids.shape):
        if 5 <= ids[panel, lane] < 8:
            exact[ids[panel, lane] - 5] += dx[panel, :, lane]
    np.testing.assert_allclose(out, exact, rtol=1e-5, atol=1e-5)


def test_softmax_of_rows():
    rng = np.random.default_rng(0)
    logits = 30 * random_panels(2, 9, 4, rng)
    targets = np.array([[0, 5, 8, -1], [4, 4, 3, 7]], np.int32)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True), dtype=np.float64)
    weights = aligned_copy(rng.uniform(0, 2, (2, 4)).astype(np.float32))
    exact = 0.1 * weights[:, None] * powers / powers.sum(axis=1, keepdims=True)
    factor = np.where(targets < 0, 0, 0.1 * weights / powers.sum(axis=1))
    normaliser = aligned_copy(np.stack([logits.max(axis=1), factor], axis=1).astype(np.float32))
    for panel, lane in np.ndindex(*targets.shape):
        if targets[panel, lane] < 0:
            exact[panel, :, lane] = 0
        else:
            exact[panel, targets[panel, lane], lane] -= 0.1 * weights[panel, lane]
    some = aligned_copy(logits[:, 3:6])
    softmax_rows(4)(some, 3, targets, weights, normaliser, np.float32(0.1))
    np.testing.assert_allclose(some, exact[:, 3:6], rtol=1e-5, atol=1e-8)


def test_decay_and_add():
    mean, new = np.full((2, 3), 5, np.float32), np.arange(6, dtype=np.float32).reshape(2, 3)
    decay_and_add(mean, new, np.float32(0.5), np.float32(2))
    assert mean.tolist() == [[2.5, 4.5, 6.5], [8.5, 10.5, 12.5]]


def test_growth_by_the_gradient_needs_little_more_memory_than_random_growth():
    """At density 0.05, in training: within a tenth."""
    large = (5000, 400, 400, 1)

    def peak(method, sizes, density):
        rng = np.random.default_rng(0)
        ids = rng.integers(0, sizes[0], (35, 20)).astype(np.int32)
        tracemalloc.start()
        try:
            model = random_model(language_model(*sizes), density, rng)
            ws, state = model.workspace(35, 20), model.zero_state(20)
            optimizer = SGD(model.arena, 0.5, 0.9)
            for _ in range(2):
                model.arena.zero_grad()
                model.loss_and_gradients(ids, ids, ws, state)
                get_method(method).update(model.arena, Update(0.3, rng, model.dense_gradients(ws)))
                optimizer.step()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    for method in ("st-rnn", "rigl"):  # compiles, which takes memory of its own
        peak(method, (50, 20, 20, 1), 0.2)
    drawn, grown = peak("st-rnn", large, 0.05), peak("rigl", large, 0.05)
    assert grown < 1.1 * drawn
