"""Which positions have ever held a weight: what a sparse model has explored so far."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from truesparse.errors import TruesparseError
from truesparse.sparse.matrix import SparseMatrix

_ONES = np.array([byte.bit_count() for byte in range(256)], np.uint8)


class PositionsUsed:
    """One bit for each position of the matrices, set once it has held a weight.

    Where rows share their positions, one bit for those of a group.

    Parameters
    ----------
    matrices : mapping of str to SparseMatrix
        Their present positions are marked.

    Attributes
    ----------
    bits : dict of str to ndarray of uint8, shape (rows / group, ceil(columns / 8))
        For each matrix; column `j` of a row is bit ``j % 8`` of byte ``j // 8``, the lowest bit first.

    Notes
    -----
    An eighth of a byte a position, 1/32 of a dense weight: the one thing of a run that has the size of the
    dense matrices, which is why it is kept only when asked for.

    References
    ----------
    Liu, Yin, Mocanu & Pechenizkiy, "Do we actually need dense over-parameterization? In-time
    over-parameterization in sparse training", 2021: the share is their R_s.
    """

    __slots__ = ("bits", "_matrices", "_used")

    def __init__(self, matrices: Mapping[str, SparseMatrix]) -> None:
        self._matrices = matrices
        self._used = dict.fromkeys(matrices, 0)
        self.bits: dict[str, NDArray[np.uint8]] = {
            name: np.zeros((rows, -(-columns // 8)), np.uint8)
            for name, (rows, columns) in ((name, matrix.pattern.shape) for name, matrix in matrices.items())
        }
        self.mark(matrices)

    def mark(self, names: Iterable[str]) -> None:
        """Mark the present positions of some matrices; work goes with their nonzeros."""
        from truesparse.kernels.topology import mark_positions

        for name in names:
            matrix = self._matrices[name]
            added = np.empty(matrix.pattern.shape[0], np.int64)
            mark_positions(added, self.bits[name], matrix.indptr, matrix.indices)
            self._used[name] += int(added.sum())

    def load(self, bits: Mapping[str, NDArray[np.uint8] | None]) -> None:
        """Take the bits that a checkpoint kept.

        Raises
        ------
        TruesparseError
            Those of a matrix are missing or have another shape.
        """
        for name, mine in self.bits.items():
            saved = bits.get(name)
            if saved is None or saved.dtype != np.uint8 or saved.shape != mine.shape:
                raise TruesparseError(
                    f"the checkpoint does not tell which positions of {name} were used; start a new run"
                )
            mine[...] = saved
            self._used[name] = int(_ONES[mine].sum())

    def shares(self) -> dict[str, float]:
        """Share of the positions of each matrix that have ever held a weight."""
        return {
            name: used / math.prod(self._matrices[name].pattern.shape) for name, used in self._used.items()
        }

    @property
    def share(self) -> float:
        """The same of all matrices together."""
        positions = sum(math.prod(matrix.shape) for matrix in self._matrices.values())
        return sum(used * self._matrices[name].group for name, used in self._used.items()) / positions
