"""Pruning of whole hidden units, against dense arrays."""

import numpy as np
import pytest

import truesparse as ts
from truesparse.errors import UsageError
from truesparse.optim import SGD
from truesparse.optim.base import DensityRates
from truesparse.topology import Beginning, get_method
from truesparse.topology.hooks import Units

CHAINS = {
    "lstm": ts.Chain(ts.Embedding(30, 6), ts.LSTM(8), ts.LSTM(5), ts.Softmax(30)),
    "unit": ts.Chain(ts.Embedding(30, 6), ts.LSTM(8, pattern="unit"), ts.LSTM(5), ts.Softmax(30, group=3)),
    "rhn": ts.Chain(ts.Embedding(30, 7), ts.RHN(7, depth=2), ts.Softmax(30, tied=True)),
    "both": ts.Chain(ts.Embedding(30, 6), ts.Bidirectional(ts.LSTM(5)), ts.LSTM(4), ts.Softmax(30)),
    "gru": ts.Chain(ts.Linear(9), ts.GRU(6), ts.Pool("mean"), ts.Linear(4), ts.Softmax(3), features=5),
    "mlp": ts.Chain(ts.Linear(9, "relu"), ts.Linear(7, "srelu"), ts.Pool(), ts.Softmax(4), features=5),
}
# All that the head reads are features that the residual layer adds to.
PLAIN = ts.Chain(
    ts.Linear(6), ts.Residual(ts.Linear(8, "relu"), ts.Linear(6)), ts.Pool("mean"), ts.Softmax(3), features=5
)


def at_work(name, lasso=0.01, density=0.5, gates="fused"):
    chain = CHAINS[name]
    model = chain.init(1.0, seed=3)
    final = {m.name: np.array([round(density * m.positions)]) for m in chain.matrices}
    if gates == "separate":
        final = {m.name: np.full(m.blocks, round(density * m.positions / m.blocks)) for m in chain.matrices}
    units = [Units(*layer) for layer in chain.hidden_units]
    method = get_method("iss")
    told = {**method.defaults, "group_lasso": lasso}
    rng = np.random.default_rng(0)
    return model, method.begin(Beginning(model.arena, rng, told, gates, final_counts=final, units=units))


def arrays(model):
    return {name: matrix.to_scipy().toarray().astype(np.float64) for name, matrix in model.matrices.items()}


def places_of(model):
    """For each layer and unit the places of its weights, as indices of the matrices by name."""
    found, before = [], {}
    for size, rows, columns in model.chain.hidden_units:
        first = {name: before.get(name, 0) for name in columns}
        before |= {name: start + size for name, start in first.items()}
        found.append(
            [
                [
                    *(
                        (name, (np.arange(u, model.matrices[name].shape[0], size), slice(None)))
                        for name in rows
                    ),
                    *((name, (slice(None), np.array([u + first[name]]))) for name in columns),
                ]
                for u in range(size)
            ]
        )
    return found


def norms(model):
    """For each layer the norm of each unit's weights; a weight between two units of a layer is in both."""
    dense = arrays(model)
    return [
        np.sqrt([sum((dense[name][where] ** 2).sum() for name, where in own) for own in units])
        for units in places_of(model)
    ]


def test_what_the_units_are_rows_and_columns_of():
    assert CHAINS["lstm"].hidden_units == [
        (8, ("lstm.0.weight_ih", "lstm.0.weight_hh"), ("lstm.0.weight_hh", "lstm.1.weight_ih")),
        (5, ("lstm.1.weight_ih", "lstm.1.weight_hh"), ("lstm.1.weight_hh", "output.weight")),
    ]
    hidden = ("rhn.0.weight_hh.0", "rhn.0.weight_hh.1")
    assert CHAINS["rhn"].hidden_units == [(7, ("rhn.0.weight_ih", *hidden), (*hidden, "embedding.weight"))]
    assert CHAINS["gru"].hidden_units == [
        (9, ("linear.0.weight",), ("gru.0.weight_ih",)),
        (6, ("gru.0.weight_ih", "gru.0.weight_hh"), ("gru.0.weight_hh", "linear.1.weight")),
        (4, ("linear.1.weight",), ("output.weight",)),
    ]
    assert CHAINS["mlp"].hidden_units == [
        (9, ("linear.0.weight",), ("linear.1.weight",)),
        (7, ("linear.1.weight",), ("output.weight",)),
    ]
    dense = ts.Chain(ts.LSTM(4), ts.Pool(), ts.Softmax(3, sparse=False), features=5)
    assert dense.hidden_units[0][2] == ("lstm.0.weight_hh",)
    assert PLAIN.hidden_units == []
    for between in (ts.Residual(ts.LayerNorm()), ts.LayerNorm(), ts.Positions(6)):  # there a unit is never 0
        chain = ts.Chain(ts.Linear(6), between, ts.Linear(5), ts.Softmax(3), features=4)
        assert [size for size, _, _ in chain.hidden_units] == [5]


@pytest.mark.parametrize("name", CHAINS)
def test_a_step_down_the_penalty(name):
    model, hooks = at_work(name, lasso=0.03)
    wanted, sizes = arrays(model), norms(model)
    pulls = {matrix: np.zeros(array.shape) for matrix, array in wanted.items()}
    for units, norm in zip(places_of(model), sizes, strict=True):
        for own, size in zip(units, norm, strict=True):
            for matrix, where in own:
                pulls[matrix][where] += 0.5 * 0.03 / size
    hooks.penalize(lambda name: 0.5)
    for matrix, array in arrays(model).items():
        np.testing.assert_allclose(array, wanted[matrix] * (1 - pulls[matrix]), rtol=1e-6)
    before = model.arena.values.copy()
    hooks.penalize(lambda name: 1e6)  # beyond 0 nothing turns its sign
    assert (np.abs(model.arena.values) <= np.abs(before)).all()
    assert (model.arena.values * before >= 0).all()


