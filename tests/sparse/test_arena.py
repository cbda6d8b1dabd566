import copy
import pickle

import numba
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from truesparse.errors import TruesparseError
from truesparse.sparse import Arena, Pattern, Rewiring
from truesparse.topology import sample_pattern

masks = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(lambda shape: arrays(bool, shape))


def pattern_of(mask):
    return Pattern.from_scipy(sp.csr_array(mask))[0]


def small_arena(seed=0):
    """Two matrices and two biases, with random numbers everywhere but in the padding."""
    rng = np.random.default_rng(seed)
    a, b = pattern_of(rng.random((8, 5)) < 0.5), pattern_of(rng.random((3, 70)) < 0.3)
    arena = Arena({"a": (a, 4), "b": (b, 1)}, {"a.bias": 8, "b.bias": 3})
    arena.add_state("momentum")
    for flat in (arena.values, arena.grads, arena.states["momentum"]):
        for where in arena.layout.values():
            flat[where] = rng.standard_normal(where.stop - where.start)
    return arena


def padding(arena):
    used = np.zeros(arena.size, bool)
    for where in arena.layout.values():
        used[where] = True
    return ~used


def rewired(matrix, new_mask):
    """The change of a matrix to a new mask, in dense NumPy: positions in both keep their entry."""
    place = np.full(matrix.shape, -1, np.int32)
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    place[rows, matrix.indices] = np.arange(matrix.nnz)
    return pattern_of(new_mask), place[new_mask]


def test_layout():
    arena = small_arena()
    assert arena.values.ctypes.data % 64 == arena.grads.ctypes.data % 64 == 0
    assert list(arena.layout) == ["a", "b", "a.bias", "b.bias"]
    assert all(where.start % 16 == 0 for where in arena.layout.values())
    assert arena.size == arena.grads.size == arena.states["momentum"].size
    assert arena.size % 16 == 0
    assert arena.nnz == arena.matrices["a"].nnz + arena.matrices["b"].nnz
    assert {name: view.size for name, view in arena.biases.items()} == {"a.bias": 8, "b.bias": 3}
    arena.bias_grads["b.bias"][:] = 7
    assert arena.grads[arena.layout["b.bias"]].tolist() == [7, 7, 7]
    assert not arena.values[padding(arena)].any()


def test_zero_grad_clears_gradients_alone():
    arena = small_arena()
    values = arena.values.copy()
    arena.zero_grad()
    assert not arena.grads.any()
    assert np.array_equal(arena.values, values)


@settings(deadline=None)
@given(data=st.data(), one_at_a_time=st.booleans())
def test_apply_moves_values_and_states_alike(data, one_at_a_time):
    arena = small_arena(data.draw(st.integers(0, 99)))
    changing = data.draw(st.sets(st.sampled_from(["a", "b"])))
    masks = {name: data.draw(arrays(bool, arena.matrices[name].shape)) for name in sorted(changing)}
    before = {name: matrix.to_scipy().toarray() for name, matrix in arena.matrices.items()}
    was = {name: dense != 0 for name, dense in before.items()}
    momentum = {name: arena.states["momentum"][where].copy() for name, where in arena.layout.items()}
    grads = {name: arena.grads[where].copy() for name, where in arena.layout.items()}
    biases = {name: view.copy() for name, view in arena.biases.items()}
    version = arena.version
    changes = {name: rewired(arena.matrices[name], mask) for name, mask in masks.items()}
    for part in [{name: change} for name, change in changes.items()] if one_at_a_time else [changes]:
        arena.apply(Rewiring(part))

    for name, matrix in arena.matrices.items():
        matrix.check()
        mask = masks.get(name, was[name])
        assert matrix.nnz == mask.sum()
        assert np.array_equal(matrix.to_scipy().toarray(), np.where(mask, before[name], 0))
        old = np.zeros(matrix.shape, np.float32)
        old[was[name]] = momentum[name]
        assert np.array_equal(arena.states["momentum"][arena.layout[name]], old[mask])
        assert np.array_equal(matrix.grad, np.zeros(mask.sum()) if name in masks else grads[name])
    for name, view in arena.biases.items():
        assert np.array_equal(view, biases[name])
        assert np.array_equal(arena.states["momentum"][arena.layout[name]], momentum[name])
        assert np.array_equal(arena.bias_grads[name], grads[name])
    assert all(where.start % 16 == 0 for where in arena.layout.values())
    for flat in (arena.values, arena.grads, arena.states["momentum"]):
        assert flat.size == arena.size
        assert flat.ctypes.data % 64 == 0
        assert not flat[padding(arena)].any()
    assert arena.version > version or not changes


def test_apply_of_the_same_size_keeps_the_flat_arrays():
    arena = small_arena()
    mask = arena.matrices["a"].to_scipy().toarray() != 0
    assert not np.array_equal(mask, mask[:, ::-1])
    values, momentum = arena.values, arena.states["momentum"]
    arena.apply(Rewiring({"a": rewired(arena.matrices["a"], mask[:, ::-1])}))
    assert arena.values is values
    assert arena.states["momentum"] is momentum


