import numba
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from truesparse.kernels.fill import fill_zero, gather
from truesparse.kernels.transpose import _count_and_fill, transpose_index

masks = st.tuples(st.integers(1, 40), st.integers(1, 40)).flatmap(lambda shape: arrays(bool, shape))


def transpose(csr, tile_rows):
    cols = csr.shape[1]
    t_indptr = np.full(cols + 1, -1, np.int64)
    t_indices, positions = np.empty(csr.nnz, np.uint16), np.empty(csr.nnz, np.int32)
    indices = csr.indices.astype(np.uint16)
    tiles = transpose_index(t_indptr, t_indices, positions, csr.indptr.astype(np.int64), indices, tile_rows)
    return t_indptr, t_indices, positions, tiles


@settings(deadline=None)
@given(mask=masks, tile_rows=st.integers(1, 45))
def test_transpose_index_equals_scipy(mask, tile_rows):
    csr = sp.csr_array(mask.astype(np.float32))
    csr.data[:] = np.arange(csr.nnz)
    expected = csr.T.tocsr()
    t_indptr, t_indices, positions, tiles = transpose(csr, tile_rows)
    assert np.array_equal(t_indptr, expected.indptr)
    assert np.array_equal(t_indices, expected.indices)
    assert np.array_equal(positions, expected.data)
    rows, cols = csr.shape
    assert tiles.shape == (cols, -(-rows // tile_rows) + 1)
    assert tiles.flags.c_contiguous
    for j in range(cols):
        column = t_indices[t_indptr[j] : t_indptr[j + 1]]
        bounds = np.searchsorted(column, np.arange(tiles.shape[1]) * tile_rows)
        assert np.array_equal(tiles[j], t_indptr[j] + bounds)


def test_transpose_index_does_not_depend_on_the_number_of_threads():
    csr = sp.random_array((300, 70), density=0.2, format="csr", rng=np.random.default_rng(1))
    before = numba.get_num_threads()
    results = []
    for count in (1, min(2, before)):
        numba.set_num_threads(count)
        results.append(transpose(csr, 128))
    numba.set_num_threads(before)
    for one, two in zip(*results, strict=True):
        assert np.array_equal(one, two)
    assert len(_count_and_fill.signatures) == 1


@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 1 << 15, (1 << 15) + 1, 100_000])
def test_gather_picks_entries_and_zeros(n):
    rng = np.random.default_rng(n)
    data = rng.standard_normal(max(n // 2, 1)).astype(np.float32)
    source = rng.integers(-1, data.size, n, dtype=np.int32)
    out = np.full(n, np.nan, np.float32)
    gather(out, data, source, 1)
    assert np.array_equal(out, np.where(source < 0, np.float32(0), data[source]))


def test_gather_from_nothing_gives_zeros():
    out = np.ones(5, np.float32)
    gather(out, np.empty(0, np.float32), np.full(5, -1, np.int32), 1)
    assert not out.any()


@pytest.mark.parametrize("n", [0, 1, (1 << 15) - 1, (1 << 15) + 1])
def test_fill_zero(n):
    out = np.ones(n, np.float32)
    fill_zero(out)
    assert not out.any()
