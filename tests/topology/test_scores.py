import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from topology_helpers import an_update, arena_of, arena_of_three, positions, rows_of, snapshot

from truesparse.kernels.buffers import aligned_copy
from truesparse.topology import DenseMomentum, get_method, parts_of
from truesparse.topology import scores as scores_module
from truesparse.topology.drop import smallest_magnitude
from truesparse.topology.grow import highest_scores
from truesparse.topology.redistribute import by_mean_score
from truesparse.topology.scores import highest_empty, mean_score, rows_at_a_time


def scored(arrays, fraction=0.3, **more):
    return an_update(fraction, scores={name: rows_of(array) for name, array in arrays.items()}, **more)


@settings(deadline=None)
@given(
    rows=st.integers(1, 12),
    cols=st.sampled_from([1, 3, 64, 100]),
    fill=st.floats(0, 1),
    kept=st.floats(0, 1),
    share=st.floats(0, 1),
    kinds=st.sampled_from([2, 5, 1000]),
    height=st.integers(1, 5),
    seed=st.integers(0, 2**32),
)
def test_the_highest_are_those_of_a_sort(rows, cols, fill, kept, share, kinds, height, seed):
    """Of equal ones the first, and those of score 0 not at all."""
    rng = np.random.default_rng(seed)
    arena = arena_of((rows, cols), round(fill * rows * cols), seed)
    part = parts_of(arena.matrices["w"])[0]
    keep = rng.random(part.nnz) < kept
    scores = (rng.integers(-kinds, kinds + 1, (rows, cols)) / kinds).astype(np.float32)
    empty = np.ones(rows * cols, dtype=bool)
    empty[positions(part)[keep]] = False
    count = max(1, int(share * empty.sum()))
    magnitude = np.where(empty, np.abs(scores).ravel(), -1)
    order = np.argsort(-magnitude, kind="stable")
    expected = np.sort(order[:count][magnitude[order[:count]] > 0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scores_module, "_ROWS", height)
        found = highest_empty(part, keep, count, scored({"w": scores}))
    assert found.tolist() == expected.tolist()


def test_the_highest_of_many_are_those_of_a_partition():
    rng = np.random.default_rng(0)
    arena = arena_of((700, 300), 20_000, seed=0)
    part = parts_of(arena.matrices["w"])[0]
    keep = rng.random(part.nnz) < 0.7
    scores = rng.standard_normal((700, 300)).astype(np.float32)
    magnitude = np.abs(scores).ravel()
    magnitude[positions(part)[keep]] = -1
    for count in (1, 100, 6000, 150_000):
        expected = np.sort(np.argpartition(-magnitude, count)[:count])
        found = highest_empty(part, keep, count, scored({"w": scores}))
        assert np.array_equal(found, expected)


@settings(deadline=None)
@given(fraction=st.floats(0, 0.9), gates=st.sampled_from(["fused", "separate"]), seed=st.integers(0, 999))
def test_gradient_growth_in_a_model(fraction, gates, seed):
    arena = arena_of_three(seed)
    rng = np.random.default_rng(seed)
    arrays = {name: rng.standard_normal(m.shape).astype(np.float32) for name, m in arena.matrices.items()}
    before, blocks = snapshot(arena), arena.matrices["b"].block_nnz().tolist()
    parts = {name: parts_of(m, gates) for name, m in arena.matrices.items()}
    kept = {
        name: [positions(part)[smallest_magnitude(part, an_update(fraction))] for part in mine]
        for name, mine in parts.items()
    }
    changed = get_method("rigl").update(arena, scored(arrays, fraction), gates)
    after = snapshot(arena)
    if gates == "separate":
        assert arena.matrices["b"].block_nnz().tolist() == blocks
    for name, matrix in arena.matrices.items():
        matrix.check()
        assert changed.get(name, (0, 0))[0] == changed.get(name, (0, 0))[1]
        expected = set()
        for part, stay in zip(parts[name], kept[name], strict=True):
            offset = part.first_row * part.shape[1]
            magnitude = np.abs(arrays[name][part.first_row : part.first_row + part.shape[0]]).ravel()
            magnitude[stay] = -1
            grown = np.argsort(-magnitude, kind="stable")[: part.nnz - stay.size]
            expected |= set((offset + np.concatenate([stay, grown])).tolist())
            assert all(after[name][place] == before[name][place] for place in (offset + stay).tolist())
            assert all(after[name][place] == (0, 0) for place in (offset + grown).tolist())
        assert after[name].keys() == expected


def test_where_no_gradient_tells_positions_are_drawn():
    """As in an embedding, most of whose words do not occur in a window."""
    arena = arena_of((200, 100), 4000, seed=1)
    scores = np.zeros((200, 100), np.float32)
    scores[7] = 1
    rows = []
    for seed in (1, 1, 2):
        part = parts_of(arena.matrices["w"])[0]
        keep = np.arange(part.nnz) >= 2000
        change = highest_scores(part, keep, 2000, scored({"w": scores}, seed=seed))
        change.pattern.check()
        assert change.grown == 2000
        assert np.diff(change.pattern.indptr)[7] == 100
        assert np.array_equal(change.source[change.source >= 0], np.arange(2000, 4000))
        rows.append(np.diff(change.pattern.indptr))
    assert rows[0].tolist() == rows[1].tolist() != rows[2].tolist()
    drawn = rows[0] - np.diff(part.indptr)
    assert np.count_nonzero(drawn > 0) > 50


def test_weights_go_where_the_mean_score_is_high():
    arena = arena_of_three(3)
    arrays = {
        name: np.full(matrix.shape, score, np.float32)
        for (name, matrix), score in zip(arena.matrices.items(), (1, -2, 5), strict=True)
    }
    parts = [parts_of(matrix)[0] for matrix in arena.matrices.values()]
    update = scored(arrays, 0.4)
    assert [mean_score(part, update) for part in parts] == [1, 2, 5]
    keeps = [smallest_magnitude(part, update) for part in parts]
    assert by_mean_score(parts, keeps, update) == [13, 25, 62]
    nnz = arena.nnz
    changed = get_method("snfs").update(arena, update)
    assert [change.grown for change in changed.values()] == [13, 25, 62]
    assert arena.nnz == nnz


def test_dense_momentum_is_a_running_mean():
    rng = np.random.default_rng(0)
    momentum = DenseMomentum({"w": (300, 7)})
    exact = np.zeros((300, 7))
    for scale in (1.0, 0.5, 0.25):
        gradient = rng.standard_normal((300, 7)).astype(np.float32)
        momentum.add({"w": rows_of(gradient)}, scale)
        exact = 0.9 * exact + 0.1 * scale * gradient
    np.testing.assert_allclose(momentum.arrays["w"], exact, rtol=1e-5, atol=1e-7)
    blocks = list(rows_at_a_time(momentum.scores["w"], (10, 7), 200))
    np.testing.assert_array_equal(blocks[0][1], momentum.arrays["w"][200:210])


def test_finding_positions_takes_memory_for_what_is_grown():
    arena = arena_of((4000, 2000), 80_000, seed=1)
    part = parts_of(arena.matrices["w"])[0]
    pattern = aligned_copy(np.random.default_rng(0).standard_normal(2000))

    def score(out, first):
        out[...] = pattern

    update = an_update(0.3, scores={"w": score})
    keep = np.arange(part.nnz) >= 24_000
    highest_scores(part, keep, 24_000, update)  # compiles
    tracemalloc.start()
    highest_scores(part, keep, 24_000, update)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50 * 24_000 + 40 * sum(part.shape) + 4 * 128 * 2000 + 10 * part.nnz
