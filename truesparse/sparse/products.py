"""Products of a layer's matrices with panels, each cut into tiles that fit a cache."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from truesparse.kernels.buffers import aligned_zeros
from truesparse.kernels.sddmm import sddmm
from truesparse.kernels.spmm import spmm, spmm_transposed
from truesparse.kernels.threads import thread_count
from truesparse.sparse.matrix import SparseMatrix

_L1_BYTES = 40 * 1024  # of the rows of a panel that a product reads at a time, in an L1 cache of 48 KB
_L2_BYTES = 640 * 1024  # the same in an L2 cache of 1 MB
_L1_DENSITY = 0.08  # below it the few nonzeros of a row in an L1 tile do not make up for the tile's loop
_FEWEST_LANES = 64  # with fewer, a nonzero is too little work for the cache to be the roof
_BAND_BYTES = 128 * 1024  # of the nonzeros of a band of rows in one L1 tile: they stay in L2
_NONZERO_BYTES = 6
_MOST_PARTS = 8
_IDLE = 0.1  # of the work, while the last of some equal tasks are done
_NO_BIAS = aligned_zeros(0)


def tile_features(features: int, weight: SparseMatrix, lanes: int, reused: bool = True) -> int:
    """Rows of a panel that a product reads at a time.

    Parameters
    ----------
    features : int
        Rows of the panel.
    weight : SparseMatrix
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
    # An L2 cache feeds the multiply-adds of a whole group fast enough.
    if weight.group == 1 and reused and weight.density >= _L1_DENSITY and lanes >= _FEWEST_LANES:
        return min(features, _L1_BYTES // (4 * lanes))
    tiles = -(-features * lanes * 4 // _L2_BYTES)
    return -(-features // tiles)


def _band(rows: int, features: int, weight: SparseMatrix, tile: int) -> int:
    """Rows, or groups, that take all tiles and panels before the next ones do."""
    if weight.group > 1 or tile == features or weight.density < _L1_DENSITY:
        return rows
    return max(16, int(_BAND_BYTES / (_NONZERO_BYTES * tile * weight.density)))


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
        The first row, if `y` has fewer than the weight; see `SparseMatrix.whole_groups`.
    """
    columns, lanes, g = weight.shape[1], x.shape[2], weight.group
    last = first + y.shape[1]
    tile = tile_features(columns, weight, lanes)
    tiles = weight.column_tiles(tile)[first // g : last // g]
    arrays = tiles, weight.indptr[first // g : last // g + 1], weight.indices, weight.data
    band = _band(len(tiles), columns, weight, tile)
    spmm(lanes, g)(y, *arrays, x, bias[first:last], *weight.row_steps, band, thread_count())


def multiply_transposed(dx: NDArray[np.float32], weight: SparseMatrix, dy: NDArray[np.float32]) -> None:
    """Write the gradient of the input of ``y = W x``, ``dx = W^T dy``.

    Parameters
    ----------
    dx : ndarray of float32, shape (panels, columns, lanes)
    weight : SparseMatrix, shape (rows, columns)
    dy : ndarray of float32, shape (panels, rows, lanes)
    """
    (rows, columns), lanes = weight.shape, dy.shape[2]
    if weight.group == 1:
        tile = tile_features(rows, weight, lanes)
        by_column = weight.transposed(tile)
        csr = by_column.indptr, by_column.indices, by_column.data
        band = _band(columns, rows, weight, tile)
        spmm(lanes)(dx, by_column.tiles, *csr, dy, _NO_BIAS, 1, columns, band, thread_count())
    else:
        parts = _parts_of_panel(dx.shape[0], thread_count())
        tile = min(tile_features(columns, weight, lanes), -(-columns // parts))
        tiles, run = weight.column_tiles(tile), spmm_transposed(lanes, weight.group)
        run(dx, tiles, weight.indices, weight.data, dy, *weight.row_steps, tile)


def add_gradient(weight: SparseMatrix, dy: NDArray[np.float32], x: NDArray[np.float32]) -> None:
    """Add the gradient of ``y = W x`` to that of `weight`.

    Parameters
    ----------
    weight : SparseMatrix, shape (rows, columns)
    dy : ndarray of float32, shape (panels, rows, lanes)
    x : ndarray of float32, shape (panels, columns, lanes)
    """
    columns, lanes = weight.shape[1], x.shape[2]
    tile = tile_features(columns, weight, lanes, x.shape[0] > 1)
    tiles = weight.column_tiles(tile)
    arrays = weight.grad, tiles, weight.indptr, weight.indices
    band = _band(len(tiles), columns, weight, tile)
    sddmm(lanes, weight.group)(*arrays, dy, x, *weight.row_steps, band, thread_count())


def _parts_of_panel(panels: int, threads: int) -> int:
    """Into how many tasks each panel is cut, so that threads finish together: few, as each one goes through
    all of a matrix."""
    for parts in range(1, _MOST_PARTS):
        tasks = panels * parts
        if -(-tasks // threads) * threads <= (1 + _IDLE) * tasks:
            return parts
    return _MOST_PARTS
