"""Attention, layer norm, positions, residual connections and a head for few targets: what they compute, for
sequences of different lengths, and which there cannot be."""

import numba
import numpy as np
import pytest
from model_helpers import positions
from oracles import central_differences, dense_parameters, sequence_model_loss

from truesparse.errors import TruesparseError, UsageError
from truesparse.kernels.buffers import aligned_zeros
from truesparse.layers.attention.spec import Attention
from truesparse.layers.chain import ChainSpec
from truesparse.layers.dropout.spec import Dropout
from truesparse.layers.embedding.spec import Embedding
from truesparse.layers.layer_norm.spec import LayerNorm
from truesparse.layers.linear.spec import Linear
from truesparse.layers.lstm.spec import LSTM
from truesparse.layers.output.spec import MaskedSoftmax, Softmax
from truesparse.layers.pool.spec import Pool
from truesparse.layers.positions.spec import Positions
from truesparse.layers.residual.spec import Residual
from truesparse.layers.wiring import wiring
from truesparse.model import random_model
from truesparse.modelfile import Reader, read_model
from truesparse.runtime.reader import Reader as RuntimeReader

BATCH = 18  # whose kernels other tests compile too


def encoder(tied=False, pattern="weight", heads=2):
    return ChainSpec(
        Embedding(11, 6),
        Positions(9),
        Residual(LayerNorm(), Attention(heads, pattern)),
        Residual(LayerNorm(), Linear(8, "relu"), Linear(6)),
        LayerNorm(),
        MaskedSoftmax(11, tied=tied),
    )


def batch_of(model, seed=1):
    """Sequences of different lengths, one of them of none, and targets at few of their steps."""
    rng = np.random.default_rng(seed)
    for bias in model.arena.biases.values():
        bias += rng.uniform(-0.3, 0.3, bias.shape).astype(np.float32)
    lengths = np.resize([5, 0, 3, 1], BATCH).astype(np.int32)
    inside = np.arange(5)[:, None] < lengths
    ids = np.where(inside, rng.integers(0, 11, (5, BATCH)), -1).astype(np.int32)
    targets = np.where(inside & (rng.random((5, BATCH)) < 0.6), rng.integers(0, 11, (5, BATCH)), -1).astype(
        np.int32
    )
    return ids, targets, lengths


@pytest.mark.parametrize(
    "chain", [encoder(), encoder(tied=True, pattern="unit", heads=3)], ids=["plain", "tied, unit, heads of 2"]
)
def test_loss_and_gradients(chain):
    """Against NumPy in float64: central differences, at every position for the dense gradients."""
    model = random_model(chain, 0.6, np.random.default_rng(0), scale=0.6)
    ids, targets, lengths = batch_of(model)
    ws, parameters = model.workspace(7, BATCH), dense_parameters(model)

    def loss(parameters):
        return sequence_model_loss(parameters, chain, ids, lengths, targets)

    longer = np.full((7, BATCH), 3, np.int32)  # what a longer window leaves behind must not matter
    model.loss_and_gradients(longer, longer, ws)
    model.arena.zero_grad()
    assert model.loss_and_gradients(ids, targets, ws, lengths=lengths) == pytest.approx(
        loss(parameters), rel=1e-6
    )
    for name, grad in model.arena.bias_grads.items():
        exact = central_differences(loss, parameters, name, (np.arange(grad.size),))
        np.testing.assert_allclose(grad, exact, rtol=1e-4, atol=1e-6, err_msg=name)
    dense = model.dense_gradients(ws)
    assert dense.keys() == model.matrices.keys()
    for name, matrix in model.matrices.items():
        everywhere = tuple(places.ravel() for places in np.indices(matrix.shape))
        exact = central_differences(loss, parameters, name, everywhere).reshape(matrix.shape)
        np.testing.assert_allclose(matrix.grad, exact[positions(matrix)], rtol=1e-4, atol=1e-6, err_msg=name)
        gradient = aligned_zeros(matrix.shape)
        dense[name](gradient, 0)
        np.testing.assert_allclose(gradient, exact, rtol=1e-4, atol=1e-6, err_msg=name)
    assert model.loss(ids, targets, ws, lengths=lengths) == pytest.approx(loss(parameters), rel=1e-6)


