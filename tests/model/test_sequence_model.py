import gc
import tracemalloc
from functools import partial

import numba
import numpy as np
import pytest
from model_helpers import positions
from numba.core.runtime import _nrt_python, rtsys
from oracles import central_differences, dense_parameters, sequence_model_loss

from truesparse.errors import UsageError
from truesparse.kernels.buffers import aligned_zeros
from truesparse.layers.models import DropoutRates, sequence_model
from truesparse.model import random_model
from truesparse.optim import GradientNorm
from truesparse.optim.adam import Adam


def case(batch, steps, *sizes, **others):
    """Sizes of a batch and, as for `sequence_model`, of a chain."""
    return {"chain": partial(sequence_model, *sizes, **others), "batch": batch, "steps": steps}


CASES = {
    "last": case(3, 5, 30, 7, 9, 1),
    "mean of two layers": case(18, 6, 30, 7, 9, 2, pooling="mean", outputs=3),
    "max": case(18, 6, 30, 7, 9, 1, pooling="max", outputs=4),
    "sparse output": case(18, 4, 12, 5, 8, 1, sparse_output=True, outputs=5),
    "unit": case(18, 4, 12, 5, 8, 2, pattern="unit", sparse_output=True, outputs=5),
    "rhn": case(18, 5, 20, 7, 9, 2, cell="rhn", depth=3, outputs=3),
    "rhn, mean": case(20, 4, 20, 7, 9, 1, cell="rhn", depth=3, pooling="mean"),
    "gru": case(18, 5, 20, 7, 9, 2, cell="gru", outputs=3),
    "gru, reset before": case(20, 4, 20, 7, 9, 1, cell="gru", reset_gate="before", pooling="mean"),
    "batch in blocks": case(39, 3, 9, 4, 5, 1, pooling="max"),
    "blocks, last": case(130, 3, 9, 4, 5, 1, outputs=3),
    "features": case(18, 7, 0, 4, 6, 1, pooling="mean"),
    "features in blocks": case(39, 3, 0, 3, 5, 1),
    "regressor": case(18, 4, 0, 2, 6, 1, kind="regressor", outputs=1),
    "steps": case(18, 5, 30, 7, 9, 2, pooling="", outputs=3),
    "steps, sparse output": case(20, 9, 12, 5, 8, 1, pooling="", sparse_output=True, outputs=5),
    "steps, rhn": case(18, 5, 20, 7, 9, 1, cell="rhn", depth=3, pooling="", outputs=3),
    "steps, batch in blocks": case(39, 3, 9, 4, 5, 1, pooling="", outputs=2),
    "standardized": case(18, 4, 0, 2, 6, 1, feature_mean=(3.0, -0.5), feature_scale=(0.2, 4.0)),
    "number at each step": case(
        18, 7, 0, 2, 6, 1, kind="regressor", pooling="", feature_mean=(0.1, 2.0), feature_scale=(0.5, 3.0)
    ),
    "numbers in units": case(
        20, 4, 0, 3, 6, 1, kind="regressor", outputs=2, target_mean=(5.0, -1.0), target_scale=(0.25, 20.0)
    ),
    "both": case(18, 6, 30, 7, 9, 2, bidirectional=True),
    "both, mean": case(20, 4, 20, 7, 9, 1, bidirectional=True, pooling="mean", pattern="unit", outputs=3),
    "both, gru, in blocks": case(39, 3, 9, 4, 5, 1, cell="gru", bidirectional=True, pooling="max"),
    "both, rhn": case(18, 5, 20, 7, 9, 2, cell="rhn", depth=3, bidirectional=True, outputs=3),
    "both, of features": case(18, 7, 0, 4, 6, 1, bidirectional=True, kind="regressor", outputs=1),
    "steps, both": case(18, 5, 30, 7, 9, 2, pooling="", bidirectional=True, outputs=3),
    "numbers at steps, both": case(
        18, 7, 0, 4, 6, 1, kind="regressor", outputs=2, pooling="", bidirectional=True
    ),
    "steps, both, gru": case(
        *(20, 9, 12, 5, 8, 1),
        **{"cell": "gru", "reset_gate": "before", "bidirectional": True},
        **{"pooling": "", "sparse_output": True, "outputs": 5},
    ),
    "two numbers": case(39, 3, 9, 4, 5, 1, kind="regressor", outputs=2, pooling="max", sparse_output=True),
}


