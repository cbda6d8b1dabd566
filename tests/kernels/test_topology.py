import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from truesparse.kernels.topology import _grow_rows, count_kept, grow_rows


def entries(mask):
    """CSR index arrays of a boolean array."""
    indptr = np.concatenate([[0], np.cumsum(mask.sum(1))]).astype(np.int64)
    return indptr, np.nonzero(mask)[1].astype(np.uint16)


@st.composite
def updates(draw):
    """A pattern, which of its entries stay, and how many each row gets."""
    rows, cols = draw(st.integers(1, 6)), draw(st.sampled_from([1, 2, 5, 63, 64, 65, 128, 150]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    mask = rng.random((rows, cols)) < draw(st.sampled_from([0, 0.1, 0.5, 0.95, 1]))
    keep = rng.random(mask.sum()) < draw(st.sampled_from([0, 0.5, 1]))
    survivors = mask.copy()
    survivors[mask] = keep
    empty = cols - survivors.sum(1)
    grown = draw(arrays(np.int64, rows, elements=st.integers(0, 150))) % (empty + 1)
    return mask, keep, survivors, grown, draw(st.integers(0, 2**64 - 1))


@settings(deadline=None)
@given(updates())
def test_grow_rows_keeps_the_survivors_and_fills_every_row(update):
    mask, keep, survivors, grown, seed = update
    indptr, indices = entries(mask)
    kept = np.empty(len(mask), np.int64)
    count_kept(kept, indptr, keep)
    assert np.array_equal(kept, survivors.sum(1))
    new_indptr = np.concatenate([[0], np.cumsum(kept + grown)])
    new_indices, source = grow_rows(new_indptr, indptr, indices, keep, mask.shape[1], seed)
    assert new_indices.dtype == indices.dtype
    assert new_indices.size == 0 or new_indices.ctypes.data % 64 == 0

    rows = np.repeat(np.arange(len(mask)), np.diff(new_indptr))
    result = np.zeros_like(mask)
    result[rows, new_indices] = True
    assert result.sum() == new_indices.size, "a position occurs twice"
    assert np.array_equal(entries(result)[1], new_indices), "a row is not sorted"
    new = source < 0
    assert not survivors[rows[new], new_indices[new]].any(), "a survivor was grown again"
    assert np.array_equal(source[~new], np.flatnonzero(keep)), "survivors have changed order"
    assert np.array_equal(new_indices[~new], indices[keep])
    assert np.array_equal(np.bincount(rows[new], minlength=len(mask)), grown)


def test_grow_rows_does_not_depend_on_the_number_of_threads():
    rng = np.random.default_rng(2)
    indptr, indices = entries(rng.random((101, 130)) < 0.3)
    keep = np.ones(indices.size, bool)
    new_indptr = indptr + 20 * np.arange(102)
    before = numba.get_num_threads()
    results = []
    for count in (1, min(2, before)):
        numba.set_num_threads(count)
        results.append(grow_rows(new_indptr, indptr, indices, keep, 130, 7))
    numba.set_num_threads(before)
    for one, two in zip(*results, strict=True):
        assert np.array_equal(one, two)
    assert len(_grow_rows.signatures) == 1


@pytest.mark.parametrize("grown", [1, 2, 5])
def test_grow_rows_is_uniform_within_a_row(grown):
    # One row of 9 columns, of which 3 are taken: each of the C(6, grown) sets must be equally likely.
    rows = 60_000
    mask = np.zeros((rows, 9), bool)
    mask[:, [0, 4, 5]] = True
    indptr, indices = entries(mask)
    keep = np.ones(indices.size, bool)
    new_indptr = indptr + grown * np.arange(rows + 1)
    new_indices, source = grow_rows(new_indptr, indptr, indices, keep, 9, 123)
    sets = (1 << new_indices[source < 0].astype(np.int64)).reshape(rows, grown).sum(1)
    _, counts = np.unique(sets, return_counts=True)
    expected = {1: 6, 2: 15, 5: 6}[grown]
    assert counts.size == expected
    chi_square = ((counts - rows / expected) ** 2 / (rows / expected)).sum()
    assert chi_square < {5: 25.7, 14: 42.6}[expected - 1]  # the 0.9999 quantile
