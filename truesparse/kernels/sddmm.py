"""Gradient of a sparse matrix: the sampled dense-dense product, at stored positions only."""

from __future__ import annotations

from functools import cache

import numpy as np

from truesparse.kernels.jit import inline_jit, parallel_jit, prange
from truesparse.kernels.rows import share_start
from truesparse.simd import at, prefetch, vdot16, vload, vload_like, vstore, vsum, vsum8

_AHEAD = 4  # rows


@inline_jit
def _product(g, k, indices, x, base, stride):
    """16 partial sums of the product of `g` with row indices[k] of a panel."""
    return vdot16(g, vload_like(x, base + np.intp(at(indices, k)) * stride, g))


@cache
def sddmm(n: int):
    """Return the kernel ``grad[k] += sum over panels and lanes of dy[p, row_k] x[p, column_k]`` for panels of
    `n` lanes.

    The kernel takes
    ``grad`` : float32 `[nnz]`, added to in place;
    ``tiles`` : int32 `[rows, n_tiles + 1]`, where the entries of each tile of columns begin in each row (see
    `SparseMatrix.column_tiles`);
    ``indptr, indices`` : CSR index of the matrix, shape `[rows, columns]`;
    ``dy`` : float32 `[panels, rows, n]`;
    ``x`` : float32 `[panels, columns, n]`;
    ``block`` : int, rows that take all tiles and panels before the next ones do;
    ``shares`` : int, tasks (the number of threads), cut so that each has as many nonzeros.

    Notes
    -----
    2 nnz n floating-point operations a panel. Tiles and blocks as in `spmm`: the gradients of a block's
    nonzeros in one tile stay in the L2 cache while the panels go by. The short segments of a tile are
    prefetched, because no hardware prefetcher follows them. The row of ``dy`` stays in registers; eight
    nonzeros at a time are reduced by one shuffle tree. Each entry is summed by one thread, panel by panel:
    the result depends neither on `block` nor on the number of threads.
    """

    @parallel_jit
    def sddmm_kernel(grad, tiles, indptr, indices, dy, x, block, shares):
        panels, rows = dy.shape[0], dy.shape[1]
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
                        dy_base = panel * rows * n
                        for i in range(first, last):
                            later = min(i + _AHEAD, rows - 1)
                            ahead = np.intp(at(tiles, later * ends + tile))
                            prefetch(indices, ahead)
                            prefetch(grad, ahead)
                            prefetch(grad, ahead + 16)
                            for lane in range(0, n, 16):
                                prefetch(dy, dy_base + later * n + lane)
                            g = vload(dy, dy_base + i * n, n)
                            k = np.intp(at(tiles, i * ends + tile))
                            end = np.intp(at(tiles, i * ends + tile + 1))
                            while k + 7 < end:
                                a = _product(g, k, indices, x, x_base, n)
                                b = _product(g, k + 1, indices, x, x_base, n)
                                c = _product(g, k + 2, indices, x, x_base, n)
                                d = _product(g, k + 3, indices, x, x_base, n)
                                e = _product(g, k + 4, indices, x, x_base, n)
                                f = _product(g, k + 5, indices, x, x_base, n)
                                o = _product(g, k + 6, indices, x, x_base, n)
                                h = _product(g, k + 7, indices, x, x_base, n)
                                vstore(grad, k, vsum8(a, b, c, d, e, f, o, h) + vload(grad, k, 8))
                                k += 8
                            while k < end:
                                grad[np.uintp(k)] += vsum(_product(g, k, indices, x, x_base, n))
                                k += 1

    return sddmm_kernel


@cache
def row_sums(n: int):
    """Return the kernel ``grad[i] += sum over panels and lanes of dy[p, i]``: the gradient of a bias, for
    panels of `n` lanes.

    The kernel takes ``grad`` : float32 `[rows]`, added to in place; ``dy`` : float32 `[panels, rows, n]`;
    ``shares`` : int, tasks.
    """

    @parallel_jit
    def row_sums_kernel(grad, dy, shares):
        panels, rows = dy.shape[0], dy.shape[1]
        for share in prange(shares):
            for i in range(rows * share // shares, rows * (share + 1) // shares):
                total = vload(dy, i * n, n)
                for panel in range(1, panels):
                    total = total + vload(dy, (panel * rows + i) * n, n)
                grad[np.uintp(i)] += vsum(total)

    return row_sums_kernel
