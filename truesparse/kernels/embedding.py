"""Lookup of sparse embedding rows into panels, and the gradient of the rows that were looked up."""

from __future__ import annotations

from functools import cache

import numpy as np

from truesparse.kernels.jit import parallel_jit, prange
from truesparse.simd import at, vbroadcast, vstore

_ZERO = np.float32(0)


@cache
def embedding_forward(n: int):
    """Return the kernel ``x[p, :, lane] = W[ids[p, lane]]`` for panels of `n` lanes.

    The kernel takes
    ``x`` : float32 `[panels, columns, n]`, overwritten;
    ``indptr, indices, data`` : CSR arrays of W `[vocabulary, columns]`;
    ``group`` : int, how many rows share an entry of the index, each with a value of its own; 1 for plain CSR;
    ``ids`` : int32 `[panels, n]`; a lane with id -1 becomes zero.

    Notes
    -----
    Costs the panels' size in stores plus one scattered store a nonzero. One task is 16 lanes, a cache line of
    every row.
    """
    piece = min(n, 16)

    @parallel_jit
    def embedding_forward_kernel(x, indptr, indices, data, group, ids):
        panels, columns = x.shape[0], x.shape[1]
        flat = x.reshape(-1)
        pieces = n // piece
        for task in prange(panels * pieces):
            panel = task // pieces
            first = (task - panel * pieces) * piece
            base = panel * columns * n
            for column in range(columns):
                vstore(x, base + column * n + first, vbroadcast(_ZERO, piece))
            for lane in range(first, first + piece):
                word = ids[panel, lane]
                if word >= 0:
                    row = word // group
                    member = word - row * group
                    for k in range(indptr[row], indptr[row + 1]):
                        value = at(data, k * group + member)
                        flat[np.uintp(base + np.intp(at(indices, k)) * n + lane)] = value

    return embedding_forward_kernel


@cache
def embedding_backward(n: int):
    """Return the kernel ``grad[k of row ids[p, lane]] += dx[p, column_k, lane]`` for panels of `n` lanes.

    The kernel takes
    ``grad`` : float32 `[nnz]`, added to in place;
    ``indptr, indices, group`` : as in `embedding_forward`;
    ``ids`` : int32 `[panels, n]`, -1 for an unused lane;
    ``dx`` : float32 `[panels, columns, n]`;
    ``shares`` : int, tasks. A task takes the words of one remainder modulo `shares`, so that no two add to
    the same row; the order of addition is that of the lanes, whatever their number.
    """

    @parallel_jit
    def embedding_backward_kernel(grad, indptr, indices, group, ids, dx, shares):
        panels, columns = dx.shape[0], dx.shape[1]
        flat = dx.reshape(-1)
        for share in prange(shares):
            for panel in range(panels):
                base = panel * columns * n
                for lane in range(n):
                    word = ids[panel, lane]
                    if word >= 0 and word % shares == share:
                        row = word // group
                        member = word - row * group
                        for k in range(indptr[row], indptr[row + 1]):
                            place = np.uintp(k * group + member)
                            grad[place] += at(flat, base + np.intp(at(indices, k)) * n + lane)

    return embedding_backward_kernel