def make(case, density=0.4, seed=0, room=4, dropout=0.0):
    """A model with random biases, and a batch of sequences of all lengths, some of its places empty."""
    chain, steps, batch = case["chain"](dropout=dropout), case["steps"], case["batch"]
    rng = np.random.default_rng(seed)
    model = random_model(chain, density, rng, scale=0.6)
    for bias in model.arena.biases.values():
        bias[...] = rng.uniform(-0.3, 0.3, bias.shape)
    model.arena.touch()
    lengths = rng.integers(1, steps + 1, batch).astype(np.int32)
    lengths[0] = steps
    lengths[-1] = 0
    after = np.arange(steps)[:, None] >= lengths
    if chain.tokens:
        inputs = rng.integers(0, chain.tokens, (steps, batch)).astype(np.int32)
        inputs[after] = -1
    else:
        inputs = rng.standard_normal((steps, chain.features, batch)).astype(np.float32)
    if chain.head.TYPE == "softmax":
        shape = (steps, batch) if chain.per_step else batch
        targets = rng.integers(0, chain.head.outputs, shape).astype(np.int32)
        targets[after if chain.per_step else lengths == 0] = -1
    else:
        shape = (steps, chain.head.outputs, batch) if chain.per_step else (chain.head.outputs, batch)
        targets = rng.standard_normal(shape).astype(np.float32)
        targets.swapaxes(-1, -2)[after if chain.per_step else lengths == 0] = np.nan
    return model, model.workspace(steps + room, batch), inputs, lengths, targets


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_loss_and_predictions_against_float64(case):
    model, ws, inputs, lengths, targets = make(case)
    parameters = dense_parameters(model)
    exact = sequence_model_loss(parameters, model.chain, inputs, lengths, targets)
    assert model.loss(inputs, targets, ws, lengths=lengths) == pytest.approx(exact, rel=1e-6)
    if model.chain.per_step:
        said = model.predict_steps(inputs, ws, lengths=lengths)
        assert said.shape == (len(inputs), model.chain.head.outputs, len(lengths))
        if targets.dtype == np.float32:
            assert np.nanmean(((said - targets) ** 2).sum(axis=1)) / 2 == pytest.approx(exact, rel=1e-5)
            return
        steps, places = np.nonzero(targets >= 0)
        np.testing.assert_allclose(np.exp(said[steps, :, places]).sum(axis=1), 1, rtol=1e-5)
        loss = -said[steps, targets[steps, places], places].mean()
        assert loss == pytest.approx(exact, rel=1e-5)
        return
    outputs = model.predict(inputs, ws, lengths=lengths)
    used = lengths > 0
    assert outputs.shape == (model.chain.head.outputs, len(lengths))
    if model.chain.head.TYPE == "softmax":
        np.testing.assert_allclose(np.exp(outputs).sum(axis=0), 1, rtol=1e-5)
        loss = -np.take_along_axis(outputs[:, used], targets[None, used].astype(int), axis=0).mean()
    else:
        units = np.array(model.chain.head.scale or 1.0).reshape(-1, 1)
        loss = (((outputs - targets) / units)[:, used] ** 2).sum(axis=0).mean() / 2
    assert loss == pytest.approx(exact, rel=1e-5)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_gradient_against_central_differences(case):
    model, ws, inputs, lengths, targets = make(case)
    model.arena.zero_grad()
    exact = sequence_model_loss(dense_parameters(model), model.chain, inputs, lengths, targets)
    assert model.loss_and_gradients(inputs, targets, ws, lengths=lengths) == pytest.approx(exact, rel=1e-6)

    def loss(parameters):
        return sequence_model_loss(parameters, model.chain, inputs, lengths, targets)

    for name, rows_of in model.dense_gradients(ws).items():
        matrix = model.matrices[name]
        dense = aligned_zeros(matrix.shape)
        for first in range(0, matrix.shape[0], 2):
            rows_of(dense[first : first + 2], first)
        np.testing.assert_allclose(dense[positions(matrix)], matrix.grad, rtol=1e-5, atol=1e-7, err_msg=name)
    parameters = dense_parameters(model)
    for name, matrix in model.matrices.items():
        exact = central_differences(loss, parameters, name, positions(matrix))
        np.testing.assert_allclose(matrix.grad, exact, rtol=2e-4, atol=2e-6, err_msg=name)
    for name, grad in model.arena.bias_grads.items():
        exact = central_differences(loss, parameters, name, (np.arange(grad.size),))
        np.testing.assert_allclose(grad, exact, rtol=2e-4, atol=2e-6, err_msg=name)


