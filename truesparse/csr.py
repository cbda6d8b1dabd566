"""Compressed sparse rows, and what must hold of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class CSR(NamedTuple):
    """A sparse matrix: row `i` owns the entries `indptr[i]` to `indptr[i + 1]`.

    Attributes
    ----------
    indptr : ndarray of int64, shape (rows + 1,)
    indices : ndarray of uint16 or uint32, shape (nnz,)
        Column of each entry, strictly increasing within a row; the type is `narrow_index_dtype(columns)`.
    data : ndarray of float32, shape (nnz,)
    shape : tuple of int
        Rows and columns.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[Any]
    data: NDArray[np.float32]
    shape: tuple[int, int]

    def to_dense(self) -> NDArray[np.float32]:
        """Return the matrix with its zeros, float32 of its shape."""
        dense = np.zeros(self.shape, np.float32)
        dense[self.rows, self.indices] = self.data
        return dense

    def transposed(self) -> CSR:
        """Return the matrix stored by columns: rows and columns change places."""
        order = np.argsort(self.indices, kind="stable")
        indptr = np.zeros(self.shape[1] + 1, np.int64)
        np.cumsum(np.bincount(self.indices, minlength=self.shape[1]), out=indptr[1:])
        rows = self.rows[order].astype(narrow_index_dtype(self.shape[0]))
        return CSR(indptr, rows, self.data[order], self.shape[::-1])

    @property
    def rows(self) -> NDArray[np.intp]:
        """The row of each entry."""
        return np.repeat(np.arange(self.shape[0]), np.diff(self.indptr))


def row_steps(rows: int, blocks: int, group: int) -> tuple[int, int]:
    """Return how many rows apart two groups of rows begin, and two rows of one group.

    Parameters
    ----------
    rows : int
        Rows of the matrix.
    blocks : int
        Equal blocks of rows that are stacked in it. If there are several, row j of every block is a group.
    group : int
        Rows of a group.
    """
    return (1, rows // group) if blocks > 1 else (group, 1)


def expand_groups(grouped: CSR, group: int, steps: tuple[int, int]) -> CSR:
    """Return a grouped matrix without groups.

    Parameters
    ----------
    grouped : CSR
        Its rows are groups of rows, and `data` has `group` values side by side for each entry: shape
        (entries * group,).
    group : int
        Rows of a group.
    steps : tuple of int
        Where they lie; see `row_steps`.
    """
    if group == 1:
        return grouped
    groups, columns = grouped.shape
    indptr, places = group_places(grouped, group, steps)
    indices = np.empty(places.size, grouped.indices.dtype)
    data = np.empty(places.size, np.float32)
    indices[places] = grouped.indices[:, None]
    data[places] = grouped.data.reshape(-1, group)
    return CSR(indptr, indices, data, (groups * group, columns))


def join_groups(csr: CSR, group: int, steps: tuple[int, int]) -> CSR:
    """Return a matrix whose rows share their positions as a grouped one: what `expand_groups` undoes."""
    if group == 1:
        return csr
    groups = csr.shape[0] // group
    starts = csr.indptr[np.arange(groups) * steps[0]]
    lengths = csr.indptr[np.arange(groups) * steps[0] + 1] - starts
    indptr = np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths)))
    indices = csr.indices[np.repeat(starts - indptr[:-1], lengths) + np.arange(indptr[-1])]
    grouped = CSR(indptr, indices, csr.data, (groups, csr.shape[1]))
    _, places = group_places(grouped, group, steps)
    return grouped._replace(data=csr.data[places].ravel())


def group_places(
    grouped: CSR, group: int, steps: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """Return `indptr` of a grouped matrix without groups, and the place of each value there: shape (entries,
    group). Parameters are those of `expand_groups`."""
    groups = grouped.shape[0]
    lengths = np.diff(grouped.indptr)
    rows = np.arange(groups)[:, None] * steps[0] + np.arange(group) * steps[1]
    indptr = np.zeros(groups * group + 1, np.int64)
    indptr[rows + 1] = lengths[:, None]
    np.cumsum(indptr, out=indptr)
    first = grouped.rows
    places = indptr[rows[first]] + (np.arange(grouped.indices.size) - grouped.indptr[first])[:, None]
    return indptr, places


def narrow_index_dtype(n: int) -> type[np.unsignedinteger[Any]]:
    """Return the narrowest unsigned type that holds the indices 0 .. `n` - 1.

    Parameters
    ----------
    n : int
        How many different indices there are.

    Returns
    -------
    type
        `numpy.uint16` up to 65,536 indices, `numpy.uint32` above.
    """
    return np.uint16 if n <= 1 << 16 else np.uint32


def broken_invariant(indptr: NDArray[Any], indices: NDArray[Any], shape: tuple[int, int]) -> str | None:
    """Check index arrays against all that `CSR` demands.

    Parameters
    ----------
    indptr, indices : ndarray
        Anything.
    shape : tuple of int
        Rows and columns.

    Returns
    -------
    str or None
        What is wrong, if anything is. No index is followed before it is known to be in range.
    """
    rows, cols = shape
    if rows < 1 or cols < 1:
        return f"its shape {shape} has no positions"
    if indptr.dtype != np.int64 or indices.dtype != narrow_index_dtype(cols):
        return f"its index types are {indptr.dtype} and {indices.dtype}"
    if indptr.shape != (rows + 1,) or indices.ndim != 1:
        return f"indptr has shape {indptr.shape} for {rows} rows"
    if indptr[0] != 0 or indptr[-1] != indices.size:
        return f"indptr runs from {indptr[0]} to {indptr[-1]} for {indices.size} entries"
    if np.any(indptr[1:] < indptr[:-1]):
        return "indptr decreases"
    if indices.size and indices.max() >= cols:
        return f"a column index {indices.max()} lies outside its {cols} columns"
    increases = np.empty(indices.size, dtype=bool)
    np.greater(indices[1:], indices[:-1], out=increases[1:])
    increases[indptr[:-1][indptr[:-1] < indices.size]] = True  # the first entry of a row follows nothing
    if not increases.all():
        return "the column indices of a row are not strictly increasing"
    return None
