"""A change of topology: where every entry comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from truesparse.errors import TruesparseError
from truesparse.sparse.pattern import Pattern


class Rewired(NamedTuple):
    """The new topology of one matrix.

    Parameters
    ----------
    pattern : Pattern
        The new positions, of the same shape as the old; of a grouped matrix those of its connections, whose
        weights move together.
    source : ndarray of int32, shape (pattern.nnz,)
        For each new entry its old position among the entries of the same matrix, or -1 where it was grown.
    """

    pattern: Pattern
    source: NDArray[np.int32]

    @property
    def grown(self) -> int:
        """How many entries are new."""
        return int(np.count_nonzero(self.source < 0))


class Rewiring:
    """The new topology of one or more matrices; `Arena.apply` carries it out.

    Parameters
    ----------
    changes : mapping of str to Rewired
        The matrices that change, by name. A `(pattern, source)` tuple will do for a `Rewired`.

    Notes
    -----
    One object describes the change for the values and for every optimizer state alike, so none of them can
    fall out of step with the indices. It holds 6 bytes per new entry (uint16 indices): one `Rewiring` per
    matrix, applied before the next is made, keeps the peak low.
    """

    __slots__ = ("changes",)

    def __init__(self, changes: Mapping[str, tuple[Pattern, NDArray[np.int32]]]) -> None:
        self.changes = {name: Rewired(*change) for name, change in changes.items()}

    def check(self, name: str, old: Pattern) -> None:
        """Check that the change of one matrix fits the matrix as it is.

        Parameters
        ----------
        name : str
            The matrix.
        old : Pattern
            Its present positions.

        Raises
        ------
        TruesparseError
            If the shapes differ, or `source` has the wrong type or length or points outside the matrix.
        """
        shape, nnz = old.shape, old.nnz
        pattern, source = self.changes[name]
        if pattern.shape != shape:
            raise TruesparseError(f"the rewiring of {name} has shape {pattern.shape}, the matrix has {shape}")
        if source.dtype != np.int32 or source.shape != (pattern.nnz,):
            raise TruesparseError(
                f"the rewiring of {name} needs one int32 source for each of its {pattern.nnz} entries, "
                f"not {source.dtype} of shape {source.shape}"
            )
        if source.size and not -1 <= source.min() <= source.max() < nnz:
            raise TruesparseError(
                f"the rewiring of {name} takes entries from {source.min()} to {source.max()}, "
                f"the matrix has {nnz}"
            )
