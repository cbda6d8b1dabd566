"""Growth where many paths of three weights lead: against the scores of all positions, formed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from topology_helpers import an_update, arena_of, positions

from truesparse.kernels.paths import draw_path_ends
from truesparse.sparse import Arena, Pattern
from truesparse.topology import get_method, parts_of, sample_pattern
from truesparse.topology.cht import path_ends


def scores(pattern):
    """The score of every position of a boolean array that is free, 0 elsewhere, by the formula."""
    by_row, by_column = pattern.sum(axis=1), pattern.sum(axis=0)
    found = np.zeros(pattern.shape)
    for i in range(len(pattern)):
        for k in np.flatnonzero(pattern[i]):
            for r in np.flatnonzero(pattern[:, k]):
                for j in np.flatnonzero(pattern[r]):
                    found[i, j] += 1 / np.sqrt(by_column[k] * by_row[r])
    return np.where(pattern, 0, found)


def dense(part):
    pattern = np.zeros(part.shape, bool)
    pattern.flat[positions(part)] = True
    return pattern


def drawn(part, count, seed):
    """Draws that do not depend on each other."""
    matrix = part.matrix.transposed()
    ends = np.empty(count, np.int64)
    longest = int(np.diff(part.indptr).max()), int(np.diff(matrix.indptr).max())
    draw_path_ends(ends, part.indptr, part.indices, matrix.indptr, matrix.indices, *longest, np.uint64(seed))
    return ends


# Rows and columns of very different degrees; (4, 5) is an edge that no path joins to the others.
EDGES = [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 3), (2, 0), (3, 2), (3, 4), (4, 5)]


def part_of(pattern):
    """The part of a matrix that has weights where a boolean array is True."""
    rows, columns = np.nonzero(pattern)
    indptr = np.searchsorted(rows, np.arange(len(pattern) + 1)).astype(np.int64)
    entries = Pattern(indptr, columns.astype(np.uint16), pattern.shape)
    (part,) = parts_of(Arena({"w": (entries, 1)}, {}).matrices["w"])
    return part


def small_part():
    pattern = np.zeros((5, 6), bool)
    pattern[tuple(np.array(EDGES).T)] = True
    return part_of(pattern)


def test_positions_are_drawn_by_their_scores():
    part = small_part()
    wanted = scores(dense(part))
    assert np.count_nonzero(wanted) > 6
    assert wanted.max() > 2 * wanted[wanted > 0].min()
    count = 200_000
    ends = drawn(part, count, seed=5)
    ends = ends[ends >= 0]
    assert ends.size > 0.9 * count
    found = np.bincount(ends, minlength=30)
    expected = wanted.ravel() / wanted.sum() * ends.size
    assert not found[expected == 0].any()
    real = expected > 0
    chi_square = ((found[real] - expected[real]) ** 2 / expected[real]).sum()
    assert chi_square < 2.5 * np.count_nonzero(real)
    uniform = ends.size / np.count_nonzero(real)
    assert ((found[real] - uniform) ** 2 / uniform).sum() > 1000  # so the test can tell


@settings(deadline=None)
@given(
    rows=st.integers(1, 9),
    cols=st.sampled_from([1, 3, 64, 100]),
    fill=st.floats(0, 1),
    kept=st.floats(0, 1),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**32),
)
def test_so_many_are_grown_at_positions_that_are_free(rows, cols, fill, kept, share, seed):
    arena = arena_of((rows, cols), round(fill * rows * cols), seed)
    (part,) = parts_of(arena.matrices["w"])
    keep = np.random.default_rng(seed).random(part.nnz) < kept
    count = int(share * (rows * cols - np.count_nonzero(keep)))
    change = path_ends(part, keep, count, an_update(0.3, seed))
    change.pattern.check("w")  # increasing, so none is there twice
    assert change.grown == count
    assert np.array_equal(change.source[change.source >= 0], np.flatnonzero(keep))
    again = path_ends(part, keep, count, an_update(0.3, seed))
    assert np.array_equal(again.pattern.indices, change.pattern.indices)


def test_growth_follows_the_entries_that_stay():
    """Two blocks that no entry joins: nothing grows between them while there is room within."""
    rng = np.random.default_rng(2)
    pattern = np.zeros((40, 40), bool)
    pattern[:20, :20] = pattern[20:, 20:] = rng.random((20, 20)) < 0.2
    across = np.zeros_like(pattern)
    across[3, 30] = across[30, 3] = True  # which are dropped
    both = pattern | across
    rows, columns = np.nonzero(both)
    part = part_of(both)
    change = path_ends(part, ~across[rows, columns], 100, an_update(0.3))
    new = np.repeat(np.arange(40), np.diff(change.pattern.indptr)), change.pattern.indices.astype(int)
    grown = change.source < 0
    assert ((new[0][grown] < 20) == (new[1][grown] < 20)).all()
    assert grown.sum() == 100


def test_without_paths_weights_grow_anywhere():
    arena = arena_of((30, 40), 50, seed=1)
    (part,) = parts_of(arena.matrices["w"])
    change = path_ends(part, np.zeros(50, bool), 50, an_update(0.3))
    assert change.grown == change.pattern.nnz == 50
    one = np.zeros(50, bool)
    one[7] = True
    assert path_ends(part, one, 60, an_update(0.3)).grown == 60


def test_a_block_of_gates_has_a_graph_of_its_own():
    rng = np.random.default_rng(3)
    arena = Arena({"w": (sample_pattern((40, 30), np.array([80, 90, 100, 110]), rng), 4)}, {})
    matrix = arena.matrices["w"]
    arena.values[...] = rng.standard_normal(arena.size)
    get_method("cht").update(arena, an_update(0.4), gates="separate")
    assert matrix.block_nnz().tolist() == [80, 90, 100, 110]
    for part in parts_of(matrix, "separate"):
        keep = np.ones(part.nnz, bool)
        change = path_ends(part, keep, 20, an_update(0.4))
        grown = positions_of(change)[change.source < 0]
        assert (scores(dense(part)).ravel()[grown] > 0).mean() > 0.9


def positions_of(change):
    pattern = change.pattern
    rows = np.repeat(np.arange(pattern.shape[0]), np.diff(pattern.indptr))
    return rows * pattern.shape[1] + pattern.indices.astype(np.int64)


def test_without_replacement_the_scores_decide_too():
    arena = arena_of((60, 80), 700, seed=4)
    (part,) = parts_of(arena.matrices["w"])
    every, free = scores(dense(part)).ravel(), ~dense(part).ravel()
    change = path_ends(part, np.ones(part.nnz, bool), 300, an_update(0.3))
    mean = every[positions_of(change)[change.source < 0]].mean()
    assert mean == pytest.approx((every**2).sum() / every.sum(), rel=0.05)
    assert mean > 1.1 * every[free].mean()
