import tracemalloc

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from topology_helpers import an_update, arena_of, arena_of_three, positions, snapshot

from truesparse.errors import UsageError
from truesparse.topology import METHODS, Method, constant, cosine, cubic, get_method, register


@settings(deadline=None)
@given(
    rows=st.integers(1, 9),
    cols=st.sampled_from([1, 3, 64, 100]),
    fill=st.floats(0, 1),
    fraction=st.floats(0, 1, exclude_max=True),
    ties=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_an_st_rnn_update(rows, cols, fill, fraction, ties, seed):
    arena = arena_of((rows, cols), round(fill * rows * cols), seed, ties)
    matrix = arena.matrices["w"]
    nnz, data, before = matrix.nnz, matrix.data.copy(), snapshot(arena)["w"]
    matrix.transposed()
    changed = get_method("st-rnn").update(arena, an_update(fraction, seed))
    count = int(fraction * nnz)
    if count == 0 or nnz == rows * cols:
        assert changed == {}
        return
    assert changed == {"w": (count, count)}
    matrix.transposed()
    matrix.check()
    assert matrix.nnz == nnz
    after = snapshot(arena)["w"]
    survivors = [place for place in after if place in before and after[place] == before[place] != (0, 0)]
    assert len(survivors) >= nnz - 2 * count
    grown = [place for place in after if after[place] == (0, 0)]
    assert len(grown) >= count
    assert set(survivors) | set(grown) == set(after)
    assert not arena.grads.any()
    left = np.sort(np.abs(data))[count:]
    assert np.array_equal(np.sort(np.abs(matrix.data))[count:], left)


def signs_of(matrix):
    return dict(zip(positions(matrix).tolist(), matrix.state("sign").tolist(), strict=True))


@pytest.mark.parametrize("name", ["st-rnn", "selfish", "set", "cht", "dsr", "deepr"])
@pytest.mark.parametrize("ties", [False, True])
def test_the_number_of_weights_stays_and_survivors_keep_their_bits(name, ties):
    method = get_method(name)
    arena = arena_of_three(5, ties)
    nnz, before = arena.nnz, snapshot(arena)
    sizes = {matrix: arena.matrices[matrix].nnz for matrix in before}
    signs = {
        m: dict(zip(positions(w).tolist(), w.state("sign").tolist(), strict=True))
        for m, w in arena.matrices.items()
    }
    update = an_update(0.3, memory={"threshold": 0.5})
    changed = method.update(arena, update)
    after = snapshot(arena)
    assert arena.nnz == nnz
    assert sum(grown for _, grown in changed.values()) == sum(dropped for dropped, _ in changed.values()) > 0
    for matrix, weight in arena.matrices.items():
        weight.check()
        dropped, grown = changed.get(matrix, (0, 0))
        assert weight.nnz == sizes[matrix] - dropped + grown
        if name != "dsr":
            assert dropped == grown
        stayed = [place for place in after[matrix] if after[matrix][place] == before[matrix].get(place)]
        assert len(stayed) >= sizes[matrix] - dropped
        for place in after[matrix].keys() - stayed:
            value, momentum = after[matrix][place]
            assert momentum == 0
            assert value == 0 or name == "deepr"
        if name == "deepr":
            sign = signs_of(weight)
            assert all(sign[place] == signs[matrix][place] for place in stayed)
            assert np.array_equal(np.sign(weight.data), weight.state("sign"))
            assert set(np.abs(weight.data[np.abs(weight.data) < 1e-9])) <= {np.float32(1e-12)}


@pytest.mark.parametrize("name", ["st-rnn", "set", "cht", "deepr"])
def test_separate_gates_keep_their_numbers_each(name):
    arena = arena_of_three(1)
    arena.matrices["b"].data[:20] *= 100  # fused, the first gates would win
    before = arena.matrices["b"].block_nnz().tolist()
    fused = arena_of_three(1)
    fused.matrices["b"].data[:20] *= 100
    get_method(name).update(arena, an_update(0.5), gates="separate")
    assert arena.matrices["b"].block_nnz().tolist() == before
    arena.matrices["b"].check()
    get_method(name).update(fused, an_update(0.5))
    assert fused.matrices["b"].block_nnz().tolist() != before


def test_a_threshold_moves_weights_to_where_they_survive():
    arena = arena_of_three(3)
    arena.matrices["a"].data[:] *= 10
    changed = get_method("dsr").update(arena, an_update(0.2, memory={"threshold": 1.0}))
    assert changed["a"].grown > changed["a"].dropped
    assert changed["b"].grown < changed["b"].dropped


def test_gradual_pruning_shrinks_the_arena():
    arena = arena_of((30, 20), 600, seed=0)
    values, size = np.sort(np.abs(arena.matrices["w"].data)), arena.size
    gmp = get_method("gmp")
    assert gmp.update(arena, an_update(0.0, targets={"w": 60})) == {}
    assert gmp.update(arena, an_update(0.5, targets={"w": 60})) == {"w": (270, 0)}
    assert gmp.update(arena, an_update(1.0, targets={"w": 60})) == {"w": (270, 0)}
    assert gmp.update(arena, an_update(1.0, targets={"w": 60})) == {}
    assert arena.size < size / 5
    assert np.array_equal(np.sort(np.abs(arena.matrices["w"].data)), values[-60:])


@pytest.mark.parametrize("name", ["st-rnn", "set", "cht", "dsr", "deepr"])
def test_same_seed_same_topology_for_any_number_of_threads(name):
    before = numba.get_num_threads()
    results = []
    for count in (1, min(2, before)):
        numba.set_num_threads(count)
        arena = arena_of((150, 200), 6000, seed=4)
        get_method(name).update(arena, an_update(0.3, seed=1, memory={"threshold": 0.3}))
        matrix = arena.matrices["w"]
        results.append((matrix.indptr, matrix.indices, arena.values, matrix.transposed(64).data))
    numba.set_num_threads(before)
    for one, two in zip(*results, strict=True):
        assert np.array_equal(one, two)


@pytest.mark.parametrize("name", ["st-rnn", "set", "deepr"])
def test_an_update_takes_memory_for_one_matrix_and_its_entries(name):
    arena = arena_of((2000, 20_000), 200_000, seed=1)
    method = get_method(name)
    method.update(arena, an_update(0.3))  # compiles
    tracemalloc.start()
    method.update(arena, an_update(0.3, seed=1))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    matrix = arena.matrices["w"]
    per_row_and_column = 40 * sum(matrix.shape)
    assert peak < 9 * matrix.nnz + per_row_and_column


@pytest.mark.parametrize("name", ["static", "dense", "small-dense"])
def test_methods_without_updates_leave_the_topology_alone(name):
    arena = arena_of((4, 5), 10, seed=0)
    assert not get_method(name).updates
    assert get_method(name).update(arena, an_update(0.5)) == {}


def test_the_table():
    assert get_method("dense").density == 1
    assert get_method("gmp").density is None
    assert get_method("gmp").shrinks
    assert get_method("st-rnn").updates
    assert get_method("st-rnn").schedule is cosine
    assert get_method("set").schedule is constant
    assert all(method.name == name for name, method in METHODS.items())
    with pytest.raises(UsageError, match="there is a method 'set' already"):
        register(Method("set", "again"))


def test_unknown_method_names_the_nearest():
    with pytest.raises(UsageError, match="no method 'strnn'; did you mean st-rnn"):
        get_method("strnn")
    with pytest.raises(UsageError, match="no method 'xyz'; the methods are st-rnn, selfish, "):
        get_method("xyz")


@pytest.mark.parametrize("fraction", [-0.1, 1.0, float("nan")])
def test_a_fraction_outside_its_range_is_refused(fraction):
    arena = arena_of((4, 5), 10, seed=0)
    with pytest.raises(UsageError, match=r"drop fraction is .*; it must be at least 0 and below 1"):
        get_method("st-rnn").update(arena, an_update(fraction))


def test_schedules():
    fractions = [cosine(0.5, 0.005, step, 100) for step in (0, 50, 100, 101)]
    assert fractions == pytest.approx([0.5, 0.2525, 0.005, 0.005])
    assert cosine(0.5, 0.1, 0, 0) == 0.1
    assert constant(0.3, 0.0, 7, 10) == 0.3
    assert [cubic(0.0, 0.9, step, 100) for step in (0, 50, 100, 101)] == pytest.approx([0, 0.7875, 0.9, 0.9])
