import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import csr_arrays, empty_panels, random_csr, random_panels, sparse_matrices

from truesparse.kernels.buffers import aligned_copy, aligned_zeros
from truesparse.kernels.sddmm import row_sums, sddmm
from truesparse.kernels.spmm import spmm
from truesparse.sparse import Arena, Pattern

LANES = (4, 80)  # a kernel is compiled for each


def as_matrix(csr):
    """The same matrix in an arena."""
    pattern, data = Pattern.from_scipy(csr)
    arena = Arena({"w": (pattern, 1)}, {})
    arena.matrices["w"].data[...] = data
    arena.touch()
    return arena.matrices["w"]


@pytest.mark.parametrize("lanes", LANES)
@given(
    matrix=sparse_matrices(),
    panels=st.integers(1, 3),
    tile=st.integers(0, 45),
    band=st.integers(1, 50),
    shares=st.integers(1, 4),
    seed=st.integers(0, 2**16),
)
@settings(deadline=None, max_examples=40)
def test_product(lanes, matrix, panels, tile, band, shares, seed):
    rng = np.random.default_rng(seed)
    rows, columns = matrix.shape
    x = random_panels(panels, columns, lanes, rng)
    bias = rng.standard_normal(rows).astype(np.float32)
    y = empty_panels(panels, rows, lanes)
    spmm(lanes)(
        y, as_matrix(matrix).column_tiles(tile), *csr_arrays(matrix), x, bias, 1, rows, band, 2, shares
    )
    exact = np.einsum("mk,pkn->pmn", matrix.toarray().astype(np.float64), x) + bias[:, None]
    np.testing.assert_allclose(y, exact, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("lanes", LANES)
@given(matrix=sparse_matrices(), tile=st.integers(1, 45), seed=st.integers(0, 2**16))
@settings(deadline=None, max_examples=40)
def test_product_with_the_columns_is_transposed(lanes, matrix, tile, seed):
    rng = np.random.default_rng(seed)
    rows, columns = matrix.shape
    dy = random_panels(2, rows, lanes, rng)
    dx = empty_panels(2, columns, lanes)
    by_column = as_matrix(matrix).transposed(tile)
    arrays = by_column.indptr, by_column.indices, by_column.data
    spmm(lanes)(dx, by_column.tiles, *arrays, dy, aligned_zeros(0), 1, columns, 20, 1, 2)
    exact = np.einsum("mk,pmn->pkn", matrix.toarray().astype(np.float64), dy)
    np.testing.assert_allclose(dx, exact, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("lanes", LANES)
@given(
    matrix=sparse_matrices(),
    panels=st.integers(1, 3),
    tile=st.integers(0, 45),
    band=st.integers(1, 50),
    shares=st.integers(1, 4),
    seed=st.integers(0, 2**16),
)
@settings(deadline=None, max_examples=40)
def test_sampled_product_adds_at_stored_positions(lanes, matrix, panels, tile, band, shares, seed):
    rng = np.random.default_rng(seed)
    rows, columns = matrix.shape
    indptr, indices, _ = csr_arrays(matrix)
    dy = random_panels(panels, rows, lanes, rng)
    x = random_panels(panels, columns, lanes, rng)
    before = rng.standard_normal(matrix.nnz).astype(np.float32)
    grad = aligned_copy(before)
    sddmm(lanes)(grad, as_matrix(matrix).column_tiles(tile), indptr, indices, dy, x, 1, rows, band, 2, shares)
    dense = np.einsum("pmn,pkn->mk", dy.astype(np.float64), x)
    row = np.repeat(np.arange(rows), np.diff(indptr))
    np.testing.assert_allclose(grad, before + dense[row, indices], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("shares", [1, 3])
def test_row_sums_add(lanes, shares):
    rng = np.random.default_rng(0)
    dy = random_panels(3, 7, lanes, rng)
    grad = aligned_zeros(7)
    grad += 1
    row_sums(lanes)(grad, dy, shares)
    np.testing.assert_allclose(grad, 1 + dy.astype(np.float64).sum(axis=(0, 2)), rtol=1e-5, atol=1e-5)


def test_shares_and_blocks_do_not_change_a_bit():
    rng = np.random.default_rng(1)
    matrix = as_matrix(random_csr(300, 90, 0.2, rng))
    x, dy = random_panels(3, 90, 80, rng), random_panels(3, 300, 80, rng)
    tiles, bias = matrix.column_tiles(30), aligned_zeros(300)
    grads, products = [], []
    for shares, band in ((1, 300), (5, 7)):
        grads.append(aligned_zeros(matrix.nnz))
        sddmm(80)(grads[-1], tiles, matrix.indptr, matrix.indices, dy, x, 1, 300, band, 2, shares)
        products.append(empty_panels(3, 300, 80))
        arrays = matrix.indptr, matrix.indices, matrix.data
        spmm(80)(products[-1], tiles, *arrays, x, bias, 1, 300, band, 2, shares)
    np.testing.assert_array_equal(*grads)
    np.testing.assert_array_equal(*products)


def test_wide_indices():
    """A matrix of more than 65,536 columns takes 32-bit column numbers."""
    rng = np.random.default_rng(2)
    matrix = random_csr(5, 70_000, 0.001, rng)
    pattern, data = Pattern.from_scipy(matrix)
    assert pattern.indices.dtype == np.uint32
    x, y = random_panels(1, 70_000, 4, rng), empty_panels(1, 5, 4)
    wide = as_matrix(matrix)
    arrays = wide.column_tiles(30_000), wide.indptr, wide.indices, aligned_copy(data)
    spmm(4)(y, *arrays, x, aligned_zeros(5), 1, 5, 5, 1, 2)
    np.testing.assert_allclose(y[0], matrix.astype(np.float64) @ x[0], rtol=1e-5, atol=1e-4)
