"""Topology updates of connections that have several weights."""

import numpy as np
import pytest
from topology_helpers import an_update, dense_scores, fill

from truesparse.sparse import Arena
from truesparse.topology import METHODS, get_method, parts_of, sample_pattern
from truesparse.topology.drop import below_threshold
from truesparse.topology.scores import mean_score

GROUPS = {"a": 3, "b": 4, "c": 1, "d": 2}


def grouped_arena(seed):
    """Four matrices: of neighbouring rows in threes and twos, of four gates, and without groups."""
    rng = np.random.default_rng(seed)
    patterns = {
        "a": (sample_pattern((20, 30), 150, rng), 1, 3),
        "b": (sample_pattern((16, 12), 60, rng), 4, 4),
        "c": (sample_pattern((7, 70), 40, rng), 1),
        "d": (sample_pattern((9, 20), 50, rng), 1, 2),
    }
    arena = Arena(patterns, {"bias": 3})
    fill(arena, rng, ties=False)
    return arena


def connections(matrix):
    """For each connection by its position the bits of its weights and their momentum."""
    rows = np.repeat(np.arange(matrix.pattern.shape[0]), np.diff(matrix.indptr))
    arrays = (matrix.data, matrix.state("momentum"))
    bits = np.stack([array.view(np.int32).reshape(-1, matrix.group) for array in arrays], axis=1)
    places = zip(rows.tolist(), matrix.indices.tolist(), strict=True)
    return {place: values.tobytes() for place, values in zip(places, bits, strict=True)}


def members(matrix, array):
    """The numbers of each group of rows side by side: shape (groups, group, columns)."""
    if matrix.blocks > 1:
        return array.reshape(matrix.group, -1, matrix.shape[1]).swapaxes(0, 1)
    return array.reshape(-1, matrix.group, matrix.shape[1])


@pytest.mark.parametrize(
    ("importance", "value"), [("l1", 7.0), ("l2", 5.0), ("max", 4.0)], ids=["l1", "l2", "max"]
)
def test_what_a_connection_counts(importance, value):
    arena = Arena({"w": (sample_pattern((1, 2), 2, np.random.default_rng(0)), 2, 2)}, {})
    matrix = arena.matrices["w"]
    matrix.data[...] = [3, -4, 4, 3]
    (part,) = parts_of(matrix, "separate", importance)
    assert (part.nnz, part.positions, part.group) == (2, 2, 2)
    np.testing.assert_allclose(part.data, [-value, value])


