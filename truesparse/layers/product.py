"""The product of a sparse matrix with a few dense columns, in NumPy alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from truesparse.csr import CSR

_PADDING = 1 / 8  # of the slots of a table at most
_SLOTS = 1 << 16  # of a table, and of the numbers gathered at a time: what stays in a cache


class Product:
    """``W x`` for one matrix.

    Rows of about the same length make a table of shape (rows, slots), padded with zeros to the longest. So a
    table takes two calls of NumPy: gather what the weights are to be multiplied by, and add up the products
    of each row.

    Parameters
    ----------
    csr : CSR

    Attributes
    ----------
    shape : tuple of int
        Rows and columns.

    Notes
    -----
    Memory: 12 bytes a slot. There are at most 1/7 more slots than weights. Columns of 2 bytes would halve it,
    but NumPy turns them into those of 8 each time, which takes as long as half of the gathering.
    """

    __slots__ = ("_tables", "_places", "shape")

    def __init__(self, csr: CSR) -> None:
        self.shape = csr.shape
        lengths = np.diff(csr.indptr)
        order = np.argsort(-lengths, kind="stable")
        lengths = lengths[order]
        self._places = np.empty_like(order)  # where the sum of each row stands among those of sorted rows
        self._places[order] = np.arange(order.size)
        self._tables: list[tuple[int, int, NDArray[np.intp], NDArray[np.float32]]] = []
        start = 0
        while start < lengths.size and lengths[start]:
            end = start + _rows_of_table(lengths[start:])
            self._tables.append((start, end, *_table(csr, order[start:end], lengths[start:end])))
            start = end

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
        sums = np.zeros((self.shape[0], batch), np.float32)
        for start, end, columns, weights in self._tables:
            rows, slots = columns.shape
            step = max(1, _SLOTS // (slots * batch))
            for row in range(0, rows, step):
                some = slice(row, min(row + step, rows))
                # No index is out of range; this is the mode in which NumPy checks that fastest.
                gathered = np.take(x, columns[some], axis=0, mode="wrap")
                if batch == 1:
                    sums[start:end][some, 0] = np.einsum("rs,rs->r", weights[some], gathered[:, :, 0])
                else:
                    sums[start:end][some] = np.matmul(weights[some, None], gathered)[:, 0]
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


def _rows_of_table(lengths: NDArray[np.int64]) -> int:
    """How many of the rows, longest first, make the next table: padding and slots stay below their bounds."""
    longest = int(lengths[0])
    lengths = lengths[: max(1, _SLOTS // longest)]
    slots = longest * np.arange(1, lengths.size + 1)
    full = slots - np.cumsum(lengths) > _PADDING * slots
    return int(full.argmax()) if full.any() else lengths.size


def _table(
    csr: CSR, rows: NDArray[np.intp], lengths: NDArray[np.int64]
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Columns and weights of some rows, longest first, shape (rows, slots)."""
    slots = np.arange(lengths[0])
    used = slots < lengths[:, None]
    entries = np.where(used, csr.indptr[rows, None] + slots, 0)
    return np.where(used, csr.indices[entries], 0).astype(np.intp), np.where(used, csr.data[entries], 0)
