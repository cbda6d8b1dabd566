import gc
import resource
import tracemalloc
from functools import partial

import numba
import numpy as np
import pytest
from model_helpers import ALL_KINDS, CASES, make, positions
from numba.core.runtime import _nrt_python, rtsys
from oracles import central_differences, dense_parameters, language_model_loss

from truesparse.errors import TruesparseError, UsageError
from truesparse.layers.dropout.spec import Dropout, WordDropout
from truesparse.layers.models import DropoutRates, language_model
from truesparse.model import draw_values, random_model
from truesparse.optim import SGD, GradientNorm
from truesparse.topology import Update, get_method, initial_counts


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_loss_and_carried_state_against_float64(case):
    model, ws, state, ids, targets = make(case)
    exact, exact_state = language_model_loss(
        dense_parameters(model), model.chain, ids, targets, state.arrays()
    )
    before = state.arrays()
    assert model.loss_and_gradients(ids, targets, ws, state) == pytest.approx(exact, rel=1e-6)
    assert state.arrays().keys() == exact_state.keys()
    for name, array in state.arrays().items():
        np.testing.assert_allclose(array, exact_state[name], rtol=1e-5, atol=1e-6)
    state.load(before)
    assert model.loss(ids, targets, ws, state) == pytest.approx(exact, rel=1e-6)
    state.load(before)
    log_probabilities = model.predict(ids, ws, state)
    np.testing.assert_allclose(np.exp(log_probabilities).sum(axis=0), 1, rtol=1e-5)
    last = -np.take_along_axis(log_probabilities, targets[-1:].astype(int), axis=0).mean()
    losses = [
        language_model_loss(dense_parameters(model), model.chain, ids[:k], targets[:k], before)[0] * k
        for k in (len(ids) - 1, len(ids))
        if k
    ]
    assert last == pytest.approx(losses[-1] - (losses[0] if len(losses) > 1 else 0), rel=1e-4)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_gradient_against_central_differences(case):
    model, ws, state, ids, targets = make(case)
    start = state.arrays()
    model.arena.zero_grad()
    model.loss_and_gradients(ids, targets, ws, state)

    def loss(parameters):
        return language_model_loss(parameters, model.chain, ids, targets, start)[0]

    parameters = dense_parameters(model)
    for name, matrix in model.matrices.items():
        exact = central_differences(loss, parameters, name, positions(matrix))
        np.testing.assert_allclose(matrix.grad, exact, rtol=2e-4, atol=2e-6, err_msg=name)
    for name, grad in model.arena.bias_grads.items():
        exact = central_differences(loss, parameters, name, (np.arange(grad.size),))
        np.testing.assert_allclose(grad, exact, rtol=2e-4, atol=2e-6, err_msg=name)


def test_gradients_accumulate_until_they_are_zeroed():
    model, ws, state, ids, targets = make(CASES["stacked"])
    start = state.arrays()
    grads = []
    model.arena.zero_grad()
    for _ in range(2):
        state.load(start)
        model.loss_and_gradients(ids, targets, ws, state)
        grads.append(model.arena.grads.copy())
    np.testing.assert_allclose(grads[1], 2 * grads[0], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("case", "dropout"),
    [
        ("stacked", 0.5),
        ("stacked", DropoutRates(input=0.5)),
        ("gru", 0.5),
        ("gru, reset before", 0.5),
        ("rhn", 0.3),
        ("rhn", ALL_KINDS),
        ("rhn", DropoutRates(embedding=0.5)),
        ("rhn", DropoutRates(input=0.5)),
        ("rhn", DropoutRates(hidden=0.5)),
        ("rhn", DropoutRates(output=0.5)),
        ("rhn, tied, short window", ALL_KINDS),
        ("rhn, batch in blocks", ALL_KINDS),
    ],
)
def test_gradients_with_dropout_are_those_of_the_loss_with_the_same_masks(case, dropout):
    """With the masks held fixed the loss is a smooth function: its slope along the gradient is the gradient's
    norm."""
    model, ws, state, ids, targets = make(CASES[case], dropout=dropout)
    start = state.arrays()

    def loss():
        state.load(start)
        return model.loss_and_gradients(ids, targets, ws, state, rng=np.random.default_rng(7))

    model.arena.zero_grad()
    loss()
    gradient = model.arena.grads.astype(np.float64)
    norm = np.linalg.norm(gradient)
    values = model.arena.values.copy()
    step = 0.02
    losses = []
    for sign in (1, -1):
        model.arena.values[...] = values + sign * step * gradient / norm
        model.arena.touch()
        losses.append(loss())
    assert (losses[0] - losses[1]) / (2 * step) == pytest.approx(norm, rel=2e-3)


def test_an_lstm_drops_nothing_of_its_state():
    with pytest.raises(UsageError, match="the cell lstm has no dropout of its hidden state"):
        language_model(10, 4, 5, 1, dropout=DropoutRates(hidden=0.1))