@pytest.mark.parametrize("case", ["last", "sparse output", "features in blocks", "two numbers"])
def test_weights_of_sequences(case):
    """Loss and gradients are the weighted means of those of the sequences, each by itself."""
    model, ws, inputs, lengths, targets = make(CASES[case])
    name = "output.weight" if model.chain.head.sparse else next(iter(model.matrices))
    weights = np.random.default_rng(1).uniform(0, 3, lengths.size) * (lengths > 0)

    def results(lengths, targets, weights):
        model.arena.zero_grad()
        loss = model.loss_and_gradients(inputs, targets, ws, lengths=lengths, weights=weights)
        dense = aligned_zeros(model.matrices[name].shape)
        model.dense_gradients(ws)[name](dense, 0)
        return loss, model.arena.grads.astype(np.float64), dense.astype(np.float64)

    exact = [0.0, 0.0, 0.0]
    for k in np.flatnonzero(lengths):
        alone = np.where(np.arange(lengths.size) == k, lengths, 0).astype(np.int32)
        none = -1 if model.chain.head.TYPE == "softmax" else np.nan
        one = results(alone, np.where(alone > 0, targets, none).astype(targets.dtype), None)
        exact = [mean + weights[k] / weights.sum() * part for mean, part in zip(exact, one, strict=True)]
    for got, wanted in zip(results(lengths, targets, weights), exact, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-6)
    assert results(lengths, targets, np.sign(weights))[0] == results(lengths, targets, None)[0]


@pytest.mark.parametrize("case", ["last", "mean of two layers", "max", "rhn", "features", "standardized"])
def test_what_lies_beyond_a_sequence_changes_no_bit(case):
    """A batch with more steps of padding, with other numbers in it."""
    model, ws, inputs, lengths, targets = make(CASES[case], room=20)
    results = []
    rng = np.random.default_rng(1)
    steps = inputs.shape[0]
    for padding in (0, 13):
        padded = np.concatenate([inputs, np.full((padding, *inputs.shape[1:]), -1, inputs.dtype)])
        if inputs.dtype == np.float32:
            beyond = np.arange(steps + padding)[:, None, None] >= lengths
            padded = np.where(beyond, rng.standard_normal(padded.shape).astype(np.float32), padded)
        model.arena.zero_grad()
        loss = model.loss_and_gradients(padded, targets, ws, lengths=lengths)
        gradients = model.arena.grads.copy()
        said = model.predict(padded, ws, lengths=lengths)[:, lengths > 0]
        results.append((loss, gradients, said))
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("case", [name for name in CASES if name.startswith("steps")])
def test_steps_do_not_depend_on_windows_padding_or_the_rest_of_the_batch(case):
    """To the bit: what lies beyond a sequence, and where it is cut if the state is carried."""
    model, ws, inputs, lengths, targets = make(CASES[case], room=20)
    whole = model.predict_steps(inputs, ws, lengths=lengths)
    np.testing.assert_array_equal(model.predict(inputs, ws, lengths=lengths), whole[-1])
    padded = np.concatenate([inputs, np.zeros((7, inputs.shape[1]), np.int32)])
    steps, places = np.nonzero(targets >= 0)
    said = model.predict_steps(padded, ws, lengths=lengths)
    np.testing.assert_array_equal(said[steps, :, places], whole[steps, :, places])
    state = model.zero_state(len(lengths))
    if model.chain.whole:
        with pytest.raises(UsageError, match="reads in both directions carries no state"):
            model.predict_steps(inputs, ws, state, lengths)
    for start in range(0, 0 if model.chain.whole else len(inputs), 2):
        window = inputs[start : start + 2]
        left = np.clip(lengths - start, 0, len(window)).astype(np.int32)
        said = model.predict_steps(window, ws, state, left)
        for place in np.flatnonzero(left):
            np.testing.assert_array_equal(
                said[: left[place], :, place], whole[start : start + left[place], :, place]
            )
    alone = np.full_like(inputs, -1)
    alone[:, 0] = inputs[:, 0]
    only = np.where(np.arange(lengths.size) == 0, lengths, 0).astype(np.int32)
    said = model.predict_steps(alone, ws, lengths=only)
    np.testing.assert_array_equal(said[:, :, 0], whole[:, :, 0])
    results = []
    for padding in (0, 13):
        after = np.full((padding, len(lengths)), -1, np.int32)
        model.arena.zero_grad()
        more = np.concatenate([inputs, after]), np.concatenate([targets, after])
        results.append((model.loss_and_gradients(*more, ws, lengths=lengths), model.arena.grads.copy()))
    assert results[0][0] == results[1][0]
    np.testing.assert_array_equal(results[0][1], results[1][1])


