"""Which positions of a matrix hold a weight: indices without values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.csr import broken_invariant, narrow_index_dtype
from truesparse.errors import TruesparseError


@dataclass(frozen=True, eq=False)
class Pattern:
    """The positions of the weights of one matrix, in CSR form.

    Parameters
    ----------
    indptr : ndarray of int64, shape (rows + 1,)
        Row `i` owns the entries `indptr[i]` to `indptr[i + 1]`.
    indices : ndarray of uint16 or uint32, shape (nnz,)
        Column of each entry, strictly increasing within a row; the type is `narrow_index_dtype(columns)`.
    shape : tuple of int
        Rows (outputs) and columns (inputs).
    """

    indptr: NDArray[np.int64]
    indices: NDArray[Any]
    shape: tuple[int, int]

    @property
    def nnz(self) -> int:
        """How many positions hold a weight."""
        return self.indices.size

    @property
    def density(self) -> float:
        """Fraction of the positions that hold a weight."""
        return self.nnz / (self.shape[0] * self.shape[1])

    @classmethod
    def from_scipy(cls, matrix: Any) -> tuple[Pattern, NDArray[np.float32]]:
        """Split a SciPy sparse matrix into its pattern and its values.

        Parameters
        ----------
        matrix : sparse array or matrix of SciPy
            Any format, not modified. Duplicates are added up; explicit zeros stay, as weights of value 0.

        Returns
        -------
        pattern : Pattern
        data : ndarray of float32, shape (nnz,)
            The values in the order of the pattern.
        """
        csr = matrix.tocsr(copy=True)
        csr.sum_duplicates()
        rows, cols = (int(n) for n in csr.shape)
        pattern = cls(csr.indptr.astype(np.int64), csr.indices.astype(narrow_index_dtype(cols)), (rows, cols))
        return pattern, csr.data.astype(np.float32)

    def check(self, name: str = "the pattern") -> None:
        """Check every invariant of the index arrays.

        Parameters
        ----------
        name : str
            What the message calls this pattern.

        Raises
        ------
        TruesparseError
            If an invariant is broken; the message names it.
        """
        broken = broken_invariant(self.indptr, self.indices, self.shape)
        if broken:
            raise TruesparseError(f"{name} is not a valid sparse pattern: {broken}")