def test_apply_refuses_what_does_not_fit_and_changes_nothing():
    arena = small_arena()
    a = arena.matrices["a"]
    good = a.pattern, np.arange(a.nnz, dtype=np.int32)
    backwards = Pattern(a.indptr, a.indices[::-1].copy(), a.shape)
    values, version = arena.values.copy(), arena.version
    for change, message in [
        ({"c": good}, "no matrix c"),
        ({"b": good}, "shape"),
        ({"a": (good[0], good[1][:-1])}, "one int32 source"),
        ({"a": (good[0], good[1].astype(np.int64))}, "int64"),
        ({"a": (good[0], good[1] + np.int32(1))}, "takes entries"),
        ({"a": (good[0], good[1] - np.int32(2))}, "takes entries"),
        ({"a": (backwards, good[1])}, "increasing"),
    ]:
        with pytest.raises(TruesparseError, match=message):
            arena.apply(Rewiring(change))
    assert np.array_equal(arena.values, values)
    assert arena.version == version


def test_rewired_counts_what_grew():
    rewiring = Rewiring({"a": (pattern_of(np.ones((1, 3), bool)), np.array([-1, 0, -1], np.int32))})
    assert rewiring.changes["a"].grown == 2


@settings(deadline=None)
@given(mask=masks, tile_rows=st.integers(0, 12))
def test_transposed_agrees_with_scipy(mask, tile_rows):
    arena = Arena({"w": (pattern_of(mask), 1)}, {})
    matrix = arena.matrices["w"]
    matrix.data[:] = np.arange(1, matrix.nnz + 1)
    transposed = matrix.transposed(tile_rows)
    matrix.check()
    columns = transposed.data, transposed.indices.astype(int), transposed.indptr
    assert np.array_equal(sp.csc_array(columns, shape=mask.shape).toarray(), matrix.to_scipy().toarray())
    assert np.array_equal(transposed.data, matrix.data[transposed.positions])
    assert transposed.tile_rows == (tile_rows or mask.shape[0])
    assert np.array_equal(transposed.tiles[:, [0, -1]].T, [transposed.indptr[:-1], transposed.indptr[1:]])


def test_transposed_follows_values_and_topology():
    arena = small_arena()
    matrix = arena.matrices["a"]
    transposed = matrix.transposed()
    matrix.data[:] = np.arange(matrix.nnz)
    arena.touch()
    assert np.array_equal(matrix.transposed().data, matrix.data[transposed.positions])
    mask = np.arange(40).reshape(8, 5) >= 40 - matrix.nnz
    arena.apply(Rewiring({"a": rewired(matrix, mask)}))
    assert matrix.transposed() is transposed, "the same size reuses the arrays"
    matrix.check()
    arena.apply(Rewiring({"a": rewired(matrix, np.eye(8, 5, dtype=bool))}))
    assert matrix.transposed(3).indices.size == 5
    matrix.check()


@settings(deadline=None)
@given(mask=masks, width=st.integers(0, 12), new=st.randoms(use_true_random=False))
def test_column_tiles_begin_where_the_columns_do_and_follow_the_topology(mask, width, new):
    _, columns = mask.shape
    arena = Arena({"w": (pattern_of(mask), 1)}, {})
    matrix = arena.matrices["w"]
    changed = mask.copy().ravel()
    new.shuffle(changed)
    for present in (mask, changed.reshape(mask.shape)):
        if present is not mask:
            arena.apply(Rewiring({"w": rewired(matrix, present)}))
        tiles = matrix.column_tiles(width)
        starts = np.arange(0, columns, min(width or columns, columns))
        before = np.array([present[:, :start].sum(axis=1) for start in starts]).T
        np.testing.assert_array_equal(tiles[:, :-1], matrix.indptr[:-1, None] + before)
        np.testing.assert_array_equal(tiles[:, -1], matrix.indptr[1:])


def test_check_finds_a_stale_transposed_index():
    arena = small_arena()
    matrix = arena.matrices["a"]
    matrix.transposed().positions[:2] = matrix.transposed().positions[1::-1].copy()
    with pytest.raises(TruesparseError, match="transposed index of a"):
        matrix.check()


def test_matrix_reports_its_sizes():
    mask = np.zeros((8, 5), bool)
    mask[0], mask[2, 1], mask[7, :2] = True, True, True
    matrix = Arena({"w": (pattern_of(mask), 4)}, {}).matrices["w"]
    assert matrix.block_nnz().tolist() == [5, 1, 0, 2]
    assert matrix.nnz == 8
    assert matrix.density == 8 / 40
    assert matrix.index_bytes == 9 * 8 + 8 * 2
    assert matrix.indices.ctypes.data % 64 == 0


def test_rows_must_divide_into_blocks():
    with pytest.raises(TruesparseError, match="w cannot be cut into 3 blocks"):
        Arena({"w": (pattern_of(np.eye(4, dtype=bool)), 3)}, {})