def test_locked_dropout_and_dropped_words_of_an_lstm():
    chain = language_model(10, 4, 5, 1, dropout=DropoutRates(0.1, 0.2, 0, 0.3), locked=True)
    assert chain.layers[0] == WordDropout(0.1)
    assert [layer for layer in chain.layers if isinstance(layer, Dropout)] == [
        Dropout(0.2, True),
        Dropout(0.3, True),
    ]
    assert language_model(10, 4, 5, 1, "rhn", dropout=0.2, locked=False).layers[-2] == Dropout(0.2, False)


def test_nothing_is_dropped_in_evaluation_or_without_a_generator():
    model, ws, state, ids, targets = make(CASES["rhn"], dropout=ALL_KINDS)
    start = state.arrays()

    def fresh(run, **kwargs):
        state.load(start)
        return run(ids, targets, ws, state, **kwargs)

    expected = fresh(model.loss)
    assert fresh(model.loss_and_gradients, rng=np.random.default_rng(1)) != expected
    assert fresh(model.loss) == fresh(model.loss_and_gradients) == expected


@pytest.mark.parametrize(("given", "expected"), [({}, -2.0), ({"transform_bias": 0.5}, 0.5)])
def test_first_biases(given, expected):
    chain = language_model(20, 7, 9, 2, "rhn", depth=3, **given)
    arena = random_model(chain, 0.4, np.random.default_rng(0)).arena
    for name, bias in arena.biases.items():
        if name == "output.bias":
            assert (bias == 0).all()
        else:
            assert (bias.reshape(2, -1) == np.array([[0.0], [expected]])).all()


UNIT = {"pattern": "unit", "output_group": 4}
CELLS = pytest.mark.parametrize(
    "cell",
    [
        {"cell": "lstm"},
        {"cell": "rhn", "depth": 3},
        UNIT,
        {"cell": "rhn", "depth": 3, **UNIT},
        {"cell": "gru"},
        {"cell": "gru", **UNIT},
        {"cell": "gru", "reset_gate": "before"},
        {"cell": "gru", "reset_gate": "before", **UNIT},
    ],
    ids=[
        *("lstm", "rhn", "lstm, unit", "rhn, unit"),
        *("gru", "gru, unit", "gru, reset before", "gru, reset before, unit"),
    ],
)


def train(model, ws, state, ids, targets, steps):
    optimizer, norm = SGD(model.arena, 0.5, 0.9), GradientNorm(1.0)
    rng = np.random.default_rng(5)
    for _ in range(steps):
        model.arena.zero_grad()
        model.loss_and_gradients(ids, targets, ws, state, rng=rng)
        _, scale = norm(model.arena)
        optimizer.step(scale)


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads")
@CELLS
@pytest.mark.parametrize("batch", [20, 40])  # the second in two blocks of sequences
def test_two_threads_give_the_bits_of_one(cell, batch):
    check_that_two_threads_give_the_bits_of_one(cell, batch)


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads")
@pytest.mark.parametrize("cell", [{"cell": "lstm"}, UNIT], ids=["lstm", "lstm, unit"])
def test_two_threads_share_what_one_takes_apart(cell):
    """Each of three blocks of sequences by itself; for the other cell that has it: test_gru_kernels."""
    check_that_two_threads_give_the_bits_of_one(cell, 96)


def check_that_two_threads_give_the_bits_of_one(cell, batch):
    chain = partial(language_model, 300, 40, 50, 2, **cell)
    case = {"chain": chain, "density": 0.2, "window": (12, batch), "steps": 12}
    results = []
    try:
        for threads in (1, 2):
            numba.set_num_threads(threads)
            model, ws, state, ids, targets = make(case, dropout=0.3)
            train(model, ws, state, ids, targets, 4)
            results.append((model.arena.values.copy(), state.arrays()))
    finally:
        numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    np.testing.assert_array_equal(results[0][0], results[1][0])
    for name in results[0][1]:
        np.testing.assert_array_equal(results[0][1][name], results[1][1][name])


@CELLS
def test_training_steps_learn_and_allocate_nothing(cell):
    """After warm-up thirty steps add nothing to NumPy's heap, to Numba's, or to the process's peak."""
    chain = partial(language_model, 2000, 256, 256, 2, **cell)
    case = {"chain": chain, "density": 0.05, "window": (20, 20), "steps": 20}
    model, ws, state, ids, targets = make(case, dropout=0.3)
    draw_values(model, np.random.default_rng(1), 0.02)  # the first loss is that of equal probabilities
    before = model.loss(ids, targets, ws, state)
    train(model, ws, state, ids, targets, 3)  # compiles, builds the transposed indices
    optimizer, norm = SGD(model.arena, 0.5, 0.9), GradientNorm(1.0)
    rng = np.random.default_rng(6)
    _nrt_python.memsys_enable_stats()
    gc.collect()
    kernels = rtsys.get_allocation_stats()
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tracemalloc.start()
    try:
        for _ in range(30):
            model.arena.zero_grad()
            model.loss_and_gradients(ids, targets, ws, state, rng=rng)
            optimizer.step(norm(model.arena)[1])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 32 * 1024  # bytes: views and small objects of Python
    after = rtsys.get_allocation_stats()  # Numba makes one small array, O(threads), a parallel region
    assert after.alloc - kernels.alloc == after.free - kernels.free
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - resident < 512  # KiB
    assert model.loss(ids, targets, ws, state) < before - 0.2


