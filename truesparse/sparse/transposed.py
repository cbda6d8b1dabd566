"""The columns of a sparse matrix: a derived index for products with its transpose."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.errors import TruesparseError
from truesparse.kernels.buffers import aligned_zeros
from truesparse.sparse.pattern import Pattern, narrow_index_dtype


class Transposed:
    """A matrix by columns, with a copy of its values so that a product streams through them.

    Derived from the pattern of the matrix and never saved; `SparseMatrix.transposed` keeps it up to date.

    Parameters
    ----------
    pattern : Pattern
        The matrix by rows, shape (rows, cols).
    tile_rows : int
        How many contiguous rows make a tile, so that a product can keep the tile's operand in cache; 0 for a
        single tile of all rows.

    Attributes
    ----------
    indptr : ndarray of int64, shape (cols + 1,)
        Column `j` owns the entries `indptr[j]` to `indptr[j + 1]`.
    indices : ndarray of uint16 or uint32, shape (nnz,)
        Row of each entry, strictly increasing within a column; 64-byte aligned.
    positions : ndarray of int32, shape (nnz,)
        Where each entry lies in the matrix by rows: `data[k] == matrix.data[positions[k]]`.
    data : ndarray of float32, shape (nnz,)
        Copied values; 64-byte aligned.
    tiles : ndarray of int32, shape (cols, n_tiles + 1)
        Column `j` has its entries of tile `t` from `tiles[j, t]` to `tiles[j, t + 1]`.
    tile_rows : int

    Notes
    -----
    10 bytes per entry (12 above 65,536 rows): index 2, positions 4, values 4. The result does not depend on
    the number of threads.
    """

    __slots__ = ("indptr", "indices", "positions", "data", "tiles", "tile_rows", "_version")

    def __init__(self, pattern: Pattern, tile_rows: int = 0) -> None:
        rows, cols = pattern.shape
        self.indptr: NDArray[np.int64] = np.zeros(cols + 1, dtype=np.int64)
        self.indices: NDArray[Any] = aligned_zeros(pattern.nnz, narrow_index_dtype(rows))
        self.positions: NDArray[np.int32] = aligned_zeros(pattern.nnz, np.int32)
        self.data: NDArray[np.float32] = aligned_zeros(pattern.nnz)
        self.rebuild(pattern, tile_rows)

    def rebuild(self, pattern: Pattern, tile_rows: int = 0) -> None:
        """Build the index afresh, in the same arrays.

        Parameters
        ----------
        pattern : Pattern
            A pattern with as many entries as the one before.
        tile_rows : int
        """
        from truesparse.kernels.transpose import transpose_index

        self.tile_rows = tile_rows or pattern.shape[0]
        self.tiles: NDArray[np.int32] = transpose_index(
            self.indptr, self.indices, self.positions, pattern.indptr, pattern.indices, self.tile_rows
        )
        self._version = -1

    def refresh(self, data: NDArray[np.float32], version: int) -> None:
        """Copy the values afresh unless the copy is of this version.

        Parameters
        ----------
        data : ndarray of float32, shape (nnz,)
            The values by rows.
        version : int
            The arena's count of changes.
        """
        if version != self._version:
            from truesparse.kernels.fill import permute

            permute(self.data, data, self.positions)
            self._version = version

    def check(self, pattern: Pattern, name: str = "the matrix") -> None:
        """Check that this is the transposed index of `pattern`.

        Raises
        ------
        TruesparseError
            If it is not.
        """
        rows, cols = pattern.shape
        Pattern(self.indptr, self.indices, (cols, rows)).check(f"the transposed index of {name}")
        columns = np.repeat(np.arange(cols), np.diff(self.indptr))
        row_of = np.searchsorted(pattern.indptr, self.positions, side="right") - 1
        if np.any(pattern.indices[self.positions] != columns) or np.any(row_of != self.indices):
            raise TruesparseError(f"the transposed index of {name} does not agree with its rows")
