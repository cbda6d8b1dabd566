"""The product of a sparse matrix with a few dense columns, in NumPy alone."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.csr import CSR

_PADDING = 1 / 8  # of the slots of a table at most
_SLOTS = 1 << 18  # of a table, and of the numbers gathered at a time: what stays in a cache
_SHORT = 64  # slots of a row from which on dot products are faster than einsum
_ALIKE = (8, 4, 2, 1)  # rows with the same columns that share what is gathered


class Product:
    """``W x`` for one matrix.

    Rows with the same columns are a group, such as the four gates of a unit. Groups of about the same length
    make a table of shape (groups, slots), padded with zeros to the longest. So a table takes two calls of
    NumPy: gather what the weights are to be multiplied by, and add up the products of each row.

    Parameters
    ----------
    csr : CSR

    Attributes
    ----------
    shape : tuple of int
        Rows and columns.

    Notes
    -----
    Memory: 4 bytes a slot for the weight, and 8 for its column, which a group shares. There are at most 1/7
    more slots than weights. Columns of 2 bytes would take less, but NumPy turns them into those of 8 each
    time, which takes as long as half of the gathering.
    """

    __slots__ = ("_places", "_tables", "shape")

    def __init__(self, csr: CSR) -> None:
        self.shape = csr.shape
        self._places = np.full(csr.shape[0], -1)  # where the sum of each row stands; the last one is 0
        tables = []
        start = 0
        for groups in _alike(csr):
            lengths = np.diff(csr.indptr)[groups[:, 0]]
            first = 0
            while first < lengths.size:
                rows = groups[first : first + _groups_of_table(lengths[first:])]
                tables.append(_table(csr, rows))
                self._places[rows] = np.arange(start, start + rows.size).reshape(rows.shape)
                start += rows.size
                first += len(rows)
        columns, weights = ([table[part] for table in tables] for part in (0, 1))
        self._tables = list(zip(_in_one_piece(columns), _in_one_piece(weights), strict=True))

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return ``W x``.

        Parameters
        ----------
        x : ndarray of float32, shape (columns, B)

        Returns
        -------
        ndarray of float32, shape (rows, B)
        """
        batch = x.shape[1]
        sums = np.zeros((self.shape[0] + 1, batch), np.float32)
        start = 0
        for columns, weights in self._tables:
            groups, alike, slots = weights.shape
            step = max(1, _SLOTS // (slots * batch))
            for group in range(0, groups, step):
                some = slice(group, group + step)
                # No index is out of range; this is the mode in which NumPy checks that fastest.
                gathered = np.take(x, columns[some], axis=0, mode="wrap")
                end = start + len(gathered) * alike
                own = sums[start:end].reshape(-1, alike, batch)
                if batch > 1:
                    np.matmul(weights[some], gathered, out=own)
                elif slots < _SHORT:
                    np.einsum("gas,gs->ga", weights[some], gathered[:, :, 0], out=own[:, :, 0])
                else:  # of a row and a column NumPy makes a dot product, which is faster than a small matrix
                    np.matmul(weights[some][:, :, None], gathered[:, None], out=own[:, :, None])
                start = end
        return sums[self._places]


def above(first: CSR, second: CSR) -> CSR:
    """Two matrices, one above the other."""
    return CSR(
        np.concatenate((first.indptr, second.indptr[1:] + first.indptr[-1])),
        np.concatenate((first.indices, second.indices)),
        np.concatenate((first.data, second.data)),
        (first.shape[0] + second.shape[0], first.shape[1]),
    )


def beside(left: CSR, right: CSR) -> CSR:
    """The matrix ``[left right]``, so that one product serves two inputs."""
    indptr = left.indptr + right.indptr
    rows, left_columns = left.shape
    columns = np.empty(indptr[-1], np.uint32)
    data = np.empty(indptr[-1], np.float32)
    for csr, before, shift in ((left, right.indptr[:-1], 0), (right, left.indptr[1:], left_columns)):
        places = np.arange(csr.data.size) + before[csr.rows]
        columns[places] = csr.indices + np.uint32(shift)
        data[places] = csr.data
    return CSR(indptr, columns, data, (rows, left_columns + right.shape[1]))


def _alike(csr: CSR) -> Iterator[NDArray[np.intp]]:
    """Rows by the columns that they have: for each size of a group, shape (groups, size), the longest rows
    first. Empty rows are in none."""
    columns: dict[bytes, list[int]] = {}
    for row, (start, end) in enumerate(pairwise(csr.indptr.tolist())):
        if start < end:
            columns.setdefault(csr.indices[start:end].tobytes(), []).append(row)
    found: dict[int, list[list[int]]] = {size: [] for size in _ALIKE}
    for key in sorted(columns, key=len, reverse=True):
        rows = columns[key]
        for size in _ALIKE:
            while len(rows) >= size:
                found[size].append(rows[:size])
                rows = rows[size:]
    return (np.array(groups) for groups in found.values() if groups)


def _groups_of_table(lengths: NDArray[np.int64]) -> int:
    """How many groups, longest first, make the next table: padding and slots stay below their bounds."""
    longest = int(lengths[0])
    lengths = lengths[: max(1, _SLOTS // longest)]
    slots = longest * np.arange(1, lengths.size + 1)
    full = slots - np.cumsum(lengths) > _PADDING * slots
    return int(full.argmax()) if full.any() else lengths.size


def _table(csr: CSR, rows: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Columns of groups of rows, longest first, shape (groups, slots), and weights, shape (groups, rows,
    slots)."""
    starts = csr.indptr[rows]
    lengths = csr.indptr[rows[:, 0] + 1] - starts[:, 0]
    slots = np.arange(lengths[0])
    used = slots < lengths[:, None]
    entries = np.where(used[:, None], starts[:, :, None] + slots, 0)
    columns = np.where(used, csr.indices[entries[:, 0]], 0).astype(np.intp)
    return columns, np.where(used[:, None], csr.data[entries], 0)


def _in_one_piece(arrays: list[NDArray[Any]]) -> list[NDArray[Any]]:
    """The same arrays, one behind the other in memory: NumPy asks for large pages for an array of 4 MB or
    more, and reading from these is faster."""
    if not arrays:
        return []
    ends = np.cumsum([array.size for array in arrays])
    pieces = np.split(np.concatenate([array.ravel() for array in arrays]), ends[:-1])
    return [piece.reshape(array.shape) for piece, array in zip(pieces, arrays, strict=True)]
