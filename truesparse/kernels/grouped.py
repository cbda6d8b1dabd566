"""Products of a grouped matrix with panels: one column index serves the values of all rows of a group.

A matrix of `g` rows a group has an index over its groups of rows, `[groups of rows, columns]`, and `g` values
a connection, `data[connections, g]`. Member m of group i is row ``i row_step + m member_step``: the gates of
a unit lie ``H`` rows apart, neighbouring words 1. Panels are those of `truesparse.kernels.spmm`.

One load of a row of a panel feeds `g` multiply-adds, so that with four rows a group the multiply-adds
themselves are the roof, not the cache that the rows come from.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from truesparse.kernels.jit import inline_jit, parallel_jit, prange
from truesparse.kernels.rows import share_start
from truesparse.simd import (
    at,
    gadd_dots,
    gbroadcast,
    gbroadcast_each,
    gdot,
    gdot8,
    gfma,
    gload,
    gstore,
    has_avx512,
    prefetch,
    vbroadcast,
    vload,
    vload_like,
    vstore,
)

_AHEAD = 4  # rows
_REGISTER_LANES = 320 if has_avx512() else 64  # of the sums of a group: 20 registers of 32, or 8 of 16
_GRADIENT_LANES = 320  # narrower pieces would have to be summed across lanes too often
_NARROWEST = 16
_ZERO = np.float32(0)


def piece_lanes(n: int, g: int, most: int = _REGISTER_LANES) -> int:
    """Lanes of a panel that a kernel takes at a time, so that those of a whole group fit the registers.

    Parameters
    ----------
    n : int
        Lanes of the panel.
    g : int
        Rows of a group.
    most : int
        Lanes of all rows together, unless a piece is as narrow as a register.

    Returns
    -------
    int
        Divides `n`.
    """
    parts = 1
    while n // parts * g > most and n // parts > _NARROWEST:
        parts += 1
        while n % parts:
            parts += 1
    return n // parts


@inline_jit
def _prefetch_connections(indices, values, k, g):
    """Ask for connection `k` ahead of its use: its index, and its values and the cache line after them."""
    prefetch(indices, k)
    prefetch(values, k * g)
    prefetch(values, k * g + 16)


@inline_jit
def _prefetch_rows(panel, offset, step, g, n):
    """Ask for the `g` rows of a group, `n` elements each and `step` elements apart, ahead of their use."""
    for member in range(g):
        for lane in range(0, n, 16):
            prefetch(panel, offset + member * step + lane)


@cache
def grouped_spmm(n: int, g: int):
    """Return the kernel ``y[p] = W x[p] + bias`` for panels of `n` lanes and groups of `g` rows.

    The kernel takes
    ``y`` : float32 `[panels, rows, n]`, modified in place;
    ``tiles`` : int32 `[rows / g, n_tiles + 1]`, where the connections of each tile of columns begin in each
    group;
    ``indptr, indices, data`` : grouped CSR arrays of W;
    ``x`` : float32 `[panels, columns, n]`;
    ``bias`` : float32 `[rows]`, or `[0]` for none;
    ``row_step, member_step`` : int, where the rows of a group lie;
    ``block`` : int, groups that take all tiles and panels before the next ones do;
    ``shares`` : int, tasks (the number of threads), cut so that each has as many connections.

    Notes
    -----
    2 g n floating-point operations a connection and panel. See `truesparse.kernels.spmm.spmm` for tiles and
    blocks. Each row is summed by one thread in a fixed order, which does not depend on `block` and `shares`.
    """
    piece = piece_lanes(n, g)

    @parallel_jit
    def grouped_spmm_kernel(y, tiles, indptr, indices, data, x, bias, row_step, member_step, block, shares):
        panels, rows, groups = y.shape[0], y.shape[1], tiles.shape[0]
        columns = x.shape[1]
        ends = tiles.shape[1]
        for share in prange(shares):
            start = share_start(indptr, groups, 1, share, shares)
            stop = share_start(indptr, groups, 1, share + 1, shares)
            for first in range(start, stop, block):
                last = min(first + block, stop)
                for tile in range(ends - 1):
                    for panel in range(panels):
                        x_base = panel * columns * n
                        y_base = panel * rows * n
                        for i in range(first, last):
                            ahead = np.intp(at(tiles, min(i + _AHEAD, groups - 1) * ends + tile))
                            _prefetch_connections(indices, data, ahead, g)
                            begin = np.intp(at(tiles, i * ends + tile))
                            end = np.intp(at(tiles, i * ends + tile + 1))
                            row = i * row_step
                            for lane in range(0, n, piece):
                                place = y_base + row * n + lane
                                if tile > 0:
                                    total = gload(y, place, member_step * n, g, piece)
                                elif bias.size > 0:
                                    total = gbroadcast_each(bias, row, member_step, g, piece)
                                else:
                                    total = gbroadcast(_ZERO, g, piece)
                                for k in range(begin, end):
                                    column = x_base + np.intp(at(indices, k)) * n + lane
                                    total = gfma(total, data, k * g, vload(x, column, piece))
                                gstore(y, place, member_step * n, total)

    return grouped_spmm_kernel


@cache
def grouped_spmm_transposed(n: int, g: int):
    """Return the kernel ``dx[p] = W^T dy[p]`` for panels of `n` lanes and groups of `g` rows.

    The kernel takes
    ``dx`` : float32 `[panels, columns, n]`, overwritten;
    ``tiles`` : int32 `[rows / g, n_tiles + 1]`, where the connections of each tile of columns begin in each
    group;
    ``indices, data`` : grouped CSR arrays of W;
    ``dy`` : float32 `[panels, rows, n]`;
    ``row_step, member_step`` : int, where the rows of a group lie;
    ``tile_columns`` : int, columns of a tile.

    Notes
    -----
    A scatter: the rows of a group of ``dy`` stay in registers and their sum, weighted, is added to a row of
    ``dx`` for each connection, which takes neither an index by columns nor a copy of the values by columns. A
    task is one tile of the columns in one panel, whose rows of ``dx`` stay in a cache. Each column is summed
    in the order of the groups, which depends neither on the tiles nor on the number of threads.
    """
    piece = piece_lanes(n, g)

    @parallel_jit
    def grouped_spmm_transposed_kernel(dx, tiles, indices, data, dy, row_step, member_step, tile_columns):
        panels, columns = dx.shape[0], dx.shape[1]
        rows, groups = dy.shape[1], tiles.shape[0]
        count = tiles.shape[1] - 1
        for task in prange(panels * count):
            tile = task // panels
            panel = task - tile * panels
            x_base = panel * columns * n
            y_base = panel * rows * n
            zero = vbroadcast(_ZERO, n)
            for j in range(tile * tile_columns, min((tile + 1) * tile_columns, columns)):
                vstore(dx, x_base + j * n, zero)
            for i in range(groups):
                later = min(i + _AHEAD, groups - 1)
                ahead = np.intp(at(tiles, later * (count + 1) + tile))
                _prefetch_connections(indices, data, ahead, g)
                _prefetch_rows(dy, y_base + later * row_step * n, member_step * n, g, n)
                begin = np.intp(at(tiles, i * (count + 1) + tile))
                end = np.intp(at(tiles, i * (count + 1) + tile + 1))
                for lane in range(0, n, piece):
                    group = gload(dy, y_base + i * row_step * n + lane, member_step * n, g, piece)
                    for k in range(begin, end):
                        place = x_base + np.intp(at(indices, k)) * n + lane
                        vstore(dx, place, gdot(vload(dx, place, piece), data, k * g, group))

    return grouped_spmm_transposed_kernel


@cache
def grouped_sddmm(n: int, g: int):
    """Return the kernel ``grad[k, m] += sum over panels and lanes of dy[p, row(i_k, m)] x[p, column_k]`` for
    panels of `n` lanes and groups of `g` rows: the gradient of a grouped matrix.

    The kernel takes
    ``grad`` : float32 `[connections g]`, added to in place;
    ``tiles, indptr, indices`` : grouped CSR index, as in `grouped_spmm`;
    ``dy`` : float32 `[panels, rows, n]`;
    ``x`` : float32 `[panels, columns, n]`;
    ``row_step, member_step, block, shares`` : as in `grouped_spmm`.

    Notes
    -----
    The rows of a group of ``dy`` stay in registers, and one load of a row of ``x`` serves them all. Where `g`
    divides 8, the sums of 8 / g connections are reduced by one shuffle tree. Each entry is summed by one
    thread, panel by panel: the result depends neither on `block` nor on the number of threads.
    """
    piece = piece_lanes(n, g, _GRADIENT_LANES)
    together = 8 // g if 8 % g == 0 else 0

    @parallel_jit
    def grouped_sddmm_kernel(grad, tiles, indptr, indices, dy, x, row_step, member_step, block, shares):
        panels, rows, groups = dy.shape[0], dy.shape[1], tiles.shape[0]
        columns = x.shape[1]
        ends = tiles.shape[1]
        for share in prange(shares):
            start = share_start(indptr, groups, 1, share, shares)
            stop = share_start(indptr, groups, 1, share + 1, shares)
            for first in range(start, stop, block):
                last = min(first + block, stop)
                for tile in range(ends - 1):
                    for panel in range(panels):
                        x_base = panel * columns * n
                        y_base = panel * rows * n
                        for i in range(first, last):
                            later = min(i + _AHEAD, groups - 1)
                            ahead = np.intp(at(tiles, later * ends + tile))
                            _prefetch_connections(indices, grad, ahead, g)
                            _prefetch_rows(dy, y_base + later * row_step * n, member_step * n, g, n)
                            end = np.intp(at(tiles, i * ends + tile + 1))
                            for lane in range(0, n, piece):
                                base = x_base + lane
                                place = y_base + i * row_step * n + lane
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

    return grouped_sddmm_kernel