def test_building_and_training_never_hold_a_dense_matrix():
    """From the initial topology to an update of the topology, the peak of all arrays stays below one dense
    matrix."""
    method = get_method("st-rnn")
    rng = np.random.default_rng(0)

    def live(sizes, density):
        model = random_model(language_model(*sizes, dropout=0.3), density, rng)
        ws, state = model.workspace(2, 2), model.zero_state(2)
        ids = rng.integers(0, sizes[0], (2, 2)).astype(np.int32)
        train(model, ws, state, ids, ids, 2)
        method.update(model.arena, Update(0.5, rng))
        train(model, ws, state, ids, ids, 2)

    live((50, 20, 20, 1), 0.2)  # compiles, which takes memory of its own
    vocab_size, embedding_size = 20_000, 400
    tracemalloc.start()
    try:
        live((vocab_size, embedding_size, 400, 1), 0.005)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < vocab_size * embedding_size * 4


def test_sizes_of_the_paper():
    """Liu et al. 2021, Table 2: 66.0M weights, 21.8M at density 0.33 and 13.2M at 0.20."""
    chain = language_model(10_000, 1500, 1500, 2)
    assert chain.dense_parameters == 66_000_000
    for density, total in ((0.33, 21_780_000), (0.20, 13_200_000)):
        counts = initial_counts(chain.shapes, density, "uniform", "fused")
        assert sum(int(count.sum()) for count in counts.values()) == total


def test_sizes_of_the_recurrent_highway_network():
    """Table 3: 23.5M weights, 11.1M at density 0.472."""
    chain = language_model(10_000, 830, 830, 1, tied=True, cell="rhn", depth=10)
    assert chain.dense_parameters == 23_455_800
    counts = initial_counts(chain.shapes, 0.472, "uniform", "fused")
    assert sum(int(count.sum()) for count in counts.values()) == 11_071_138
    assert sum(vector.size for vector in chain.vectors) == 10_000 + 10 * 1660


@pytest.mark.parametrize("sizes", [(0, 4, 4, 1), (4, 0, 4, 1), (4, 4, -1, 1), (4, 4, 4, 0)])
def test_sizes_below_one_are_refused(sizes):
    with pytest.raises(UsageError, match="at least 1"):
        language_model(*sizes)


def test_groups_of_rows():
    chain = language_model(30, 7, 9, 1, pattern="unit", output_group=3)
    groups = {matrix.name: matrix.group for matrix in chain.matrices}
    assert groups == {
        "embedding.weight": 3, "lstm.0.weight_ih": 4, "lstm.0.weight_hh": 4, "output.weight": 3
    }  # fmt: skip
    model = random_model(chain, 0.4, np.random.default_rng(0))
    for name, matrix in model.matrices.items():
        matrix.check()
        assert matrix.nnz == matrix.connections * groups[name] == matrix.data.size
        assert abs(matrix.nnz - 0.4 * matrix.shape[0] * matrix.shape[1]) <= matrix.group
        rows = matrix.to_scipy().toarray().astype(bool)
        member = rows.reshape(matrix.group, -1, matrix.shape[1]).swapaxes(0, 1)
        if matrix.blocks == 1:
            member = rows.reshape(-1, matrix.group, matrix.shape[1])
        assert (member == member[:, :1]).all()
    with pytest.raises(UsageError, match="a vocabulary of 30 cannot be cut into groups of 4"):
        language_model(30, 7, 9, 1, output_group=4)
    with pytest.raises(UsageError, match="pattern of the layer lstm is 'gate'; it must be weight or unit"):
        language_model(30, 7, 9, 1, pattern="gate")


def test_tying_needs_equal_sizes():
    with pytest.raises(UsageError, match="leave out tied"):
        language_model(10, 4, 5, 1, tied=True)


def test_cells_that_are_unknown_or_have_no_depth():
    with pytest.raises(UsageError, match="use lstm, gru, rhn or on-lstm"):
        language_model(10, 4, 5, 1, cell="qrnn")
    with pytest.raises(UsageError, match="the cell lstm has no depth; leave it out"):
        language_model(10, 4, 5, 1, depth=2)
    with pytest.raises(UsageError, match="at least 1"):
        language_model(10, 4, 5, 1, cell="rhn", depth=0)


def test_a_state_of_another_model_is_refused():
    _model, _, state, _, _ = make(CASES["stacked"])
    _other, _, other_state, _, _ = make(CASES["dense"])
    with pytest.raises(TruesparseError, match="hidden state"):
        state.load(other_state.arrays())


def test_a_window_that_does_not_fit_is_refused():
    model, ws, state, ids, targets = make(CASES["stacked"])
    with pytest.raises(ValueError, match="does not fit"):
        model.loss_and_gradients(np.vstack([ids, ids]), np.vstack([targets, targets]), ws, state)
