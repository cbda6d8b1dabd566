"""Weights of a row or a column as one: how large they are together, and pulling them towards 0."""

from __future__ import annotations

import numpy as np

from truesparse.kernels.jit import jit, parallel_jit, prange


@jit
def add_squares(row_sums, column_sums, data, indptr, indices):
    """Add up the squares of the weights of each row and of each column.

    Parameters
    ----------
    row_sums : ndarray of float64, shape (rows,)
        Added to.
    column_sums : ndarray of float64, shape (columns,)
        Added to.
    data : ndarray of float32, shape (nnz, group)
        The weights of each entry.
    indptr : ndarray of int64, shape (rows + 1,)
    indices : ndarray of unsigned int, shape (nnz,)
    """
    for i in range(row_sums.size):
        for p in range(indptr[i], indptr[i + 1]):
            square = 0.0
            for g in range(data.shape[1]):
                square += np.float64(data[p, g]) * np.float64(data[p, g])
            row_sums[i] += square
            column_sums[indices[p]] += square


@parallel_jit
def shrink(data, indptr, indices, row_pull, column_pull):
    """Multiply each weight by 1 less what pulls its row and its column, at least 0.

    Parameters
    ----------
    data : ndarray of float32, shape (nnz, group)
        Modified in place.
    indptr : ndarray of int64, shape (rows + 1,)
    indices : ndarray of unsigned int, shape (nnz,)
    row_pull : ndarray of float64, shape (rows,)
    column_pull : ndarray of float64, shape (columns,)
    """
    for i in prange(row_pull.size):
        for p in range(indptr[i], indptr[i + 1]):
            factor = np.float32(max(1.0 - (row_pull[i] + column_pull[indices[p]]), 0.0))
            for g in range(data.shape[1]):
                data[p, g] *= factor