def test_index_arrays_from_a_file_are_made_fit():
    indptr, indices = np.array([0, 1, 2], np.int64), np.array([0, 1], np.uint16)
    indptr.flags.writeable = indices.flags.writeable = False
    matrix = Arena({"w": (Pattern(indptr, indices, (2, 2)), 1)}, {}).matrices["w"]
    assert matrix.indptr.flags.writeable
    assert matrix.indices.flags.writeable


def test_apply_does_not_depend_on_the_number_of_threads():
    results = []
    before = numba.get_num_threads()
    for count in (1, min(2, before)):
        numba.set_num_threads(count)
        arena = small_arena()
        arena.apply(Rewiring({"b": rewired(arena.matrices["b"], np.arange(210).reshape(3, 70) % 4 == 0)}))
        results.append((arena.values, arena.states["momentum"], arena.matrices["b"].transposed(2).tiles))
    numba.set_num_threads(before)
    for one, two in zip(*results, strict=True):
        assert np.array_equal(one, two)


def test_a_dense_vector_as_a_matrix():
    arena = small_arena()
    matrix = arena.as_matrix("a.bias", (2, 4))
    np.testing.assert_array_equal(matrix.to_scipy().toarray(), arena.biases["a.bias"].reshape(2, 4))
    assert matrix.density == 1
    assert set(arena.matrices) == {"a", "b"}
    before = matrix.transposed().data.copy()
    arena.biases["a.bias"][...] *= 2
    arena.touch()
    np.testing.assert_array_equal(matrix.transposed().data, 2 * before)
    matrix.grad[...] = 1
    assert arena.bias_grads["a.bias"].tolist() == [1] * 8


@pytest.mark.parametrize("blocks", [1, 3])
def test_the_weights_of_a_connection_move_together(blocks):
    rng = np.random.default_rng(blocks)
    old, new = sample_pattern((5, 8), 17, rng), sample_pattern((5, 8), 23, rng)
    arena = Arena({"w": (old, blocks, 3), "v": (sample_pattern((4, 4), 5, rng), 1)}, {"bias": 3})
    matrix = arena.matrices["w"]
    arena.add_state("momentum")
    for where in arena.layout.values():
        arena.values[where] = rng.standard_normal(where.stop - where.start)
    arena.states["momentum"][...] = 2 * arena.values
    assert (matrix.shape, matrix.connections, matrix.nnz, matrix.density) == ((15, 8), 17, 51, 17 / 40)
    assert matrix.block_nnz().tolist() == [51 // blocks] * blocks
    matrix.check()

    def by_group():
        dense = matrix.to_scipy().toarray()
        return dense.reshape(3, 5, 8).swapaxes(0, 1) if blocks == 3 else dense.reshape(5, 3, 8)

    def mask(pattern):
        dense = np.zeros((5, 8), bool)
        dense[np.repeat(np.arange(5), np.diff(pattern.indptr)), pattern.indices] = True
        return dense

    for pattern in (sample_pattern((5, 8), 17, rng), new, old):  # of the same size, larger, smaller
        before, now = by_group(), mask(matrix.pattern)
        source = np.full((5, 8), -1, np.int32)
        source[now] = np.arange(matrix.connections)
        arena.apply(Rewiring({"w": (pattern, source[mask(pattern)])}))
        matrix.check()
        assert matrix.nnz == 3 * pattern.nnz
        assert np.array_equal(by_group(), np.where(mask(pattern)[:, None], before, 0))
        assert np.array_equal(matrix.state("momentum"), 2 * matrix.data)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda arena: pickle.loads(pickle.dumps(arena))])
def test_a_copy_has_everything_but_gradients(copied):
    rng = np.random.default_rng(0)
    sizes = {"plain": (1, 1), "gates": (4, 1), "unit": (4, 4), "words": (1, 3)}
    patterns = {name: (sample_pattern((8, 5), 13, rng), *size) for name, size in sizes.items()}
    arena = Arena(patterns, {"bias": 3})
    arena.add_state("momentum")
    for flat in (arena.values, arena.grads, arena.states["momentum"]):
        flat[...] = rng.standard_normal(arena.size)
    other = copied(arena)
    assert other.layout == arena.layout
    assert not other.grads.any()
    assert np.array_equal(other.values, arena.values)
    assert np.array_equal(other.states["momentum"], arena.states["momentum"])
    for name, matrix in other.matrices.items():
        matrix.check()
        assert (matrix.blocks, matrix.group) == sizes[name]
        assert np.array_equal(matrix.to_scipy().toarray(), arena.matrices[name].to_scipy().toarray())
    other.values.fill(0)
    assert arena.values.all()


def test_groups_that_cannot_be():
    pattern = sample_pattern((4, 4), 5, np.random.default_rng(0))
    with pytest.raises(TruesparseError, match="w cannot have groups of 2 rows with 4 blocks of rows"):
        Arena({"w": (pattern, 4, 2)}, {})
    arena = Arena({"w": (pattern, 2, 2)}, {})
    with pytest.raises(ValueError, match="w has groups of rows"):
        arena.matrices["w"].transposed()
