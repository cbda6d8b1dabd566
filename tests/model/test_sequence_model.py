import gc
import tracemalloc

import numba
import numpy as np
import pytest
from numba.core.runtime import _nrt_python, rtsys
from oracles import central_differences, dense_parameters, sequence_model_loss

from truesparse.errors import UsageError
from truesparse.kernels.buffers import aligned_zeros
from truesparse.nn import DropoutRates, SequenceSpec, build_sequence_model
from truesparse.optim import GradientNorm
from truesparse.optim.adam import Adam

CASES = {
    "last": {"spec": SequenceSpec(30, 7, 9, 1), "batch": 3, "steps": 5},
    "mean of two layers": {
        "spec": SequenceSpec(30, 7, 9, 2, pooling="mean", outputs=3),
        "batch": 5,
        "steps": 6,
    },
    "max": {"spec": SequenceSpec(30, 7, 9, 1, pooling="max", outputs=4), "batch": 5, "steps": 6},
    "sparse output": {
        "spec": SequenceSpec(12, 5, 8, 1, sparse_output=True, outputs=5),
        "batch": 4,
        "steps": 4,
    },
    "rhn": {"spec": SequenceSpec(20, 7, 9, 2, cell="rhn", depth=3, outputs=3), "batch": 3, "steps": 5},
    "rhn, mean": {"spec": SequenceSpec(20, 7, 9, 1, "rhn", 2, pooling="mean"), "batch": 20, "steps": 4},
    "batch in blocks": {"spec": SequenceSpec(9, 4, 5, 1, pooling="max"), "batch": 70, "steps": 3},
    "blocks, last": {"spec": SequenceSpec(9, 4, 5, 1, outputs=3), "batch": 130, "steps": 3},
    "features": {"spec": SequenceSpec(0, 4, 6, 1, pooling="mean"), "batch": 5, "steps": 7},
    "features in blocks": {"spec": SequenceSpec(0, 3, 5, 1), "batch": 70, "steps": 3},
    "regressor": {"spec": SequenceSpec(0, 2, 6, 1, kind="regressor", outputs=1), "batch": 5, "steps": 4},
    "two numbers": {
        "spec": SequenceSpec(9, 4, 5, 1, kind="regressor", outputs=2, pooling="max", sparse_output=True),
        "batch": 70,
        "steps": 3,
    },
}  # fmt: skip


def make(case, density=0.4, seed=0, room=4):
    """A model with random biases, and a batch of sequences of all lengths, some of its places empty."""
    spec, steps, batch = case["spec"], case["steps"], case["batch"]
    rng = np.random.default_rng(seed)
    model = build_sequence_model(spec, density, rng, scale=0.6)
    for bias in model.arena.biases.values():
        bias[...] = rng.uniform(-0.3, 0.3, bias.shape)
    model.arena.touch()
    lengths = rng.integers(1, steps + 1, batch).astype(np.int32)
    lengths[0] = steps
    lengths[-1] = 0
    after = np.arange(steps)[:, None] >= lengths
    if spec.vocab_size:
        inputs = rng.integers(0, spec.vocab_size, (steps, batch)).astype(np.int32)
        inputs[after] = -1
    else:
        inputs = rng.standard_normal((steps, spec.embedding_size, batch)).astype(np.float32)
    if spec.kind == "classifier":
        targets = rng.integers(0, spec.outputs, batch).astype(np.int32)
        targets[lengths == 0] = -1
    else:
        targets = rng.standard_normal((spec.outputs, batch)).astype(np.float32)
        targets[:, lengths == 0] = np.nan
    return model, model.workspace(steps + room, batch), inputs, lengths, targets


def positions(matrix):
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr)), matrix.indices.astype(int)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_loss_and_predictions_against_float64(case):
    model, ws, inputs, lengths, targets = make(case)
    parameters = dense_parameters(model)
    exact = sequence_model_loss(parameters, model.spec, inputs, lengths, targets)
    assert model.forward(inputs, lengths, targets, ws) == pytest.approx(exact, rel=1e-6)
    outputs = model.predict(inputs, lengths, ws)
    used = lengths > 0
    assert outputs.shape == (model.spec.outputs, len(lengths))
    if model.spec.kind == "classifier":
        np.testing.assert_allclose(np.exp(outputs).sum(axis=0), 1, rtol=1e-5)
        loss = -np.take_along_axis(outputs[:, used], targets[None, used].astype(int), axis=0).mean()
    else:
        loss = ((outputs - targets)[:, used] ** 2).sum(axis=0).mean() / 2
    assert loss == pytest.approx(exact, rel=1e-5)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_gradient_against_central_differences(case):
    model, ws, inputs, lengths, targets = make(case)
    model.arena.zero_grad()
    model.forward(inputs, lengths, targets, ws)
    model.backward(ws)

    def loss(parameters):
        return sequence_model_loss(parameters, model.spec, inputs, lengths, targets)

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
    name = next(iter(model.dense_gradients(learnt(model, ws, inputs, lengths, targets))))
    if model.spec.sparse_output:
        name = "output.weight"
    weights = np.random.default_rng(1).uniform(0, 3, lengths.size) * (lengths > 0)

    def results(*batch):
        model.arena.zero_grad()
        loss = model.forward(*batch[:3], ws, weights=batch[3])
        model.backward(ws)
        dense = aligned_zeros(model.matrices[name].shape)
        model.dense_gradients(ws)[name](dense, 0)
        return loss, model.arena.grads.astype(np.float64), dense.astype(np.float64)

    exact = [0.0, 0.0, 0.0]
    for k in np.flatnonzero(lengths):
        alone = np.where(np.arange(lengths.size) == k, lengths, 0).astype(np.int32)
        none = -1 if model.spec.kind == "classifier" else np.nan
        one = results(inputs, alone, np.where(alone > 0, targets, none).astype(targets.dtype), None)
        exact = [mean + weights[k] / weights.sum() * part for mean, part in zip(exact, one, strict=True)]
    for got, wanted in zip(results(inputs, lengths, targets, weights), exact, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-6)
    assert (
        results(inputs, lengths, targets, np.sign(weights))[0] == results(inputs, lengths, targets, None)[0]
    )


