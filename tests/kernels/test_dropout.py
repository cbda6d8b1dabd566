import numpy as np
import pytest

from truesparse.kernels.buffers import aligned_zeros
from truesparse.kernels.dropout import drop_words, dropout, locked_dropout
from truesparse.sparse.panels import Panels

KEY = np.uint64(2**63 + 12345)


@pytest.mark.parametrize("shape", [(2, 50, 80), (1, 3, 4)])
def test_dropout_draws_the_same_mask_again(shape):
    x = aligned_zeros(shape)
    x += 1
    dropout(x, KEY, np.float32(0.25))
    assert set(np.unique(x)) <= {np.float32(0), np.float32(1) / np.float32(0.75)}
    again = aligned_zeros(shape)
    again += 1
    dropout(again, KEY, np.float32(0.25))
    np.testing.assert_array_equal(x, again)
    if x.size > 1000:
        assert abs((x == 0).mean() - 0.25) < 0.03
        other = aligned_zeros(shape)
        other += 1
        dropout(other, np.uint64(1), np.float32(0.25))
        assert abs(((x == 0) & (other == 0)).mean() - 0.0625) < 0.02


@pytest.mark.parametrize(("steps", "batch"), [(1, 1), (9, 3), (7, 20), (6, 70)])
def test_locked_dropout_drops_the_same_at_every_step(steps, batch):
    panels, features = Panels(steps, batch), 40
    x, again = panels.zeros(features) + 1, panels.zeros(features) + 1
    kernel = locked_dropout(panels.step_lanes, panels.lanes)
    kernel(x, KEY, np.float32(0.25), np.float32(3), panels.strips)
    assert set(np.unique(x)) == {0, 3}
    mask = panels.step(x, 0)
    for step in range(1, steps):
        np.testing.assert_array_equal(panels.step(x, step), mask)
    kernel(again, KEY, np.float32(0.25), np.float32(3), panels.strips)
    np.testing.assert_array_equal(x, again)
    kernel(again, np.uint64(7), np.float32(0.25), np.float32(3), panels.strips)
    assert (again != x).any()
    assert abs((mask == 0).mean() - 0.25) < 4 * (0.1875 / mask.size) ** 0.5
    if batch > 9:  # sequences and features have masks of their own
        assert len(np.unique(mask, axis=1).T) == batch
        assert len(np.unique(mask, axis=0)) > features // 2


def test_words_are_dropped_in_every_place_of_a_sequence():
    panels, vocabulary = Panels(35, 70), 50
    ids = np.random.default_rng(0).integers(0, vocabulary, (35, 70)).astype(np.int32)
    placed, before = np.empty((2, panels.panels, panels.lanes), np.int32)
    panels.place_ids(placed, ids)
    panels.place_ids(before, ids)
    drop_words(placed, KEY, np.float32(0.25), vocabulary, panels.strips, panels.step_lanes)
    np.testing.assert_array_equal(placed[placed >= 0], before[placed >= 0])
    as_numbers = placed.astype(np.float32)[:, None, :]
    dropped = np.stack([panels.step(as_numbers, step)[0] for step in range(35)]) < 0
    assert abs(dropped.mean() - 0.25) < 0.03
    shares = []
    for word in range(vocabulary):
        for sequence in range(70):
            occurrences = dropped[ids[:, sequence] == word, sequence]
            assert occurrences.all() or not occurrences.any()
        shares.append(dropped[ids == word].mean())
    assert min(shares) > 0  # a word that one sequence lacks another one has
    assert max(shares) < 1
