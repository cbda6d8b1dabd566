import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from topology_helpers import an_update, arena_of, arena_of_three, positions

from truesparse.sparse import Arena, Pattern
from truesparse.topology import Part, get_method, parts_of, sample_pattern
from truesparse.topology.drop import (
    below_threshold,
    changed_sign,
    double_or_halve,
    down_to_target,
    smallest_magnitude,
    smallest_of_each_sign,
)
from truesparse.topology.grow import join, random_positions, untried_positions
from truesparse.topology.redistribute import by_survivors, less_of_nearly_full, shared_out


def part_of(values):
    """The part of a matrix of one row with these values."""
    pattern = Pattern.from_scipy(sp.csr_array(np.ones((1, len(values)))))[0]
    arena = Arena({"w": (pattern, 1)}, {})
    arena.matrices["w"].data[:] = values
    return Part(arena.matrices["w"])


def kept(rule, values, fraction, **more):
    return rule(part_of(values), an_update(fraction, **more)).astype(int).tolist()


def test_equal_magnitudes_are_dropped_in_position_order():
    values = [2.0, -1.0, 0.5, 1.0, -1.0, 3.0]
    assert [kept(smallest_magnitude, values, count / 6 + 1e-9) for count in range(6)] == [
        [1, 1, 1, 1, 1, 1],
        [1, 1, 0, 1, 1, 1],
        [1, 0, 0, 1, 1, 1],
        [1, 0, 0, 0, 1, 1],
        [1, 0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0, 1],
    ]


def test_set_drops_what_is_nearest_to_zero_on_either_side():
    values = [-5.0, -0.1, 4.0, -3.0, 0.2, 0.3, -0.4, 1.0, 6.0, 0.0]
    # 4 negative ones, of which 2 go: -0.1 and -0.4; 6 others, of which 3 go: 0, 0.2 and 0.3.
    assert kept(smallest_of_each_sign, values, 0.5) == [1, 0, 1, 1, 0, 0, 0, 1, 1, 0]
    assert kept(smallest_of_each_sign, values, 0.25) == [1, 0, 1, 1, 1, 1, 1, 1, 1, 0]
    assert kept(smallest_of_each_sign, [-1.0, -2.0, -3.0], 0.34) == [0, 1, 1]
    assert kept(smallest_of_each_sign, [1.0, 2.0, 3.0], 0.34) == [0, 1, 1]


@settings(deadline=None)
@given(seed=st.integers(0, 2**32), fraction=st.floats(0, 1, exclude_max=True), ties=st.booleans())
def test_set_counts_each_sign_by_itself(seed, fraction, ties):
    part = Part(arena_of((9, 11), 50, seed, ties).matrices["w"])
    keep = smallest_of_each_sign(part, an_update(fraction))
    for side in (part.data < 0, part.data >= 0):
        assert np.count_nonzero(side & ~keep) == int(fraction * np.count_nonzero(side))
        if (side & keep).any() and (side & ~keep).any():
            assert np.abs(part.data[side & ~keep]).max() <= np.abs(part.data[side & keep]).min()


def test_a_threshold_for_all_parts_keeps_at_least_one_entry_and_follows_the_target():
    update = an_update(0.25, memory={"threshold": 1.0})
    low, high = part_of([0.1, -0.9, 0.2]), part_of([5.0, -1.0, 0.5, 9.0, 8.0])
    keeps = [below_threshold(part, update) for part in (low, high)]
    assert [keep.astype(int).tolist() for keep in keeps] == [[0, 1, 0], [1, 1, 0, 1, 1]]
    double_or_halve(keeps, update)  # 3 of 8 have gone, 2 were wanted
    assert update.memory == {"threshold": 0.5}
    double_or_halve([np.array([True] * 7 + [False])], update)
    assert update.memory == {"threshold": 1.0}
    double_or_halve([np.array([True] * 6 + [False] * 2)], update)
    assert update.memory == {"threshold": 1.0}
    fresh = an_update(0.5)
    below_threshold(low, fresh)
    assert fresh.memory == {"threshold": 1e-3}


def test_gradual_pruning_goes_from_full_to_the_target():
    part = part_of([5.0, 1.0, -2.0, 4.0, 3.0, 6.0, -7.0, 8.0, 9.0, 10.0])
    targets = {"w": 2}
    assert down_to_target(part, an_update(0.0, targets=targets)).all()
    assert kept(down_to_target, part.data, 0.5, targets=targets) == [1, 0, 0, 0, 0, 1, 1, 1, 1, 1]
    assert kept(down_to_target, part.data, 1.0, targets=targets) == [0] * 8 + [1, 1]


def test_deep_rewiring_drops_what_has_changed_its_sign():
    part = part_of([1.0, -1.0, 0.0, 2.0])
    numbers = part.matrix._numbers
    numbers.states["sign"] = np.zeros_like(numbers.values)
    numbers.states["sign"][:4] = [1, 1, 1, -1]
    assert changed_sign(part, an_update(0.0)).tolist() == [True, False, False, False]


def test_growth_is_uniform_over_everything_that_is_empty_after_the_drop():
    # 2 x 4 with 5 entries of which 2 go: 5 empty positions, C(5, 2) = 10 equally likely ways to grow 2.
    part = Part(arena_of((2, 4), 5, seed=3).matrices["w"])
    keep = np.array([True, False, True, True, False])
    update = an_update(0.0, seed=8)
    draws, counts = 10_000, {}
    for _ in range(draws):
        pattern, source = random_positions(part, keep, 2, update)
        rows = np.repeat([0, 1], np.diff(pattern.indptr))
        grown = tuple((4 * rows + pattern.indices)[source < 0])
        counts[grown] = counts.get(grown, 0) + 1
    assert len(counts) == 10
    dropped = tuple(positions(part)[~keep])
    assert dropped in counts, "what was just dropped may come back"
    chi_square = sum((n - draws / 10) ** 2 / (draws / 10) for n in counts.values())
    assert chi_square < 33.8  # 0.9999 quantile, 9 degrees of freedom


