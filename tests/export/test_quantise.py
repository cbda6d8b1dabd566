from __future__ import annotations

import numpy as np
import scipy.sparse
from hypothesis import given
from oracles import csr_arrays, sparse_matrices

from truesparse.csr import CSR
from truesparse.export.quantise import dequantise, quantise


@given(sparse_matrices())
def test_rounding_is_to_the_nearest_of_255_steps(matrix: scipy.sparse.csr_array) -> None:
    csr = CSR(*csr_arrays(matrix), matrix.shape)
    quantised = quantise(csr)
    assert quantised.data.dtype == np.int8
    assert quantised.scales.shape == (matrix.shape[0],)
    again = dequantise(csr, quantised)
    scales = quantised.row_scales
    assert (np.abs(again.data - csr.data) <= 0.501 * scales[csr.rows]).all()
    for row in range(matrix.shape[0]):
        own = csr.data[csr.indptr[row] : csr.indptr[row + 1]]
        if own.size:
            assert scales[row] <= 1.0001 * np.abs(own).max() / 127 + quantised.step
        else:
            assert scales[row] == 0


def test_rows_of_zeros_and_of_the_smallest_numbers() -> None:
    data = np.array([0, 0, 1e-45, -1e-45], np.float32)
    csr = CSR(np.array([0, 2, 4, 4]), np.array([0, 1, 0, 1], np.uint16), data, (3, 2))
    quantised = quantise(csr)
    np.testing.assert_array_equal(dequantise(csr, quantised).data, np.zeros(4))
    assert quantised.scales[2] == 0


def test_rows_of_very_different_sizes() -> None:
    largest = np.float32([1e-30, 1e-6, 1e-3, 1, 1000])
    data = np.stack([largest, -largest / 3], axis=1).ravel()
    csr = CSR(np.arange(0, 11, 2), np.array([0, 1] * 5, np.uint16), data, (5, 2))
    again = dequantise(csr, quantise(csr)).data
    step = 1000 / 127 / 65535
    assert (np.abs(again - data) <= (np.repeat(largest, 2) / 127 + step) / 2 * 1.001).all()
