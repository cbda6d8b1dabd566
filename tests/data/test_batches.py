"""Windows against the streams they are cut from."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from truesparse.data import Windows
from truesparse.errors import TruesparseError, UsageError


@given(batch_size=st.integers(1, 5), bptt=st.integers(1, 6), extra=st.integers(0, 40))
def test_windows_continue_the_streams_and_targets_are_shifted_by_one(batch_size, bptt, extra):
    ids = np.arange(batch_size * (bptt + 1) + extra, dtype=np.int32)
    windows = Windows(ids, batch_size, bptt)
    pairs = [windows.window(k) for k in range(len(windows))]
    x, y = (np.concatenate(parts) for parts in zip(*pairs, strict=True))

    length = len(ids) // batch_size
    streams = ids[: length * batch_size].reshape(batch_size, length)
    np.testing.assert_array_equal(x, streams[:, :-1].T)
    np.testing.assert_array_equal(y, streams[:, 1:].T)
    assert windows.tokens == y.size
    assert windows.steps == len(y)
    assert all(len(part) == bptt for part, _ in pairs[:-1])
    assert 1 <= len(pairs[-1][0]) <= bptt


def test_windows_are_contiguous_int32_views():
    windows = Windows(np.arange(100), 4, 5)
    for array in windows.window(1):
        assert array.dtype == np.int32
        assert array.flags.c_contiguous
        assert array.base is not None


def test_a_text_of_exactly_one_batch_of_windows_is_enough():
    assert len(Windows(np.zeros(12, np.int32), 3, 3)) == 1


def test_a_text_one_token_shorter_is_refused_with_both_numbers():
    with pytest.raises(TruesparseError, match=r"the validation text has 11 tokens.*needs 12.*batch_size"):
        Windows(np.zeros(11, np.int32), 3, 3, "validation text")


@pytest.mark.parametrize(
    ("batch_size", "bptt", "flag"), [(0, 3, "batch_size"), (3, 0, "bptt"), (-1, 3, "batch_size")]
)
def test_batch_or_window_of_nothing_is_refused(batch_size, bptt, flag):
    with pytest.raises(UsageError, match=flag):
        Windows(np.zeros(100, np.int32), batch_size, bptt)


@pytest.mark.parametrize("k", [-1, 2])
def test_there_is_no_window_outside_the_epoch(k):
    windows = Windows(np.zeros(10, np.int32), 1, 5)
    with pytest.raises(IndexError):
        windows.window(k)


def test_windows_of_random_lengths():
    ids = np.arange(2003)
    plain, windows = Windows(ids, 2, 20), Windows(ids, 2, 20, varied=1)
    assert len(windows) == len(plain) == 50
    lengths = {}
    for epoch in (0, 1, 0):
        batches = [windows.batch(epoch, k) for k in range(len(windows))]
        np.testing.assert_array_equal(
            np.concatenate([batch.inputs for batch in batches]), plain._streams[:-1]
        )
        np.testing.assert_array_equal(
            np.concatenate([batch.targets for batch in batches]), plain._streams[1:]
        )
        assert [batch.begins for batch in batches] == [True] + [False] * 49
        own = [len(batch.inputs) for batch in batches]
        assert [batch.rate for batch in batches] == [length / 20 for length in own]
        assert 9 <= min(own) < 16
        assert 24 < max(own) <= windows.longest == 31
        assert lengths.setdefault(epoch, own) == own
    assert lengths[0] != lengths[1]


@pytest.mark.parametrize("tokens", [6, 7, 9, 11, 12])
def test_windows_of_random_lengths_of_a_short_text(tokens):
    windows = Windows(np.arange(tokens), 1, 5, varied=3)
    for epoch in range(5):
        own = [len(windows.batch(epoch, k).inputs) for k in range(len(windows))]
        assert min(own) > 0
        assert sum(own) == tokens - 1
        assert max(own) <= windows.longest