@pytest.mark.parametrize(
    ("momentum", "exponent", "density"), [(0.0, 0.0, 1.0), (0.9, 0.0, 1.0), (0.8, 1.0, 0.5)]
)
def test_the_penalty_is_as_one_in_the_loss(momentum, exponent, density):
    """Its steps are as long as if the optimizer had its gradient."""
    chain, lasso, steps = CHAINS["mlp"], 0.02, 100
    model, twin = (chain.init(density, seed=3) for _ in range(2))
    units = [Units(*layer) for layer in chain.hidden_units]
    final = {m.name: np.array([m.positions // 3]) for m in chain.matrices}
    told = {**get_method("iss").defaults, "group_lasso": lasso}
    beginning = Beginning(
        model.arena, np.random.default_rng(0), told, "fused", final_counts=final, units=units
    )
    hooks = get_method("iss").begin(beginning)
    optimizers = [SGD(m.arena, 0.01, momentum) for m in (model, twin)]
    for optimizer in optimizers:
        optimizer.rates = DensityRates(exponent)
    first = arrays(model)
    for _ in range(steps):
        hooks.penalize(optimizers[0].lasting_rate)
        twin.arena.zero_grad()
        weights, sizes = arrays(twin), norms(twin)
        grads = {name: np.zeros_like(array) for name, array in weights.items()}
        for own_units, norm in zip(places_of(twin), sizes, strict=True):
            for own, size in zip(own_units, norm, strict=True):
                for name, where in own:
                    grads[name][where] += lasso * weights[name][where] / size
        for name, matrix in twin.matrices.items():
            rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
            matrix.grad[...] = grads[name][rows, matrix.indices]
        optimizers[1].step()
    moved, theirs = (
        np.sqrt(sum(((m[name] - first[name]) ** 2).sum() for name in first))
        for m in map(arrays, (model, twin))
    )
    late = 1 - momentum / (1 - momentum) / steps  # momentum begins from nothing
    assert moved * late == pytest.approx(theirs, rel=0.05)


@pytest.mark.parametrize("gates", ["fused", "separate"])
@pytest.mark.parametrize("name", CHAINS)
def test_the_smallest_units_go_with_all_their_weights(name, gates):
    model, hooks = at_work(name, density=0.6, gates=gates)
    nnz, sizes, before = model.arena.nnz, norms(model), arrays(model)
    changed = hooks.rewire(1.0, dict, 1.0)
    after = arrays(model)
    wanted = sum(hooks.targets[p] * model.matrices[p.partition("[")[0]].group for p in hooks.targets)
    assert model.arena.nnz <= wanted < nnz
    assert sum(change.dropped for change in changed.values()) == nnz - model.arena.nnz
    assert not any(change.grown for change in changed.values())
    gone = [norm == 0 for norm in norms(model)]
    assert sum(map(np.count_nonzero, gone)) > 0
    largest_gone = max(norm[dead].max() for norm, dead in zip(sizes, gone, strict=True) if dead.any())
    left = [norm[~dead] for norm, dead in zip(sizes, gone, strict=True)]
    smallest_left = min(norm.min() for norm in left if norm.size > 1)  # the last unit of a layer stays
    assert largest_gone < smallest_left
    for units, dead in zip(places_of(model), gone, strict=True):
        for u in np.flatnonzero(dead):
            for matrix, where in units[u]:
                before[matrix][where] = 0
    for matrix, array in after.items():
        np.testing.assert_array_equal(array, before[matrix])  # no other weight has gone or changed
        model.matrices[matrix].check()


def test_it_comes_down_along_the_curve_and_leaves_a_unit_in_each_layer():
    model, hooks = at_work("lstm", density=0.36)
    left = []
    for fraction in (0.0, 0.3, 0.7, 1.0):
        hooks.rewire(fraction, dict, fraction)
        left.append(model.arena.nnz)
    positions = model.chain.dense_parameters
    assert left[0] == positions > left[1] > left[2] > left[3]
    assert abs(left[1] - (positions - 0.3 * (positions - 0.36 * positions))) < 100
    assert all((norm > 0).any() for norm in norms(model))
    with pytest.raises(UsageError, match=r"a single one in each layer leaves .* weights, more than the"):
        at_work("lstm", density=0.1)


def test_a_penalty_that_leaves_nothing_is_refused():
    _, hooks = at_work("lstm", lasso=1e5)
    hooks.penalize(lambda name: 1e3)
    with pytest.raises(UsageError, match=r"^group_lasso 100000 has left a layer without a unit; lower it$"):
        hooks.rewire(0.5, dict, 0.5)


def test_training_in_memory():
    ids = np.random.default_rng(1).integers(3, size=600).cumsum() % 30
    batches = ts.Windows(ids, 4, 8)
    model = CHAINS["lstm"].init(1.0)
    method = ts.method("iss", update_interval=5, group_lasso=0.01)
    ts.fit(model, batches, ts.sgd(lr=0.5), method, epochs=2, density=0.5)
    assert 0.35 < model.density <= 0.5
    assert sum(np.count_nonzero(norm == 0) for norm in norms(model)) >= 3
    samples = ts.Sequences.of([np.ones((4, 5), np.float32)] * 8)
    few = ts.SequenceBatches(samples, np.arange(8) % 3, 4)
    with pytest.raises(UsageError, match="the model has no hidden units that method iss could take away"):
        ts.fit(PLAIN.init(1.0), few, ts.sgd(), ts.method("iss", update_interval=1), epochs=4, density=0.5)
