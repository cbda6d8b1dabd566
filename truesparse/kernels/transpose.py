"""Derived indices of a CSR pattern: its columns, by counting sort, and where tiles begin in its rows."""

from __future__ import annotations

import numpy as np

from truesparse.kernels.jit import parallel_jit, prange, threads


def transpose_index(t_indptr, t_indices, positions, indptr, indices, tile_rows):
    """Build the index by columns of a pattern given by rows.

    Parameters
    ----------
    t_indptr : ndarray of int64, shape (cols + 1,)
        Written: column `j` owns the entries `t_indptr[j]` to `t_indptr[j + 1]`.
    t_indices : ndarray of unsigned int, shape (nnz,)
        Written: row of each entry, increasing within a column.
    positions : ndarray of int32, shape (nnz,)
        Written: place of each entry in the order by rows.
    indptr : ndarray of int64, shape (rows + 1,)
    indices : ndarray of unsigned int, shape (nnz,)
    tile_rows : int
        Contiguous rows in a tile, at least 1; the last tile may be shorter.

    Returns
    -------
    ndarray of int32, shape (cols, n_tiles + 1)
        Bounds of every tile within every column.

    Notes
    -----
    Allocates 4 bytes per column and chunk of rows, with about as many chunks as there are tiles or threads.
    Every chunk counts and then fills its own part of every column, so the result is the same for any number
    of threads.
    """
    rows, cols = indptr.size - 1, t_indptr.size - 1
    tiles = -(-rows // tile_rows)
    chunks_per_tile = min(-(-threads.thread_count() // tiles), tile_rows)
    firsts = np.arange(tiles)[:, None] * tile_rows + np.arange(chunks_per_tile) * tile_rows // chunks_per_tile
    bounds = np.minimum(np.append(firsts.ravel(), rows), rows)
    cursors = np.zeros((bounds.size - 1, cols), dtype=np.int32)
    _count_and_fill(t_indptr, t_indices, positions, cursors, indptr, indices, bounds)
    # Each cursor has come to rest where the next chunk of its column begins.
    ends = cursors[chunks_per_tile - 1 :: chunks_per_tile]
    return np.vstack((t_indptr[:-1].astype(np.int32), ends)).T.copy()


@parallel_jit
def _count_and_fill(t_indptr, t_indices, positions, cursors, indptr, indices, bounds):
    chunks, cols = cursors.shape
    for chunk in prange(chunks):
        count = cursors[chunk]
        for p in range(indptr[bounds[chunk]], indptr[bounds[chunk + 1]]):
            count[indices[p]] += 1
    start = 0
    for j in range(cols):
        t_indptr[j] = start
        for chunk in range(chunks):
            count_here = cursors[chunk, j]
            cursors[chunk, j] = start
            start += count_here
    t_indptr[cols] = start
    for chunk in prange(chunks):
        cursor = cursors[chunk]
        for i in range(bounds[chunk], bounds[chunk + 1]):
            for p in range(indptr[i], indptr[i + 1]):
                j = indices[p]
                q = cursor[j]
                cursor[j] = q + 1
                t_indices[q] = i
                positions[q] = p


@parallel_jit
def column_tiles(tiles, indptr, indices, tile_columns):
    """Find where each tile of contiguous columns begins in each row.

    Parameters
    ----------
    tiles : ndarray of int32, shape (rows, n_tiles + 1)
        Written: row `i` has its entries of tile `t` from `tiles[i, t]` to `tiles[i, t + 1]`.
    indptr : ndarray of int64, shape (rows + 1,)
    indices : ndarray of unsigned int, shape (nnz,)
        Increasing within a row.
    tile_columns : int
        Columns of a tile, at least 1; the last tile may be narrower.
    """
    rows, ends = tiles.shape
    for i in prange(rows):
        p = indptr[i]
        for tile in range(ends - 1):
            tiles[i, tile] = p
            while p < indptr[i + 1] and indices[p] < (tile + 1) * tile_columns:
                p += 1
        tiles[i, ends - 1] = indptr[i + 1]
