import tracemalloc

import numba
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from truesparse.errors import UsageError
from truesparse.sparse import Arena, Pattern
from truesparse.topology import METHODS, cosine, get_method, sample_pattern
from truesparse.topology.drop import smallest_magnitude
from truesparse.topology.grow import random_positions


def arena_of(shape, count, seed, ties=False):
    """One matrix "w" with random weights (few different ones with `ties`) and momentum."""
    rng = np.random.default_rng(seed)
    arena = Arena({"w": (sample_pattern(shape, count, rng), 1)}, {"bias": 3})
    data = arena.matrices["w"].data
    data[:] = rng.integers(-2, 3, data.size) if ties else rng.standard_normal(data.size)
    arena.add_state("momentum")[arena.layout["w"]] = rng.standard_normal(data.size)
    return arena


def positions(matrix):
    """Flat position of every entry."""
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    return rows * matrix.shape[1] + matrix.indices.astype(np.int64)


@settings(deadline=None)
@given(
    rows=st.integers(1, 9),
    cols=st.sampled_from([1, 3, 64, 100]),
    fill=st.floats(0, 1),
    fraction=st.floats(0, 1),
    ties=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_an_st_rnn_update(rows, cols, fill, fraction, ties, seed):
    arena = arena_of((rows, cols), round(fill * rows * cols), seed, ties)
    matrix = arena.matrices["w"]
    nnz, old, data = matrix.nnz, positions(matrix), matrix.data.copy()
    momentum = arena.states["momentum"].copy()
    matrix.transposed()
    rewiring = get_method("st-rnn").rewire(matrix, fraction, np.random.default_rng(seed))
    count = int(fraction * nnz)
    if count == 0 or nnz == rows * cols:
        assert rewiring is None
        return
    source = rewiring.changes["w"].source
    arena.apply(rewiring)

    matrix.transposed()
    matrix.check()
    assert matrix.nnz == nnz
    grown = source < 0
    assert grown.sum() == rewiring.changes["w"].grown == count
    survivors = source[~grown]
    new = positions(matrix)
    assert np.array_equal(new[~grown], old[survivors])
    assert np.array_equal(matrix.data[~grown].view(np.int32), data[survivors].view(np.int32))
    new_momentum = arena.states["momentum"][arena.layout["w"]]
    assert np.array_equal(new_momentum[~grown].view(np.int32), momentum[survivors].view(np.int32))
    assert not matrix.data[grown].any()
    assert not new_momentum[grown].any()
    assert not arena.grads.any()
    dropped = np.setdiff1d(np.arange(nnz), survivors)
    if survivors.size:
        assert np.abs(data[dropped]).max() <= np.abs(data[survivors]).min()


def test_equal_magnitudes_are_dropped_in_position_order():
    pattern, data = Pattern.from_scipy(sp.csr_array([[2.0, -1.0, 0.5], [1.0, -1.0, 3.0]]))
    arena = Arena({"w": (pattern, 1)}, {})
    arena.matrices["w"].data[:] = data
    rng = np.random.default_rng()
    kept = [smallest_magnitude(arena.matrices["w"], count, rng).astype(int).tolist() for count in range(7)]
    assert kept == [
        [1, 1, 1, 1, 1, 1],
        [1, 1, 0, 1, 1, 1],
        [1, 0, 0, 1, 1, 1],
        [1, 0, 0, 0, 1, 1],
        [1, 0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0, 0],
    ]


def test_growth_is_uniform_over_everything_that_is_empty_after_the_drop():
    # 2 x 4 with 5 entries of which 2 go: 5 empty positions, C(5, 2) = 10 equally likely ways to grow 2.
    arena = arena_of((2, 4), 5, seed=3)
    matrix = arena.matrices["w"]
    keep = np.array([True, False, True, True, False])
    rng = np.random.default_rng(8)
    draws, counts = 10_000, {}
    for _ in range(draws):
        pattern, source = random_positions(matrix, keep, 2, rng)
        rows = np.repeat([0, 1], np.diff(pattern.indptr))
        grown = tuple((4 * rows + pattern.indices)[source < 0])
        counts[grown] = counts.get(grown, 0) + 1
    assert len(counts) == 10
    dropped = tuple(positions(matrix)[~keep])
    assert dropped in counts, "what was just dropped may come back"
    chi_square = sum((n - draws / 10) ** 2 / (draws / 10) for n in counts.values())
    assert chi_square < 33.8  # 0.9999 quantile, 9 degrees of freedom


def test_same_seed_same_topology_for_any_number_of_threads():
    before = numba.get_num_threads()
    results = []
    for count in (1, min(2, before)):
        numba.set_num_threads(count)
        arena = arena_of((150, 200), 6000, seed=4)
        arena.apply(get_method("st-rnn").rewire(arena.matrices["w"], 0.3, np.random.default_rng(1)))
        matrix = arena.matrices["w"]
        results.append((matrix.indptr, matrix.indices, arena.values, matrix.transposed(64).data))
    numba.set_num_threads(before)
    for one, two in zip(*results, strict=True):
        assert np.array_equal(one, two)


def test_an_update_takes_memory_for_one_matrix_and_its_entries():
    arena = arena_of((2000, 20_000), 200_000, seed=1)
    matrix = arena.matrices["w"]
    method = get_method("st-rnn")
    arena.apply(method.rewire(matrix, 0.3, np.random.default_rng(0)))  # compiles
    tracemalloc.start()
    arena.apply(method.rewire(matrix, 0.3, np.random.default_rng(1)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    per_row_and_column = 40 * sum(matrix.shape)
    assert peak < 9 * matrix.nnz + per_row_and_column


def test_static_and_dense_methods_leave_the_topology_alone():
    matrix = arena_of((4, 5), 10, seed=0).matrices["w"]
    for name in ("static", "dense"):
        assert not get_method(name).updates
        assert get_method(name).rewire(matrix, 0.5, np.random.default_rng()) is None
    assert get_method("dense").density == 1
    assert get_method("static").density is None
    assert get_method("st-rnn").updates
    assert get_method("st-rnn").schedule is cosine
    assert all(method.name == name for name, method in METHODS.items())


def test_unknown_method_names_the_nearest():
    with pytest.raises(UsageError, match="no method 'strnn'; did you mean st-rnn"):
        get_method("strnn")
    with pytest.raises(UsageError, match="no method 'xyz'; the methods are st-rnn, static, dense"):
        get_method("xyz")


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
def test_a_fraction_outside_its_range_is_refused(fraction):
    matrix = arena_of((4, 5), 10, seed=0).matrices["w"]
    with pytest.raises(UsageError, match="drop fraction"):
        get_method("st-rnn").rewire(matrix, fraction, np.random.default_rng())


def test_cosine_schedule():
    fractions = [cosine(0.5, 0.005, step, 100) for step in (0, 50, 100, 101)]
    assert fractions == pytest.approx([0.5, 0.2525, 0.005, 0.005])
    assert cosine(0.5, 0.1, 0, 0) == 0.1