@pytest.mark.parametrize("name", ["st-rnn", "selfish", "set", "cht", "dsr", "rigl", "snfs"])
def test_the_number_of_weights_stays_and_connections_keep_their_bits(name):
    arena = grouped_arena(3)
    nnz, sizes = arena.nnz, {matrix: m.nnz for matrix, m in arena.matrices.items()}
    before = {matrix: connections(m) for matrix, m in arena.matrices.items()}
    _, scores = dense_scores(arena)
    update = an_update(0.3, scores=scores, memory={"threshold": 0.4})
    changed = get_method(name).update(arena, update)
    assert arena.nnz == nnz
    assert changed.keys() == sizes.keys()
    for matrix, sparse in arena.matrices.items():
        sparse.check()
        assert sparse.group == GROUPS[matrix]
        dropped, grown = changed[matrix]
        assert sparse.nnz == sizes[matrix] - dropped + grown
        after = connections(sparse)
        zero = bytes(8 * sparse.group)
        new = [place for place, bits in after.items() if bits == zero]
        assert len(new) * sparse.group == grown
        assert all(after[place] == before[matrix][place] for place in after.keys() - set(new))
        if name in ("st-rnn", "selfish"):
            worth = np.abs(sparse.data.reshape(-1, sparse.group)).sum(axis=1)
            least = min(worth[worth > 0])
            lost = [np.frombuffer(before[matrix][p], np.float32)[: sparse.group] for p in before[matrix]]
            worths = np.sort([np.abs(weights).sum() for weights in lost])
            assert least == pytest.approx(worths[dropped // sparse.group], rel=1e-6)


def test_growth_by_scores_takes_the_connections_whose_weights_have_the_largest_sum():
    arena = grouped_arena(4)
    arrays, scores = dense_scores(arena, 1)
    before = {name: connections(m).keys() for name, m in arena.matrices.items()}
    get_method("rigl").update(arena, an_update(0.4, scores=scores))
    for name, matrix in arena.matrices.items():
        worth = np.abs(members(matrix, arrays[name])).sum(axis=1)
        after = connections(matrix)
        zero = bytes(8 * matrix.group)
        grown = {place for place, bits in after.items() if bits == zero}
        for place in after.keys() - grown:
            worth[place] = -1
        best = np.argsort(-worth, axis=None)[: len(grown)]
        assert {(k // worth.shape[1], k % worth.shape[1]) for k in best.tolist()} == grown
        assert grown - before[name]


def test_scores_and_thresholds_are_those_of_a_weight_on_average():
    arena = grouped_arena(5)
    arrays, scores = dense_scores(arena, 2)
    for name, matrix in arena.matrices.items():
        (part,) = parts_of(matrix)
        rows = np.repeat(np.arange(matrix.pattern.shape[0]), np.diff(matrix.indptr))
        stored = np.abs(members(matrix, arrays[name])).swapaxes(1, 2)[rows, matrix.indices]
        assert mean_score(part, an_update(0.1, scores=scores)) == pytest.approx(stored.mean(), rel=1e-5)
        keep = below_threshold(part, an_update(0.1, memory={"threshold": 0.5}))
        weights = np.abs(matrix.data.reshape(-1, matrix.group)).mean(axis=1)
        assert np.array_equal(keep, weights >= 0.5)


def test_gradual_pruning_counts_connections():
    arena = Arena({"w": (sample_pattern((4, 6), 24, np.random.default_rng(0)), 2, 2)}, {})
    arena.matrices["w"].data[...] = np.arange(48)
    get_method("gmp").update(arena, an_update(1.0, targets={"w": 7}))
    assert arena.matrices["w"].connections == 7
    assert arena.matrices["w"].data.tolist() == list(range(34, 48))


def test_only_deep_rewiring_needs_single_weights():
    assert [name for name, method in METHODS.items() if method.single] == ["deepr"]


@pytest.mark.parametrize("name", ["dsr", "snfs"])
@pytest.mark.parametrize("full", [(), ("c",), ("a", "c", "d")])
def test_weights_that_make_no_connection_come_with_a_later_update(name, full):
    """Groups of 4 and 3, 2 and 1 weights, and matrices without room for what does not divide."""
    rng = np.random.default_rng(2)
    sizes = {
        "a": (20, 30, 150, 1, 3),
        "b": (16, 12, 60, 4, 4),
        "c": (7, 70, 40, 1, 1),
        "d": (9, 20, 50, 1, 2),
    }
    patterns = {}
    for matrix, (rows, columns, count, blocks, group) in sizes.items():
        count = rows * columns if matrix in full else count
        patterns[matrix] = sample_pattern((rows, columns), count, rng), blocks, group
    arena = Arena(patterns, {"bias": 3})
    fill(arena, rng, ties=False)
    nnz, memory = arena.nnz, {"threshold": 0.2}
    for seed in range(40):
        _, scores = dense_scores(arena, seed)
        get_method(name).update(arena, an_update(0.3, seed, scores=scores, memory=memory))
        arena.values[...] = np.where(arena.values == 0, rng.standard_normal(arena.size), arena.values)
        arena.touch()
        assert arena.nnz + memory["owed"] == nnz
        assert 0 <= memory["owed"] < 4


def test_what_is_left_over_is_less_than_a_connection_and_stays_in_the_memory():
    """Groups of 5 and 4 weights alone, of which one matrix is full: a later update makes it up."""
    rng = np.random.default_rng(3)
    patterns = {
        "words": (sample_pattern((4, 12), 24, rng), 1, 5),
        "units": (sample_pattern((6, 8), 48, rng), 4, 4),
    }
    arena = Arena(patterns, {})
    fill(arena, rng, ties=False)
    nnz, memory, seen = arena.nnz, {}, set()
    for seed in range(30):
        _, scores = dense_scores(arena, seed)
        get_method("snfs").update(arena, an_update(0.25, seed, scores=scores, memory=memory))
        arena.values[...] = rng.standard_normal(arena.size)
        arena.touch()
        assert nnz - 5 < arena.nnz <= nnz
        seen.add(arena.nnz)
    assert nnz in seen
    assert len(seen) > 1
