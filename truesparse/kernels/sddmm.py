"""Gradient of a sparse matrix: the sampled dense-dense product, at stored positions only.

Panels and groups of rows as in `truesparse.kernels.spmm`.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from truesparse.kernels.jit import parallel_jit, prange
from truesparse.kernels.rows import prefetch_connections, prefetch_rows, share_bounds
from truesparse.kernels.spmm import piece_lanes
from truesparse.simd import at, gadd_dots, gdot8, gload, vload, vload_like, vstore, vsum

_AHEAD = 4  # rows
_GROUP_LANES = 320  # narrower pieces would have to be summed across lanes too often


@cache
def sddmm(n: int, g: int = 1):
    """Return the kernel ``grad[k, m] += sum over panels and lanes of dy[p, row(i_k, m)] x[p, column_k]`` for
    panels of `n` lanes and groups of `g` rows.

    The kernel takes
    ``grad`` : float32 `[nnz]`, added to in place;
    ``tiles`` : int32 `[groups, n_tiles + 1]`, where the connections of each tile of columns begin in each
    group (see `SparseMatrix.column_tiles`);
    ``indptr, indices`` : CSR index of the matrix, shape `[rows, columns]`, over groups;
    ``dy`` : float32 `[panels, rows, n]`;
    ``x`` : float32 `[panels, columns, n]`;
    ``row_step, member_step, band, span, shares`` : as in `truesparse.kernels.spmm.spmm`.

    Notes
    -----
    2 nnz n floating-point operations a panel. Tiles, bands and spans as in `spmm`. The short segments of a
    tile are prefetched, because no hardware prefetcher follows them. The rows of a group of ``dy`` stay in
    registers, and one load of a row of ``x`` serves them all; where `g` divides 8, the sums of 8 / g
    connections at a time are reduced by one shuffle tree. Each entry is summed by one thread, panel by
    panel: the result depends neither on tiles, `band` and `span` nor on the number of threads.
    """
    piece = piece_lanes(n, g, _GROUP_LANES)
    together = 8 // g if 8 % g == 0 else 0

    @parallel_jit
    def sddmm_kernel(grad, tiles, indptr, indices, dy, x, row_step, member_step, band, span, shares):
        panels, rows, groups = dy.shape[0], dy.shape[1], tiles.shape[0]
        columns = x.shape[1]
        ends = tiles.shape[1]
        for share in prange(shares):
            start, stop = share_bounds(indptr, groups, 1, share, shares)
            for bundle in range(0, panels, span):
                for first in range(start, stop, band):
                    last = min(first + band, stop)
                    for tile in range(ends - 1):
                        for panel in range(bundle, min(bundle + span, panels)):
                            x_base = panel * columns * n
                            y_base = panel * rows * n
                            for i in range(first, last):
                                later = min(i + _AHEAD, groups - 1)
                                ahead = np.intp(at(tiles, later * ends + tile))
                                prefetch_connections(indices, grad, ahead, g)
                                prefetch_rows(dy, y_base + later * row_step * n, member_step * n, g, n)
                                end = np.intp(at(tiles, i * ends + tile + 1))
                                row = i if g == 1 else i * row_step
                                for lane in range(0, n, piece):
                                    base = x_base + lane
                                    place = y_base + row * n + lane
                                    group = gload(dy, place, member_step * n, g, piece)
                                    k = np.intp(at(tiles, i * ends + tile))
                                    while together > 0 and k + together <= end:
                                        sums = gdot8(group, x, base, n, indices, k)
                                        vstore(grad, k * g, sums + vload(grad, k * g, 8))
                                        k += together
                                    while k < end:
                                        column = base + np.intp(at(indices, k)) * n
                                        gadd_dots(grad, k * g, group, vload_like(x, column, group[0]))
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