def learnt(model, ws, *batch):
    model.forward(*batch, ws)
    model.backward(ws)
    return ws


@pytest.mark.parametrize("case", ["last", "mean of two layers", "max", "rhn", "features"])
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
        loss = model.forward(padded, lengths, targets, ws)
        model.backward(ws)
        results.append((loss, model.arena.grads.copy(), model.predict(padded, lengths, ws)[:, lengths > 0]))
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("case", "dropout"),
    [
        ("last", 0.5),
        ("mean of two layers", DropoutRates(input=0.5)),
        ("max", DropoutRates(output=0.5)),
        ("rhn", 0.3),
        ("rhn, mean", DropoutRates(output=0.5)),
        ("features", 0.3),
        ("blocks, last", 0.3),
    ],
)
def test_backward_with_dropout_is_the_gradient_of_forward_with_the_same_masks(case, dropout):
    model, ws, inputs, lengths, targets = make(CASES[case])

    def loss():
        return model.forward(inputs, lengths, targets, ws, dropout, np.random.default_rng(7))

    model.arena.zero_grad()
    assert loss() != model.forward(inputs, lengths, targets, ws)
    model.arena.zero_grad()
    loss()
    model.backward(ws)
    gradient = model.arena.grads.astype(np.float64)
    norm = np.linalg.norm(gradient)
    values = model.arena.values.copy()
    losses = []
    for sign in (1, -1):
        model.arena.values[...] = values + sign * 0.01 * gradient / norm
        model.arena.touch()
        losses.append(loss())
    assert (losses[0] - losses[1]) / 0.02 == pytest.approx(norm, rel=2e-3)


def test_backward_needs_its_forward():
    model, ws, inputs, lengths, _ = make(CASES["last"])
    model.predict(inputs, lengths, ws)
    with pytest.raises(RuntimeError, match="forward"):
        model.backward(ws)
    with pytest.raises(ValueError, match="does not fit"):
        model.predict(inputs[:, :-1], lengths[:-1], ws)


def train(model, ws, inputs, lengths, targets, steps, optimizer=None):
    optimizer, norm = optimizer or Adam(model.arena, 0.01), GradientNorm(1.0)
    rng = np.random.default_rng(5)
    for _ in range(steps):
        model.arena.zero_grad()
        model.forward(inputs, lengths, targets, ws, 0.2, rng)
        model.backward(ws)
        optimizer.step(norm(model.arena)[1])
    return optimizer


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads")
@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
def test_two_threads_give_the_bits_of_one(pooling):
    case = {"spec": SequenceSpec(300, 40, 50, 2, outputs=4, pooling=pooling), "batch": 70, "steps": 12}
    results = []
    try:
        for threads in (1, 2):
            numba.set_num_threads(threads)
            model, *batch = make(case, 0.2)
            train(model, *batch, 4)
            results.append(model.arena.values.copy())
    finally:
        numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
def test_training_steps_learn_and_allocate_nothing(pooling):
    """After warm-up ten steps add nothing to NumPy's heap or to Numba's."""
    case = {"spec": SequenceSpec(2000, 128, 128, 1, pooling=pooling), "batch": 32, "steps": 30}
    model, *batch = make(case, 0.1)
    ws, inputs, lengths, targets = batch
    before = model.forward(inputs, lengths, targets, ws)
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
    assert model.forward(inputs, lengths, targets, ws) < 0.7 * before


def test_the_paper_counts_243520_of_5644288_weights():
    """Liu et al. 2021: vocabulary 20,000, 256 units, epsilon 10, gates one by one, no output layer."""
    spec = SequenceSpec(20_000, 256, 256, 1)
    assert spec.dense_parameters == 5_644_288
    density = 243_520 / spec.dense_parameters
    model = build_sequence_model(spec, density, np.random.default_rng(0), "erdos-renyi", "separate")
    assert model.arena.nnz == 243_520
    assert model.matrices["embedding.weight"].nnz == 202_560
    for name in ("lstm.0.weight_ih", "lstm.0.weight_hh"):
        assert model.matrices[name].block_nnz().tolist() == [5_120] * 4


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"outputs": 1}, "a classifier needs 2 or more outputs, not 1"),
        ({"kind": "regressor", "outputs": 0}, "a regressor needs 1 or more"),
        ({"kind": "ranker"}, "a classifier or a regressor, not a 'ranker'"),
        ({"pooling": "first"}, "no pooling 'first'; use last, mean, max"),
        ({"cell": "gru"}, "no cell 'gru'"),
        ({"hidden_size": 0}, "hidden_size must be at least 1"),
    ],
)
def test_sizes_that_cannot_be(fields, sentence):
    with pytest.raises(UsageError, match=sentence):
        SequenceSpec(**{"vocab_size": 10, "embedding_size": 3, "hidden_size": 3, "layers": 1, **fields})
