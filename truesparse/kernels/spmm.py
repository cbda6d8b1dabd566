"""Products of a sparse matrix with panels of dense columns; with the columns of a matrix, of its transpose.

A panel array has shape `[panels, features, n]`: `n` lanes (steps x batch) side by side, so that one nonzero
is one broadcast, multiply and add over a row of a panel. One 64-byte load per multiply-add makes the cache
that the rows come from the roof.

The rows of a matrix may come in groups of `g` that share their positions. Its index is then one over groups,
`[groups, columns]`, with `g` values a connection, `data[connections, g]`; member m of group i is row
``i row_step + m member_step`` (see `SparseMatrix.row_steps`). One load of a row of a panel feeds `g`
multiply-adds, so that with four rows a group the multiply-adds themselves are the roof.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from truesparse.kernels.jit import parallel_jit, prange
from truesparse.kernels.rows import (
    prefetch_connections,
    prefetch_rows,
    row_product,
    row_product_narrow,
    share_bounds,
)
from truesparse.simd import (
    at,
    gbroadcast,
    gbroadcast_each,
    gdot,
    gfma,
    gload,
    gstore,
    has_avx512,
    vbroadcast,
    vload,
    vstore,
)

_AHEAD = 4  # rows
_REGISTER_LANES = 320 if has_avx512() else 64  # of the sums of a group: 20 registers of 32, or 8 of 16
_NARROWEST = 16
_ZERO = np.float32(0)


def piece_lanes(n: int, g: int, most: int = _REGISTER_LANES) -> int:
    """Lanes of a panel that a kernel takes at a time, so that those of a whole group fit the registers.

    Parameters
    ----------
    n : int
        Lanes of the panel.
    g : int
        Rows of a group; one row is taken whole.
    most : int
        Lanes of all rows together, unless a piece is as narrow as a register.

    Returns
    -------
    int
        Divides `n`.
    """
    parts = 1
    while g > 1 and n // parts * g > most and n // parts > _NARROWEST:
        parts += 1
        while n % parts:
            parts += 1
    return n // parts


@cache
def spmm(n: int, g: int = 1):
    """Return the kernel ``y[p] = W x[p] + bias`` for panels of `n` lanes and groups of `g` rows.

    The kernel takes
    ``y`` : float32 `[panels, rows, n]`, modified in place;
    ``tiles`` : int32 `[groups, n_tiles + 1]`, where the connections of each tile of columns begin in each
    group (see `SparseMatrix.column_tiles` and `Transposed.tiles`);
    ``indptr, indices, data`` : CSR arrays of W, shape `[rows, columns]`, with an index over groups;
    ``x`` : float32 `[panels, columns, n]`;
    ``bias`` : float32 `[rows]`, or `[0]` for none;
    ``row_step, member_step`` : int, where the rows of a group lie;
    ``band, span`` : int, groups that take all tiles before the next ones do, and panels that each of these
    tiles takes before the next one does;
    ``shares`` : int, tasks (the number of threads), cut so that each has as many connections.

    Notes
    -----
    2 nnz n floating-point operations a panel. A tile's rows of ``x`` stay in L1 or L2, whichever they were
    cut for. With one panel at a time, ``x`` and the band's rows of ``y`` come from L2, and the nonzeros
    from farther away, each of which is worth n multiply-adds; with all panels at a time the nonzeros of a
    band stay in L2 and the panels come from farther away. Each row is summed by one thread in a fixed
    order, which depends neither on `band` nor on `span` nor on `shares`.
    """
    piece = piece_lanes(n, g)

    @parallel_jit
    def spmm_kernel(y, tiles, indptr, indices, data, x, bias, row_step, member_step, band, span, shares):
        panels, rows, groups = y.shape[0], y.shape[1], tiles.shape[0]
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
                                ahead = np.intp(at(tiles, min(i + _AHEAD, groups - 1) * ends + tile))
                                prefetch_connections(indices, data, ahead, g)
                                begin = np.intp(at(tiles, i * ends + tile))
                                end = np.intp(at(tiles, i * ends + tile + 1))
                                row = i if g == 1 else i * row_step
                                for lane in range(0, n, piece):
                                    place = y_base + row * n + lane
                                    if tile > 0:
                                        total = gload(y, place, member_step * n, g, piece)
                                    elif bias.size > 0:
                                        total = gbroadcast_each(bias, row, member_step, g, piece)
                                    else:
                                        total = gbroadcast(_ZERO, g, piece)
                                    if g > 1:
                                        for k in range(begin, end):
                                            column = x_base + np.intp(at(indices, k)) * n + lane
                                            total = gfma(total, data, k * g, vload(x, column, piece))
                                    elif n < 64:
                                        total = (
                                            row_product_narrow(
                                                total[0], begin, end, indices, data, x, x_base, n
                                            ),
                                        )
                                    else:
                                        total = (
                                            row_product(total[0], begin, end, indices, data, x, x_base, n),
                                        )
                                    gstore(y, place, member_step * n, total)

    return spmm_kernel


@cache
def spmm_transposed(n: int, g: int):
    """Return the kernel ``dx[p] = W^T dy[p]`` for panels of `n` lanes and groups of `g` rows.

    The kernel takes
    ``dx`` : float32 `[panels, columns, n]`, overwritten;
    ``tiles, indices, data`` : as in `spmm`;
    ``dy`` : float32 `[panels, rows, n]`;
    ``row_step, member_step`` : int, where the rows of a group lie;
    ``tile_columns`` : int, columns of a tile.

    Notes
    -----
    A scatter: the rows of a group of ``dy`` stay in registers and their sum, weighted, is added to a row of
    ``dx`` for each connection, which takes neither an index by columns nor a copy of the values by columns. A
    single row is too little work for a row of ``dx`` to be loaded and stored: there `spmm` goes through the
    columns. A task is one tile of the columns in one panel, whose rows of ``dx`` stay in a cache. Each column
    is summed in the order of the groups, which depends neither on the tiles nor on the number of threads.
    """
    piece = piece_lanes(n, g)

    @parallel_jit
    def spmm_transposed_kernel(dx, tiles, indices, data, dy, row_step, member_step, tile_columns):
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
                prefetch_connections(indices, data, ahead, g)
                prefetch_rows(dy, y_base + later * row_step * n, member_step * n, g, n)
                begin = np.intp(at(tiles, i * (count + 1) + tile))
                end = np.intp(at(tiles, i * (count + 1) + tile + 1))
                for lane in range(0, n, piece):
                    group = gload(dy, y_base + i * row_step * n + lane, member_step * n, g, piece)
                    for k in range(begin, end):
                        place = x_base + np.intp(at(indices, k)) * n + lane
                        vstore(dx, place, gdot(vload(dx, place, piece), data, k * g, group))

    return spmm_transposed_kernel
