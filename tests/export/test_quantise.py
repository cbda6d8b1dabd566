from __future__ import annotations

import numpy as np
import scipy.sparse
from hypothesis import given
from oracles import csr_arrays, sparse_matrices

from truesparse.export.quantise import dequantise, quantise
from truesparse.modelfile import CSR


@given(sparse_matrices())
def test_rounding_is_to_the_nearest_of_255_steps(matrix: scipy.sparse.csr_array) -> None:
    csr = CSR(*csr_arrays(matrix), matrix.shape)
    quantised = quantise(csr)
    assert quantised.data.dtype == np.int8
    assert quantised.scales.shape == (matrix.shape[0],)
    again = dequantise(csr, quantised)
    assert (np.abs(again.data - csr.data) <= 0.501 * quantised.scales[csr.rows]).all()
    for row in range(matrix.shape[0]):
        own = quantised.data[csr.indptr[row] : csr.indptr[row + 1]]
        assert own.size == 0 or np.abs(own).max() == 127


def test_rows_of_zeros_and_of_the_smallest_numbers() -> None:
    data = np.array([0, 0, 1e-45, -1e-45], np.float32)
    csr = CSR(np.array([0, 2, 4, 4]), np.array([0, 1, 0, 1], np.uint16), data, (3, 2))
    quantised = quantise(csr)
    np.testing.assert_array_equal(dequantise(csr, quantised).data, np.zeros(4))
    assert quantised.scales[2] == 0
