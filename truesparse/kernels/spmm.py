"""Product of a sparse matrix with panels of dense columns; with the columns of a matrix, of its transpose.

A panel array has shape `[panels, features, n]`: `n` lanes (steps x batch) side by side, so that one nonzero
is one broadcast, multiply and add over a row of a panel. One 64-byte load per multiply-add makes the cache
that the rows come from the roof.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from truesparse.kernels.jit import parallel_jit, prange
from truesparse.kernels.rows import row_product, row_product_narrow, share_start
from truesparse.simd import at, prefetch, vbroadcast, vload, vstore

_AHEAD = 4  # rows
_ZERO = np.float32(0)


@cache
def spmm(n: int):
    """Return the kernel ``y[p] = W x[p] + bias`` for panels of `n` lanes.

    The kernel takes
    ``y`` : float32 `[panels, rows, n]`, modified in place;
    ``tiles`` : int32 `[rows, n_tiles + 1]`, where the entries of each tile of columns begin in each row (see
    `SparseMatrix.column_tiles` and `Transposed.tiles`);
    ``indptr, indices, data`` : CSR arrays of W, shape `[rows, columns]`;
    ``x`` : float32 `[panels, columns, n]`;
    ``bias`` : float32 `[rows]`, or `[0]` for none;
    ``block`` : int, rows that take all tiles and panels before the next ones do;
    ``shares`` : int, tasks (the number of threads), cut so that each has as many nonzeros.

    Notes
    -----
    2 nnz n floating-point operations a panel. While a block of rows goes through the panels, its nonzeros of
    one tile stay in the L2 cache and the tile's rows of ``x`` in L1 or L2, whichever they were cut for. Each
    row is summed by one thread in a fixed order, which does not depend on `block` and `shares`.
    """

    @parallel_jit
    def spmm_kernel(y, tiles, indptr, indices, data, x, bias, block, shares):
        panels, rows = y.shape[0], y.shape[1]
        columns = x.shape[1]
        ends = tiles.shape[1]
        for share in prange(shares):
            start = share_start(indptr, rows, 1, share, shares)
            stop = share_start(indptr, rows, 1, share + 1, shares)
            for first in range(start, stop, block):
                last = min(first + block, stop)
                for tile in range(ends - 1):
                    for panel in range(panels):
                        x_base = panel * columns * n
                        y_base = panel * rows * n
                        for i in range(first, last):
                            ahead = np.intp(at(tiles, min(i + _AHEAD, rows - 1) * ends + tile))
                            prefetch(indices, ahead)
                            prefetch(data, ahead)
                            prefetch(data, ahead + 16)
                            k = np.intp(at(tiles, i * ends + tile))
                            end = np.intp(at(tiles, i * ends + tile + 1))
                            place = y_base + i * n
                            if tile > 0:
                                total = vload(y, place, n)
                            elif bias.size > 0:
                                total = vbroadcast(at(bias, i), n)
                            else:
                                total = vbroadcast(_ZERO, n)
                            if n < 64:
                                total = row_product_narrow(total, k, end, indices, data, x, x_base, n)
                            else:
                                total = row_product(total, k, end, indices, data, x, x_base, n)
                            vstore(y, place, total)

    return spmm_kernel