@pytest.mark.parametrize(
    ("case", "dropout"),
    [
        ("last", 0.5),
        ("steps", 0.5),
        ("steps, rhn", 0.3),
        ("mean of two layers", DropoutRates(input=0.5)),
        ("max", DropoutRates(output=0.5)),
        ("rhn", 0.3),
        ("rhn, mean", DropoutRates(output=0.5)),
        ("features", 0.3),
        ("blocks, last", 0.3),
    ],
)
def test_gradients_with_dropout_are_those_of_the_loss_with_the_same_masks(case, dropout):
    model, ws, inputs, lengths, targets = make(CASES[case], dropout=dropout)

    def loss():
        rng = np.random.default_rng(7)
        return model.loss_and_gradients(inputs, targets, ws, lengths=lengths, rng=rng)

    assert loss() != model.loss(inputs, targets, ws, lengths=lengths)
    model.arena.zero_grad()
    loss()
    gradient = model.arena.grads.astype(np.float64)
    norm = np.linalg.norm(gradient)
    values = model.arena.values.copy()
    losses = []
    for sign in (1, -1):
        model.arena.values[...] = values + sign * 0.01 * gradient / norm
        model.arena.touch()
        losses.append(loss())
    assert (losses[0] - losses[1]) / 0.02 == pytest.approx(norm, rel=2e-3)


def test_a_batch_that_does_not_fit_is_refused():
    model, ws, inputs, lengths, _ = make(CASES["last"])
    with pytest.raises(ValueError, match="does not fit"):
        model.predict(inputs[:, :-1], ws, lengths=lengths[:-1])


def train(model, ws, inputs, lengths, targets, steps, optimizer=None):
    optimizer, norm = optimizer or Adam(model.arena, 0.01), GradientNorm(1.0)
    rng = np.random.default_rng(5)
    for _ in range(steps):
        model.arena.zero_grad()
        model.loss_and_gradients(inputs, targets, ws, lengths=lengths, rng=rng)
        optimizer.step(norm(model.arena)[1])
    return optimizer


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads")
@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
def test_two_threads_give_the_bits_of_one(pooling):
    sized = case(96, 12, 300, 40, 50, 2, outputs=4, pooling=pooling)
    results = []
    try:
        for threads in (1, 2):
            numba.set_num_threads(threads)
            model, *batch = make(sized, 0.2, dropout=0.2)
            train(model, *batch, 4)
            results.append(model.arena.values.copy())
    finally:
        numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
def test_training_steps_learn_and_allocate_nothing(pooling):
    """After warm-up ten steps add nothing to NumPy's heap or to Numba's."""
    sized = case(32, 30, 2000, 128, 128, 1, pooling=pooling)
    model, *batch = make(sized, 0.1, dropout=0.2)
    ws, inputs, lengths, targets = batch
    before = model.loss(inputs, targets, ws, lengths=lengths)
    optimizer = train(model, *batch, 3)  # compiles, builds the transposed indices
    _nrt_python.memsys_enable_stats()
    gc.collect()
    kernels = rtsys.get_allocation_stats()
    tracemalloc.start()
    try:
        train(model, *batch, 10, optimizer)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 32 * 1024  # bytes: views and small objects of Python
    after = rtsys.get_allocation_stats()  # Numba makes one small array, O(threads), a parallel region
    assert after.alloc - kernels.alloc == after.free - kernels.free
    assert model.loss(inputs, targets, ws, lengths=lengths) < 0.7 * before


def test_the_paper_counts_243520_of_5644288_weights():
    """Liu et al. 2021: vocabulary 20,000, 256 units, epsilon 10, gates one by one, no output layer."""
    chain = sequence_model(20_000, 256, 256, 1)
    assert chain.dense_parameters == 5_644_288
    density = 243_520 / chain.dense_parameters
    model = random_model(chain, density, np.random.default_rng(0), "erdos-renyi", "separate")
    assert model.arena.nnz == 243_520
    assert model.matrices["embedding.weight"].nnz == 202_560
    for name in ("lstm.0.weight_ih", "lstm.0.weight_hh"):
        assert model.matrices[name].block_nnz().tolist() == [5_120] * 4


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"outputs": 1}, "a softmax needs 2 or more outputs, not 1"),
        ({"kind": "regressor", "outputs": 0}, "outputs of the layer squared-error is 0; it must be at least"),
        ({"kind": "ranker"}, "a classifier or a regressor, not a 'ranker'"),
        ({"pooling": "first"}, "kind of the layer pool is 'first'; it must be last, mean or max"),
        ({"cell": "qrnn"}, "no cell 'qrnn'"),
        ({"hidden_size": 0}, "units of the layer lstm is 0; it must be at least 1"),
    ],
)
def test_sizes_that_cannot_be(fields, sentence):
    with pytest.raises(UsageError, match=sentence):
        sequence_model(**{"vocab_size": 10, "embedding_size": 3, "hidden_size": 3, "layers": 1, **fields})
