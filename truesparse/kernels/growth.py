"""Finding the empty positions with the largest scores, some rows at a time, and adding them to a pattern."""

from __future__ import annotations

import numpy as np

from truesparse.kernels.jit import jit, parallel_jit, prange


@parallel_jit
def empty_magnitudes(scores, indptr, indices, keep):
    """Turn the scores of some rows into their absolute values, and those of the entries that stay into 0.

    Parameters
    ----------
    scores : ndarray of float32, shape (rows, columns)
        Modified in place.
    indptr : ndarray of int64, shape (rows + 1,)
        Where these rows begin in `indices`.
    indices : ndarray of unsigned int, shape (nnz,)
    keep : ndarray of bool, shape (nnz,)
    """
    rows, columns = scores.shape
    for i in prange(rows):
        for j in range(columns):
            scores[i, j] = abs(scores[i, j])
        for p in range(indptr[i], indptr[i + 1]):
            if keep[p]:
                scores[i, indices[p]] = np.float32(0)


@jit
def collect_above(values, places, found, scores, row, first, threshold):
    """Append the scores of some rows that exceed a threshold, until the rows or the room end.

    Parameters
    ----------
    values : ndarray of float32, shape (room,)
        Written from `found` on.
    places : ndarray of int64, shape (room,)
        Written alike: the position of each, row times columns plus column.
    found : int
        How many there are already.
    scores : ndarray of float32, shape (rows, columns)
    row : int
        Which of these rows to begin with.
    first : int
        Number of the first of them.
    threshold : float32

    Returns
    -------
    found, row : int
        How many there are then, and the first row that has not been looked at for want of room.
    """
    rows, columns = scores.shape
    while row < rows and found + columns <= values.size:
        base = (first + row) * columns
        for j in range(columns):
            if scores[row, j] > threshold:
                values[found] = scores[row, j]
                places[found] = base + j
                found += 1
        row += 1
    return found, row


@parallel_jit
def merge_rows(new_indices, source, new_indptr, indptr, indices, keep, grown, starts):
    """Write the entries of a pattern that stay and new ones, in the order of their columns.

    Parameters
    ----------
    new_indices : ndarray of unsigned int, shape (new_nnz,)
        Written.
    source : ndarray of int32, shape (new_nnz,)
        Written: the old place of each entry, -1 for a new one.
    new_indptr, indptr : ndarray of int64, shape (rows + 1,)
    indices : ndarray of unsigned int, shape (nnz,)
    keep : ndarray of bool, shape (nnz,)
    grown : ndarray of unsigned int, shape (n,)
        Columns of the new entries, row by row and increasing in a row; none is that of an entry that stays.
    starts : ndarray of int64, shape (rows + 1,)
        Where each row begins in `grown`.
    """
    for i in prange(indptr.size - 1):
        p, g = indptr[i], starts[i]
        p_end, g_end = indptr[i + 1], starts[i + 1]
        for k in range(new_indptr[i], new_indptr[i + 1]):
            while p < p_end and not keep[p]:
                p += 1
            if g == g_end or (p < p_end and indices[p] < grown[g]):
                new_indices[k] = indices[p]
                source[k] = p
                p += 1
            else:
                new_indices[k] = grown[g]
                source[k] = -1
                g += 1
