"""Products of a layer's matrices with panels, each cut into tiles that fit a cache."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from truesparse.kernels.buffers import aligned_zeros
from truesparse.kernels.grouped import grouped_sddmm, grouped_spmm, grouped_spmm_transposed
from truesparse.kernels.sddmm import sddmm
from truesparse.kernels.spmm import spmm
from truesparse.kernels.threads import thread_count
from truesparse.sparse.matrix import SparseMatrix

_L1_BYTES = 40 * 1024  # of the rows of a panel that a product reads at a time, in an L1 cache of 48 KB
_L2_BYTES = 640 * 1024  # the same in an L2 cache of 1 MB
_L1_DENSITY = 0.08  # below it the few nonzeros of a row in an L1 tile do not make up for the tile's loop
_FEWEST_LANES = 64  # with fewer, a nonzero is too little work for the cache to be the roof
_BLOCK_BYTES = 128 * 1024  # of the nonzeros of a block of rows in one L1 tile: they stay in L2
_NONZERO_BYTES = 6
_MOST_PARTS = 8
_IDLE = 0.1  # of the work, while the last of some equal tasks are done
_NO_BIAS = aligned_zeros(0)


def tile_features(features: int, density: float, lanes: int, reused: bool = True) -> int:
    """Rows of a panel that a product reads at a time.

    Parameters
    ----------
    features : int
        Rows of the panel.
    density : float
        Of the matrix.
    lanes : int
        Columns of the panel.
    reused : bool, optional
        Whether what belongs to the tile's nonzeros is in cache when they are needed: then they may come in
        short segments, as in an L1 tile.

    Returns
    -------
    int
        At most `features`.
    """
    if reused and density >= _L1_DENSITY and lanes >= _FEWEST_LANES:
        return min(features, _L1_BYTES // (4 * lanes))
    tiles = -(-features * lanes * 4 // _L2_BYTES)
    return -(-features // tiles)


def _block(rows: int, features: int, weight: SparseMatrix, tile: int) -> int:
    """Rows that take all tiles and panels before the next ones do."""
    if tile == features or weight.density < _L1_DENSITY:
        return rows
    return max(16, int(_BLOCK_BYTES / (_NONZERO_BYTES * tile * weight.density)))


def multiply(
    y: NDArray[np.float32],
    weight: SparseMatrix,
    x: NDArray[np.float32],
    bias: NDArray[np.float32],
    first: int = 0,
) -> None:
    """Write ``y = W x + bias``, or some rows of it.

    Parameters
    ----------
    y : ndarray of float32, shape (panels, rows, lanes)
    weight : SparseMatrix, shape (rows, columns)
    x : ndarray of float32, shape (panels, columns, lanes)
    bias : ndarray of float32, shape (rows,)
    first : int
        The first row, if `y` has fewer than the weight. Rows in groups: only whole groups of neighbours.
    """
    rows, columns, lanes = y.shape[1], weight.shape[1], x.shape[2]
    last = first + rows
    if weight.group > 1:
        _multiply_grouped(y, weight, x, bias[first:last], first)
        return
    tile = tile_features(columns, weight.density, lanes)
    tiles, indptr = weight.column_tiles(tile)[first:last], weight.indptr[first : last + 1]
    block = _block(rows, columns, weight, tile)
    spmm(lanes)(y, tiles, indptr, weight.indices, weight.data, x, bias[first:last], block, thread_count())


def multiply_transposed(dx: NDArray[np.float32], weight: SparseMatrix, dy: NDArray[np.float32]) -> None:
    """Write the gradient of the input of ``y = W x``, ``dx = W^T dy``.

    Parameters
    ----------
    dx : ndarray of float32, shape (panels, columns, lanes)
    weight : SparseMatrix, shape (rows, columns)
    dy : ndarray of float32, shape (panels, rows, lanes)
    """
    (rows, columns), lanes = weight.shape, dy.shape[2]
    if weight.group > 1:
        _multiply_transposed_grouped(dx, weight, dy)
        return
    tile = tile_features(rows, weight.density, lanes)
    by_column = weight.transposed(tile)
    block = _block(columns, rows, weight, tile)
    spmm(lanes)(
        dx,
        by_column.tiles,
        by_column.indptr,
        by_column.indices,
        by_column.data,
        dy,
        _NO_BIAS,
        block,
        thread_count(),
    )


def add_gradient(weight: SparseMatrix, dy: NDArray[np.float32], x: NDArray[np.float32]) -> None:
    """Add the gradient of ``y = W x`` to that of `weight`.

    Parameters
    ----------
    weight : SparseMatrix, shape (rows, columns)
    dy : ndarray of float32, shape (panels, rows, lanes)
    x : ndarray of float32, shape (panels, columns, lanes)
    """
    (rows, columns), lanes = weight.shape, x.shape[2]
    if weight.group > 1:
        _add_gradient_grouped(weight, dy, x)
        return
    tile = tile_features(columns, weight.density, lanes, x.shape[0] > 1)
    tiles = weight.column_tiles(tile)
    block = _block(rows, columns, weight, tile)
    sddmm(lanes)(weight.grad, tiles, weight.indptr, weight.indices, dy, x, block, thread_count())


def _grouped_tile(columns: int, lanes: int) -> int:
    """Rows of a panel that a product with a grouped matrix reads at a time: they stay in an L2 cache, which
    feeds g multiply-adds a load fast enough."""
    return -(-columns // -(-columns * lanes * 4 // _L2_BYTES))


def _parts_of_panel(panels: int, threads: int) -> int:
    """Into how many tasks each panel is cut, so that threads finish together: few, as each one goes through
    all of a matrix."""
    for parts in range(1, _MOST_PARTS):
        tasks = panels * parts
        if -(-tasks // threads) * threads <= (1 + _IDLE) * tasks:
            return parts
    return _MOST_PARTS


def _multiply_grouped(
    y: NDArray[np.float32],
    weight: SparseMatrix,
    x: NDArray[np.float32],
    bias: NDArray[np.float32],
    first: int,
) -> None:
    columns, lanes, group = weight.shape[1], x.shape[2], weight.group
    groups = slice(first // group, (first + y.shape[1]) // group)
    tiles = weight.column_tiles(_grouped_tile(columns, lanes))[groups]
    indptr = weight.indptr[groups.start : groups.stop + 1]
    arrays = tiles, indptr, weight.indices, weight.data
    grouped_spmm(lanes, group)(y, *arrays, x, bias, *weight.row_steps, len(tiles), thread_count())


def _multiply_transposed_grouped(
    dx: NDArray[np.float32], weight: SparseMatrix, dy: NDArray[np.float32]
) -> None:
    columns, lanes = weight.shape[1], dy.shape[2]
    tile = min(_grouped_tile(columns, lanes), -(-columns // _parts_of_panel(dx.shape[0], thread_count())))
    tiles = weight.column_tiles(tile)
    grouped_spmm_transposed(lanes, weight.group)(
        dx, tiles, weight.indices, weight.data, dy, *weight.row_steps, tile
    )


def _add_gradient_grouped(weight: SparseMatrix, dy: NDArray[np.float32], x: NDArray[np.float32]) -> None:
    lanes = x.shape[2]
    tiles = weight.column_tiles(_grouped_tile(weight.shape[1], lanes))
    arrays = tiles, weight.indptr, weight.indices
    grouped_sddmm(lanes, weight.group)(
        weight.grad, *arrays, dy, x, *weight.row_steps, len(tiles), thread_count()
    )
