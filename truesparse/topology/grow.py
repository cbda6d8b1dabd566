"""Grow rules: where new entries of a matrix come.

A rule is a function `(matrix, keep, count, rng) -> Rewired`: given which entries of a `SparseMatrix` stay, it
adds `count` new ones at positions that are empty then. A position that was just dropped is empty and may come
back, as a new entry.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from truesparse.sparse.matrix import SparseMatrix
from truesparse.sparse.pattern import Pattern
from truesparse.sparse.rewiring import Rewired
from truesparse.topology.drop import Keep
from truesparse.topology.initial import draw_seed, row_quotas

GrowRule = Callable[[SparseMatrix, Keep, int, np.random.Generator], Rewired]


def random_positions(matrix: SparseMatrix, keep: Keep, count: int, rng: np.random.Generator) -> Rewired:
    """Grow `count` entries at positions drawn uniformly among all that are empty.

    Parameters
    ----------
    matrix : SparseMatrix
        Not modified.
    keep : ndarray of bool, shape (nnz,)
        Which of its entries stay.
    count : int
        How many entries to grow, at most as many as there are empty positions.
    rng : numpy.random.Generator
        The result is a function of its state, whatever the number of threads.

    Returns
    -------
    Rewired
        The survivors, in their old order, and the new entries with source -1.

    Raises
    ------
    UsageError
        If the empty positions are fewer than `count`, or more than 10**9.

    Notes
    -----
    The new entries of each row are a multivariate hypergeometric draw, the columns within a row a uniform
    one. 6 bytes per entry for the result; no array of the dense size.
    """
    from truesparse.kernels.topology import count_kept, grow_rows

    rows, cols = matrix.shape
    kept = np.empty(rows, dtype=np.int64)
    count_kept(kept, matrix.indptr, keep)
    indptr = np.zeros(rows + 1, dtype=np.int64)
    np.cumsum(kept + row_quotas(cols - kept, count, rng), out=indptr[1:])
    indices, source = grow_rows(indptr, matrix.indptr, matrix.indices, keep, cols, draw_seed(rng))
    return Rewired(Pattern(indptr, indices, matrix.shape), source)
