from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import csr_arrays, random_csr, sparse_matrices

from truesparse.csr import CSR
from truesparse.layers import product
from truesparse.layers.product import Product, beside


def as_csr(matrix: scipy.sparse.csr_array) -> CSR:
    return CSR(*csr_arrays(matrix), matrix.shape)


@settings(deadline=None)
@given(sparse_matrices(70, 50), st.integers(1, 5))
def test_product(matrix: scipy.sparse.csr_array, batch: int) -> None:
    x = np.random.default_rng(1).normal(size=(matrix.shape[1], batch)).astype(np.float32)
    expected = matrix.astype(np.float64) @ x
    np.testing.assert_allclose(Product(as_csr(matrix))(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("slots", [1, 7, 64])
def test_product_in_small_pieces(slots: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(product, "_SLOTS", slots)
    test_product()


def test_product_of_long_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(product, "_SHORT", 1)
    test_product()
    test_rows_with_the_same_columns_share_them()


@settings(deadline=None)
@given(st.integers(1, 19), st.integers(1, 3), st.integers(0, 99))
def test_rows_with_the_same_columns_share_them(alike: int, batch: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    some = np.triu(np.ones((12, 30))) * (rng.random((12, 30)) < 0.9) + np.eye(12, 30)  # no two are the same
    matrix = np.vstack([some[rng.permutation(12)] for _ in range(alike)]) * rng.normal(size=(12 * alike, 30))
    made = Product(as_csr(scipy.sparse.csr_array(matrix.astype(np.float32))))
    x = rng.normal(size=(30, batch)).astype(np.float32)
    np.testing.assert_allclose(made(x), matrix @ x, rtol=1e-5, atol=1e-5)
    groups = sum(len(columns) for columns, _ in made._tables)
    assert groups == 12 * (alike // 8 + (alike % 8).bit_count())  # of 8, 4, 2 and 1


def test_rows_of_very_different_lengths_take_little_padding() -> None:
    lengths = np.array([1000, 1, 0, 3, 500, *range(200)])
    indptr = np.concatenate(([0], np.cumsum(lengths)))
    indices = np.concatenate([np.arange(length) for length in lengths]).astype(np.uint16)
    csr = CSR(indptr, indices, np.ones(indices.size, np.float32), (lengths.size, 1000))
    made = Product(csr)
    assert sum(columns.size for columns, _ in made._tables) <= 8 / 7 * indices.size
    np.testing.assert_array_equal(made(np.ones((1000, 1), np.float32))[:, 0], lengths)


@given(sparse_matrices(), st.integers(1, 9), st.integers(0, 99))
def test_beside(matrix: scipy.sparse.csr_array, columns: int, seed: int) -> None:
    other = random_csr(matrix.shape[0], columns, 0.4, np.random.default_rng(seed))
    both = beside(as_csr(matrix), as_csr(other))
    np.testing.assert_array_equal(both.to_dense(), np.hstack([matrix.toarray(), other.toarray()]))
    assert both.shape == (matrix.shape[0], matrix.shape[1] + columns)