@settings(deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(0, 30))
def test_untried_positions(seed, count):
    part = Part(arena_of((5, 8), 25, seed).matrices["w"])
    rng = np.random.default_rng(seed)
    keep = rng.random(25) < 0.4
    old = positions(part)
    count = min(count, 40 - np.count_nonzero(keep))
    pattern, source = untried_positions(part, keep, count, an_update(0.0, seed))
    pattern.check()
    new = np.repeat(np.arange(5), np.diff(pattern.indptr)) * 8 + pattern.indices
    assert np.array_equal(source[source >= 0], np.flatnonzero(keep))
    assert np.array_equal(new[source >= 0], old[keep])
    grown = new[source < 0]
    assert grown.size == count
    assert np.isin(grown, old).sum() == max(0, count - 15), "15 positions were empty before"


def test_parts_are_views_of_the_blocks_and_join_again():
    arena = arena_of((12, 9), 40, seed=2, blocks=4)
    matrix = arena.matrices["w"]
    parts = parts_of(matrix, "separate")
    assert [part.name for part in parts] == ["w[0]", "w[1]", "w[2]", "w[3]"]
    assert [part.nnz for part in parts] == matrix.block_nnz().tolist()
    dense = np.concatenate([sp.csr_array((p.data, p.indices, p.indptr), p.shape).toarray() for p in parts])
    assert np.array_equal(dense, matrix.to_scipy().toarray())
    assert all(np.shares_memory(part.data, arena.values) for part in parts)
    momentum = np.concatenate([part.state("momentum") for part in parts])
    assert np.array_equal(momentum, matrix.state("momentum"))
    all_kept = [random_positions(p, np.ones(p.nnz, bool), 0, an_update(0.0)) for p in parts]
    whole = join(matrix, all_kept)
    assert np.array_equal(whole.pattern.indptr, matrix.indptr)
    assert np.array_equal(whole.pattern.indices, matrix.indices)
    assert np.array_equal(whole.source, np.arange(matrix.nnz))
    (single,) = parts_of(matrix)
    assert single.name == "w"
    assert np.array_equal(single.indptr, matrix.indptr)


@settings(deadline=None)
@given(
    shares=st.lists(st.floats(0, 10), min_size=1, max_size=6),
    room=st.lists(st.integers(0, 50), min_size=6, max_size=6),
    part=st.floats(0, 1),
)
def test_shares_add_up_and_fit(shares, room, part):
    room = np.array(room[: len(shares)])
    total = int(part * room.sum())
    counts = shared_out(total, np.array(shares), room)
    assert counts.sum() == total
    assert (counts <= room).all()
    assert (counts >= 0).all()


def test_what_does_not_fit_goes_to_the_others():
    assert shared_out(10, np.array([1, 1, 2]), np.array([99, 99, 99])).tolist() == [3, 2, 5]
    assert shared_out(10, np.array([1, 1, 2]), np.array([99, 99, 3])).tolist() == [4, 3, 3]
    assert shared_out(4, np.array([0, 0, 2]), np.array([9, 9, 2])).tolist() == [1, 1, 2]


def test_survivors_decide_who_gets_what():
    parts = [Part(matrix) for matrix in arena_of_three(0).matrices.values()]
    keeps = [np.arange(part.nnz) % 2 == 0 for part in parts]
    keeps[1][:] = True
    counts = by_survivors(parts, keeps, an_update(0.5))
    assert sum(counts) == 75 + 20
    assert counts == pytest.approx(95 * np.array([75, 60, 20]) / 155, abs=1)


def test_a_nearly_full_part_that_grows_drops_its_empty_share_at_most():
    rng = np.random.default_rng(0)
    counts = {"nearly full": 180, "full": 200, "half full": 100, "small scores": 180}
    arena = Arena({name: (sample_pattern((10, 20), n, rng), 1) for name, n in counts.items()}, {})
    height = {"nearly full": 4.0, "full": 4.0, "half full": 4.0, "small scores": 1.0}
    scores = {name: lambda out, first, value=value: out.fill(-value) for name, value in height.items()}
    parts = [part for matrix in arena.matrices.values() for part in parts_of(matrix)]
    fractions = less_of_nearly_full(parts, an_update(0.5, scores=scores))
    assert fractions == pytest.approx([0.1, 0.0, 0.5, 0.5])
    fractions = less_of_nearly_full(parts, an_update(0.05, scores=scores))
    assert fractions == pytest.approx([0.05, 0.0, 0.05, 0.05])
    assert less_of_nearly_full(parts[2:3], an_update(0.5, scores={})) == [0.5], "asks for no scores"


def test_sparse_momentum_leaves_a_full_part_that_would_grow():
    rng = np.random.default_rng(0)
    arena = Arena(
        {"a": (sample_pattern((10, 20), 200, rng), 1), "b": (sample_pattern((10, 20), 60, rng), 1)}, {}
    )
    arena.values[...] = rng.standard_normal(arena.size)
    scores = {"a": lambda out, first: out.fill(3.0), "b": lambda out, first: out.fill(1.0)}
    changed = get_method("snfs").update(arena, an_update(0.5, scores=scores))
    assert changed == {"b": (30, 30)}
