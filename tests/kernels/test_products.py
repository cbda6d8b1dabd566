import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import csr_arrays, empty_panels, random_csr, random_panels, sparse_matrices

from truesparse.kernels.buffers import aligned_copy, aligned_zeros
from truesparse.kernels.sddmm import row_sums, sddmm
from truesparse.kernels.spmm import spmm_forward, spmm_transposed
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
@given(matrix=sparse_matrices(), panels=st.integers(1, 3), seed=st.integers(0, 2**16))
@settings(deadline=None, max_examples=40)
def test_forward_product(lanes, matrix, panels, seed):
    rng = np.random.default_rng(seed)
    rows, columns = matrix.shape
    x = random_panels(panels, columns, lanes, rng)
    bias = rng.standard_normal(rows).astype(np.float32)
    y = empty_panels(panels, rows, lanes)
    spmm_forward(lanes)(y, *csr_arrays(matrix), x, bias)
    exact = np.einsum("mk,pkn->pmn", matrix.toarray().astype(np.float64), x) + bias[:, None]
    np.testing.assert_allclose(y, exact, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("lanes", LANES)
@given(
    matrix=sparse_matrices(), tile=st.integers(1, 45), shares=st.integers(1, 4), seed=st.integers(0, 2**16)
)
@settings(deadline=None, max_examples=40)
def test_transposed_product(lanes, matrix, tile, shares, seed):
    rng = np.random.default_rng(seed)
    rows, columns = matrix.shape
    dy = random_panels(2, rows, lanes, rng)
    dx = empty_panels(2, columns, lanes)
    transposed = as_matrix(matrix).transposed(tile)
    spmm_transposed(lanes)(dx, transposed.tiles, transposed.indices, transposed.data, dy, shares)
    exact = np.einsum("mk,pmn->pkn", matrix.toarray().astype(np.float64), dy)
    np.testing.assert_allclose(dx, exact, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("lanes", LANES)
@given(
    matrix=sparse_matrices(),
    panels=st.integers(1, 3),
    tile=st.integers(0, 45),
    shares=st.integers(1, 4),
    seed=st.integers(0, 2**16),
)
@settings(deadline=None, max_examples=40)
def test_sampled_product_adds_at_stored_positions(lanes, matrix, panels, tile, shares, seed):
    rng = np.random.default_rng(seed)
    rows, columns = matrix.shape
    indptr, indices, _ = csr_arrays(matrix)
    dy = random_panels(panels, rows, lanes, rng)
    x = random_panels(panels, columns, lanes, rng)
    before = rng.standard_normal(matrix.nnz).astype(np.float32)
    grad = aligned_copy(before)
    sddmm(lanes)(grad, as_matrix(matrix).column_tiles(tile), indptr, indices, dy, x, shares)
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


def test_shares_do_not_change_a_bit():
    rng = np.random.default_rng(1)
    matrix = random_csr(300, 90, 0.2, rng)
    indptr, indices, _ = csr_arrays(matrix)
    x, dy = random_panels(3, 90, 80, rng), random_panels(3, 300, 80, rng)
    grads = [aligned_zeros(matrix.nnz) for _ in range(2)]
    for grad, shares in zip(grads, (1, 5), strict=True):
        sddmm(80)(grad, as_matrix(matrix).column_tiles(30), indptr, indices, dy, x, shares)
    np.testing.assert_array_equal(*grads)


def test_wide_indices():
    """A matrix of more than 65,536 columns takes 32-bit column numbers."""
    rng = np.random.default_rng(2)
    matrix = random_csr(5, 70_000, 0.001, rng)
    pattern, data = Pattern.from_scipy(matrix)
    assert pattern.indices.dtype == np.uint32
    x, y = random_panels(1, 70_000, 4, rng), empty_panels(1, 5, 4)
    spmm_forward(4)(y, pattern.indptr, pattern.indices, aligned_copy(data), x, aligned_zeros(5))
    np.testing.assert_allclose(y[0], matrix.astype(np.float64) @ x[0], rtol=1e-5, atol=1e-4)
