"""A sparse weight matrix: a view on the arena with index arrays of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.csr import CSR, expand_groups, row_steps
from truesparse.errors import TruesparseError
from truesparse.kernels.buffers import ALIGNMENT, aligned_copy
from truesparse.sparse.pattern import Pattern
from truesparse.sparse.transposed import Transposed


class Numbers:
    """What an arena's matrices are views of; see `truesparse.sparse.Arena`, whose attributes these are."""

    __slots__ = ("values", "grads", "states", "layout", "version")

    values: NDArray[np.float32]
    grads: NDArray[np.float32]
    states: dict[str, NDArray[np.float32]]
    layout: dict[str, slice]
    version: int


class SparseMatrix:
    """A CSR matrix `[out, in]` whose values and gradients live in an arena.

    Its rows may come in groups that share their positions: then the index is one over groups, and a
    *connection*, an entry of the index, has one weight for each row of its group. Made by `Arena`; its
    topology changes only through `Arena.apply`.

    Attributes
    ----------
    name : str
    shape : tuple of int
        Rows (outputs) and columns (inputs).
    blocks : int
        Equal row blocks stacked in it: 4 for the gates of an LSTM, else 1.
    group : int
        Rows of a group: 1, or `blocks`, row j of every block then being a group (a unit and its gates), or in
        a matrix of one block that many neighbouring rows.
    row_steps : tuple of int
        How many rows apart two groups begin, and two rows of one group.
    indptr : ndarray of int64, shape (rows / group + 1,)
    indices : ndarray of uint16 or uint32, shape (connections,)
        Columns, strictly increasing within a group of rows; 64-byte aligned.
    cuts : dict
        How its products are cut, by what was asked, until its topology changes: looking that up anew would
        take longer than a small product. See `truesparse.sparse.products.cut_for`.

    Notes
    -----
    Its own memory is the index, 2 bytes per connection (4 above 65,536 columns), and once `transposed` has
    been called 10 more (2 index, 4 positions, 4 values).
    """

    __slots__ = (
        "name",
        "shape",
        "blocks",
        "group",
        "row_steps",
        "indptr",
        "indices",
        "_numbers",
        "_transposed",
        "_stale",
        "_tiles",
        "cuts",
    )

    def __init__(
        self, name: str, numbers: Numbers, pattern: Pattern, blocks: int = 1, group: int = 1
    ) -> None:
        pattern.check(name)
        rows, columns = pattern.shape[0] * group, pattern.shape[1]
        if blocks < 1 or rows % blocks:
            raise TruesparseError(f"{name} cannot be cut into {blocks} blocks of its {rows} rows")
        if group < 1 or (blocks > 1 and group not in (1, blocks)):
            raise TruesparseError(f"{name} cannot have groups of {group} rows with {blocks} blocks of rows")
        self.name = name
        self.shape = rows, columns
        self.blocks = blocks
        self.group = group
        self.row_steps = row_steps(rows, blocks, group)
        self._numbers = numbers
        self._transposed: Transposed | None = None
        self.set_pattern(pattern)

    def set_pattern(self, pattern: Pattern) -> None:
        """Take new index arrays. Only the arena may call this, together with moving the values."""
        self.indptr = _fit_for_kernels(pattern.indptr)
        self.indices = _fit_for_kernels(pattern.indices)
        self._stale = True
        self._tiles: dict[int, NDArray[np.int32]] = {}  # by their columns
        self.cuts: dict[Any, Any] = {}
        if self._transposed is not None and self._transposed.indices.size != pattern.nnz:
            self._transposed = None

    @property
    def data(self) -> NDArray[np.float32]:
        """The values: a view of the arena, shape (nnz,), those of a connection side by side. Call
        `arena.touch()` after writing to it."""
        return self._numbers.values[self._numbers.layout[self.name]]

    @property
    def grad(self) -> NDArray[np.float32]:
        """The gradients: a view of the arena, shape (nnz,)."""
        return self._numbers.grads[self._numbers.layout[self.name]]

    def state(self, name: str) -> NDArray[np.float32]:
        """An optimizer's state or another one of the arena's, by name: a view, shape (nnz,)."""
        return self._numbers.states[name][self._numbers.layout[self.name]]

    @property
    def pattern(self) -> Pattern:
        """The positions of the connections, shape (rows / group, columns), sharing the index arrays."""
        return Pattern(self.indptr, self.indices, (self.shape[0] // self.group, self.shape[1]))

    @property
    def connections(self) -> int:
        """How many entries the index has."""
        return self.indices.size

    @property
    def nnz(self) -> int:
        """How many weights are stored."""
        return self.indices.size * self.group

    @property
    def density(self) -> float:
        """Fraction of the positions that are stored."""
        return self.pattern.density

    @property
    def index_bytes(self) -> int:
        """Bytes of the index arrays, without the transposed ones."""
        return self.indptr.nbytes + self.indices.nbytes

    def block_nnz(self) -> NDArray[np.int64]:
        """Return the number of weights in each row block, shape (blocks,)."""
        if self.group > 1:
            return np.full(self.blocks, self.nnz // self.blocks)
        return np.diff(self.indptr[:: self.shape[0] // self.blocks])

    def transposed(self, tile_rows: int = 0) -> Transposed:
        """Return the columns of this matrix, with its present values.

        Parameters
        ----------
        tile_rows : int
            How many contiguous rows make a tile of `Transposed.tiles`; 0 for a single tile.

        Returns
        -------
        Transposed
            Shared, and brought up to date in place by later calls: do not modify. The index is built by the
            first call after a change of topology (or of `tile_rows`), the values are copied by the first
            call after `Arena.touch`.

        Raises
        ------
        ValueError
            If the rows come in groups.
        """
        if self.group > 1:
            raise ValueError(f"{self.name} has groups of rows, whose products need no index by columns")
        transposed = self._transposed
        if transposed is None:
            transposed = self._transposed = Transposed(self.pattern, tile_rows)
        elif self._stale or transposed.tile_rows != (tile_rows or self.shape[0]):
            transposed.rebuild(self.pattern, tile_rows)
        self._stale = False
        transposed.refresh(self.data, self._numbers.version)
        return transposed

    def backward_index(self) -> SparseMatrix | Transposed:
        """Return what the backward pass of a recurrence goes through: the columns of this matrix, or itself
        if its rows come in groups (see `truesparse.layers.lstm.kernels`)."""
        return self if self.group > 1 else self.transposed()

    def whole_groups(self, first: int, rows: int) -> slice:
        """Return the rows of the groups of neighbours that `rows` rows from number `first` on lie in."""
        return slice(first // self.group * self.group, -(-(first + rows) // self.group) * self.group)

    def column_tiles(self, tile_columns: int = 0) -> NDArray[np.int32]:
        """Return where each tile of contiguous columns begins in each row, or group of rows.

        Parameters
        ----------
        tile_columns : int
            How many columns make a tile; 0 for a single tile.

        Returns
        -------
        ndarray of int32, shape (rows / group, n_tiles + 1)
            Row or group `i` has its entries of tile `t` from `tiles[i, t]` to `tiles[i, t + 1]`. Shared: do
            not modify. Built by the first call with these `tile_columns` after a change of topology.
        """
        columns = self.shape[1]
        width = min(tile_columns or columns, columns)
        tiles = self._tiles.get(width)
        if tiles is None:
            from truesparse.kernels.transpose import column_tiles

            shape = self.shape[0] // self.group, -(-columns // width) + 1
            tiles = np.empty(shape, np.int32)
            column_tiles(tiles, self.indptr, self.indices, width)
            self._tiles[width] = tiles
        return tiles

    def keep_tiles(self, tile_columns: int) -> None:
        """Forget where tiles begin but for those of `tile_columns` columns: what a product was tried with."""
        kept = self._tiles.get(tile_columns)
        self._tiles = {} if kept is None else {tile_columns: kept}

    def to_scipy(self) -> Any:
        """Return a copy as `scipy.sparse.csr_array` of float32, without groups."""
        from scipy.sparse import csr_array

        grouped = CSR(self.indptr, self.indices, self.data, self.pattern.shape)
        csr = expand_groups(grouped, self.group, self.row_steps)
        arrays = csr.data.copy(), csr.indices.astype(np.int32), csr.indptr.copy()
        return csr_array(arrays, shape=self.shape)

    def check(self) -> None:
        """Check every invariant: the index arrays, and that the transposed ones agree with them.

        Raises
        ------
        TruesparseError
            If an invariant is broken; the message names the matrix and the invariant.
        """
        self.pattern.check(self.name)
        if self.data.size != self.nnz:
            raise TruesparseError(
                f"{self.name} has {self.data.size} values for {self.connections} connections of {self.group}"
            )
        if self._transposed is not None and not self._stale:
            self._transposed.check(self.pattern, self.name)


def _fit_for_kernels(array: NDArray[Any]) -> NDArray[Any]:
    """The array, or a copy if it is misaligned, or strided or read-only, for which kernels compile anew."""
    flags = array.flags
    fit = flags.c_contiguous and flags.writeable and array.ctypes.data % ALIGNMENT == 0
    return array if fit else aligned_copy(array)
