"""LSTMs with ordered neurons: what they compute, and what their specification says."""

import numba
import numpy as np
import pytest
from model_helpers import CASES, make, positions
from oracles import central_differences, dense_parameters, language_model_loss

from truesparse.errors import UsageError
from truesparse.layers.chain import ChainSpec
from truesparse.layers.embedding.spec import Embedding
from truesparse.layers.models import language_model
from truesparse.layers.on_lstm.spec import ONLSTM
from truesparse.layers.output.spec import Softmax
from truesparse.layers.wiring import wiring
from truesparse.optim import SGD, GradientNorm
from truesparse.topology.distance import FIXED

KINDS = [name for name in CASES if name.startswith("on-lstm")]


def gradients_of(case):
    """A model's gradients after one window, and what it read."""
    model, ws, state, ids, targets = make(CASES[case])
    start = state.arrays()
    model.arena.zero_grad()
    loss = model.loss_and_gradients(ids, targets, ws, state)
    own = {name: (matrix.grad, positions(matrix)) for name, matrix in model.matrices.items()}
    own |= {name: (grad, (np.arange(grad.size),)) for name, grad in model.arena.bias_grads.items()}
    return model, loss, own, (ids, targets, start)


def distance(one, other):
    return np.linalg.norm(one - other) / np.linalg.norm(other)


@pytest.mark.parametrize("case", KINDS)
def test_gradients_are_those_of_central_differences(case):
    model, loss, own, (ids, targets, start) = gradients_of(case)

    def exact_loss(parameters):
        return language_model_loss(parameters, model.chain, ids, targets, start)[0]

    parameters = dense_parameters(model)
    assert loss == pytest.approx(exact_loss(parameters), rel=1e-6)
    for name, (grad, places) in own.items():
        assert distance(grad, central_differences(exact_loss, parameters, name, places)) < 1e-6, name


def test_gradients_are_those_of_a_masked_twin_in_torch():
    torch = pytest.importorskip("torch")
    model, loss, own, (ids, targets, start) = gradients_of("on-lstm")
    parameters = {
        name: torch.tensor(value, requires_grad=True) for name, value in dense_parameters(model).items()
    }
    x = parameters["embedding.weight"][torch.from_numpy(ids).long()]  # (steps, B, D)
    for place in model.chain.recurrent:
        h, c = (torch.from_numpy(start[name].T.astype(np.float64)) for name in place.state)
        w_ih, w_hh, m_ih, m_hh, bias, bias_master = (
            parameters[f"{place.name}.{name}"]
            for name in ("weight_ih", "weight_hh", "master_ih", "master_hh", "bias", "bias_master")
        )
        outputs = []
        for x_t in x:
            i, f, g, o = (x_t @ w_ih.T + h @ w_hh.T + bias).chunk(4, dim=1)
            levels = (x_t @ m_ih.T + h @ m_hh.T + bias_master).reshape(len(h), 2, -1)
            levels = torch.softmax(levels, dim=2).cumsum(dim=2).repeat_interleave(place.spec.chunk_size, 2)
            kept, added = levels[:, 0], 1 - levels[:, 1]
            both = kept * added
            c = (torch.sigmoid(f) * both + kept - both) * c
            c = c + (torch.sigmoid(i) * both + added - both) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            outputs.append(h)
        x = torch.stack(outputs)
    scores = x @ parameters["output.weight"].T + parameters["output.bias"]
    twin = torch.nn.functional.cross_entropy(scores.flatten(0, 1), torch.from_numpy(targets).long().flatten())
    twin.backward()
    assert loss == pytest.approx(twin.item(), rel=1e-6)
    for name, (grad, places) in own.items():
        assert distance(grad, parameters[name].grad.numpy()[places]) < 1e-6, name


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads")
@pytest.mark.parametrize("case", KINDS)
def test_two_threads_give_the_bits_of_one(case):
    results = []
    try:
        for threads in (1, 2):
            numba.set_num_threads(threads)
            model, ws, state, ids, targets = make(CASES[case], dropout=0.3)
            optimizer, norm, rng = SGD(model.arena, 0.5, 0.9), GradientNorm(1.0), np.random.default_rng(5)
            for _ in range(3):
                model.arena.zero_grad()
                model.loss_and_gradients(ids, targets, ws, state, rng=rng)
                optimizer.step(norm(model.arena)[1])
            results.append((model.arena.values.copy(), *state.arrays().values()))
    finally:
        numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)


def test_master_gates_have_a_row_for_each_chunk_and_no_groups():
    chain = ChainSpec(Embedding(9, 4), ONLSTM(6, "unit", chunk_size=2), Softmax(9))
    matrices = {matrix.name: (matrix.shape, matrix.group) for matrix in chain.recurrent[0].matrices}
    assert matrices == {
        "on_lstm.0.weight_ih": ((24, 4), 4),
        "on_lstm.0.weight_hh": ((24, 6), 4),
        "on_lstm.0.master_ih": ((6, 4), 1),
        "on_lstm.0.master_hh": ((6, 6), 1),
    }


def test_chunks_divide_the_units():
    with pytest.raises(
        UsageError, match="has 25 units, which chunks of 10 do not divide; change chunk_size or the"
    ):
        ONLSTM(25, chunk_size=10)


def test_a_smaller_model_has_whole_chunks():
    chain = language_model(50, 40, 40, 2, "on-lstm", chunk_size=10)
    smaller = chain.with_parameters(chain.dense_parameters // 2)
    assert smaller.units in (20, 30)
    assert smaller.dense_parameters == pytest.approx(chain.dense_parameters / 2, rel=0.3)


def test_units_have_an_order_and_master_gates_are_no_units():
    chain = language_model(50, 20, 20, 1, "on-lstm", chunk_size=5, tied=True)
    layers = {layer.sums[0][0].matrix: layer for layer in wiring(chain)}
    assert all(layer.units == FIXED for layer in layers.values())
    assert layers["on_lstm.0.weight_ih"].gates == ONLSTM.GATES
    assert layers["on_lstm.0.master_ih"].gates == ONLSTM.MASTERS
    ((size, rows, reads),) = chain.hidden_units
    assert size == 20
    assert rows == ("on_lstm.0.weight_ih", "on_lstm.0.weight_hh")
    assert reads == ("on_lstm.0.weight_hh", "on_lstm.0.master_hh", "embedding.weight")
