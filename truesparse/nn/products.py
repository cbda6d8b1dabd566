"""Products of a layer's matrices with panels, each cut into tiles that fit a cache."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from truesparse.kernels.buffers import aligned_zeros
from truesparse.kernels.sddmm import sddmm
from truesparse.kernels.spmm import spmm
from truesparse.kernels.threads import thread_count
from truesparse.sparse import SparseMatrix

_L1_BYTES = 40 * 1024  # of the rows of a panel that a product reads at a time, in an L1 cache of 48 KB
_L2_BYTES = 640 * 1024  # the same in an L2 cache of 1 MB
_L1_DENSITY = 0.08  # below it the few nonzeros of a row in an L1 tile do not make up for the tile's loop
_FEWEST_LANES = 64  # with fewer, a nonzero is too little work for the cache to be the roof
_BLOCK_BYTES = 128 * 1024  # of the nonzeros of a block of rows in one L1 tile: they stay in L2
_NONZERO_BYTES = 6
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
        The first row, if `y` has fewer than the weight.
    """
    rows, columns, lanes = y.shape[1], weight.shape[1], x.shape[2]
    last = first + rows
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
    tile = tile_features(columns, weight.density, lanes, x.shape[0] > 1)
    tiles = weight.column_tiles(tile)
    block = _block(rows, columns, weight, tile)
    sddmm(lanes)(weight.grad, tiles, weight.indptr, weight.indices, dy, x, block, thread_count())