def test_the_runtime_and_threads_say_the_same(tmp_path):
    model = random_model(encoder(), 0.6, np.random.default_rng(0), scale=0.6)
    ids, targets, lengths = batch_of(model)
    said = model.predict_steps(ids, model.workspace(7, BATCH), lengths=lengths)
    model.save(tmp_path / "model.safetensors")
    with Reader(tmp_path / "model.safetensors") as reader:
        stored = read_model(reader)
    assert stored.chain == model.chain
    assert stored.kind == "masked language model"
    in_numpy = RuntimeReader(stored)._outputs([ids[:5, 0], ids[:3, 2], ids[:1, 3]])
    for own, sequence in zip(in_numpy, (0, 2, 3), strict=True):
        np.testing.assert_allclose(own, said[: len(own), :, sequence], rtol=1e-4, atol=1e-5)
    with pytest.raises(TruesparseError, match="the model knows 9 positions, but a sequence has 10 steps"):
        RuntimeReader(stored)._outputs([np.zeros(10, int)])
    if numba.config.NUMBA_NUM_THREADS < 2:
        return
    results = []
    try:
        for threads in (1, 2):
            numba.set_num_threads(threads)
            model.arena.zero_grad()
            model.loss_and_gradients(ids, targets, model.workspace(7, BATCH), lengths=lengths)
            results.append(model.arena.grads.copy())
    finally:
        numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    np.testing.assert_array_equal(*results)


def test_names_and_wiring():
    chain = encoder()
    assert [matrix.name for matrix in chain.matrices] == [
        "embedding.weight",
        "residual.0.attention.0.weight_in",
        "residual.0.attention.0.weight_out",
        "residual.1.linear.0.weight",
        "residual.1.linear.1.weight",
        "output.weight",
    ]
    assert [vector.name for vector in chain.vectors][:3] == [
        "positions.weight",
        "residual.0.norm.0.scale",
        "residual.0.norm.0.bias",
    ]
    assert chain.whole
    assert chain.gates == {"residual.0.attention.0.weight_in": ("q", "k", "v")}
    assert [layer.name for layer in wiring(chain)] == [
        "embedding",
        *(matrix.name for matrix in chain.matrices[1:-1]),
        "output",
    ]
    assert ChainSpec.from_document(chain.to_document()) == chain
    model = random_model(chain, 0.5, np.random.default_rng(0))
    np.testing.assert_array_equal(model.arena.biases["norm.0.scale"], 1)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Residual(), "has no layers"),
        (lambda: Residual(LSTM(4)), "cannot have the layer lstm in it"),
        (lambda: Residual(Dropout(0.1)), "cannot have the layer dropout in it"),
        (lambda: Residual(Pool()), "cannot have the layer pool in it"),
        (lambda: Residual(Residual(Linear(4))), "cannot have the layer residual in it"),
        (lambda: Residual(3), "layer 0 of the layer residual"),
        (lambda: ChainSpec(Residual(Linear(5)), Softmax(3), features=4), "give 5 features, but get 4"),
        (lambda: ChainSpec(Attention(3), Softmax(3), features=4), "3 heads cannot share 4 features"),
        (lambda: Residual.from_document({"type": "residual", "layers": 3}), "has a list of layers"),
        (
            lambda: Residual.from_document({"type": "residual", "layers": [{"type": "residual"}]}),
            "has the layer 'residual' in it",
        ),
        (
            lambda: random_model(encoder(), 0.5, np.random.default_rng(0)).workspace(10, 4),
            "knows 9 positions, but a sequence has 10 steps",
        ),
    ],
)
def test_what_there_cannot_be(make, sentence):
    with pytest.raises(UsageError, match=sentence):
        make()
