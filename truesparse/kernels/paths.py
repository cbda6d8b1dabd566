"""Ends of paths of three entries through a pattern, drawn where many of them lead."""

from __future__ import annotations

import numpy as np

from truesparse.kernels.jit import inline_jit, parallel_jit, prange
from truesparse.kernels.topology import GOLDEN, mix

_TRIES = 32
_FRACTION = np.float64(2.0**-53)
_ELEVEN = np.uint64(11)


@parallel_jit
def draw_path_ends(positions, indptr, indices, t_indptr, t_indices, longest_row, longest_column, seed):
    """Draw free positions, each in proportion to its paths of three entries.

    A pattern is a graph whose edges, its entries, join rows and columns. A path from row i over column k and
    row r to column j counts ``1 / sqrt(degree of k * degree of r)``: the entry (r, k) in the middle is drawn
    by the root of the product of its degrees, and then i and j evenly among the neighbours of k and r.

    Parameters
    ----------
    positions : ndarray of int64, shape (n,)
        Written: row times columns plus column of each draw, independent of the others; -1 where 32 tries have
        found none that is free.
    indptr : ndarray of int64, shape (rows + 1,)
    indices : ndarray of unsigned int, shape (nnz,)
        Columns, strictly increasing within a row; at least one.
    t_indptr : ndarray of int64, shape (cols + 1,)
    t_indices : ndarray of unsigned int, shape (nnz,)
        Rows, as the columns of the pattern have them.
    longest_row, longest_column : int
        The most entries that any has.
    seed : uint64
        A draw is a function of this and its number, so it is the same for any number of threads.

    References
    ----------
    I. A. Kovács et al., "Network-based prediction of protein interactions", 2019: the score.
    """
    nnz, cols = indices.size, np.int64(t_indptr.size - 1)
    most = np.float64(longest_row) * np.float64(longest_column)
    for n in prange(positions.size):
        state = mix(seed + np.uint64(n) * GOLDEN)
        positions[n] = -1
        for _ in range(_TRIES):
            state += GOLDEN
            p = _below(state, nnz)
            k, r = np.int64(indices[p]), _row_of(indptr, p)
            row, column = indptr[r + 1] - indptr[r], t_indptr[k + 1] - t_indptr[k]
            state += GOLDEN
            if _uniform(state) > np.sqrt(np.float64(row) * np.float64(column) / most):
                continue
            state += GOLDEN
            i = np.int64(t_indices[t_indptr[k] + _below(state, column)])
            state += GOLDEN
            j = np.int64(indices[indptr[r] + _below(state, row)])
            if not _has(indices, indptr[i], indptr[i + 1], j):
                positions[n] = i * cols + j
                break


@inline_jit
def _uniform(state):
    """A number from 0 to below 1."""
    return np.float64(mix(state) >> _ELEVEN) * _FRACTION


@inline_jit
def _below(state, count):
    """A whole number from 0 to below `count`."""
    return min(np.int64(_uniform(state) * np.float64(count)), np.int64(count - 1))


@inline_jit
def _row_of(indptr, p):
    """The row of an entry."""
    low, high = np.int64(0), np.int64(indptr.size - 1)
    while high - low > 1:
        middle = (low + high) >> 1
        if indptr[middle] <= p:
            low = middle
        else:
            high = middle
    return low


@inline_jit
def _has(indices, start, end, j):
    """Whether a row has an entry in a column."""
    low, high = np.int64(start), np.int64(end)
    while low < high:
        middle = (low + high) >> 1
        if np.int64(indices[middle]) < j:
            low = middle + 1
        else:
            high = middle
    return low < end and np.int64(indices[low]) == j
