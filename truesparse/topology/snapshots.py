"""The topology of a model as it was at some step of a run, and which steps of a run are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from truesparse.csr import CSR, expand_groups, row_steps
from truesparse.sparse.pattern import Pattern

if TYPE_CHECKING:
    from truesparse.sparse.matrix import SparseMatrix


class Grouped(NamedTuple):
    """The positions of a matrix whose rows come in groups that share them, or by themselves.

    Attributes
    ----------
    pattern : Pattern
        A row for each group.
    group, blocks : int
        As in `truesparse.sparse.matrix.SparseMatrix`.
    """

    pattern: Pattern
    group: int = 1
    blocks: int = 1

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the matrix."""
        return self.pattern.shape[0] * self.group, self.pattern.shape[1]

    def expanded(self) -> Pattern:
        """The positions with a row for each row of the matrix."""
        if self.group == 1:
            return self.pattern
        rows, columns = self.pattern.shape
        values = np.zeros(self.pattern.nnz * self.group, np.float32)
        grouped = CSR(self.pattern.indptr, self.pattern.indices, values, (rows, columns))
        whole = expand_groups(grouped, self.group, row_steps(rows * self.group, self.blocks, self.group))
        return Pattern(whole.indptr, whole.indices, whole.shape)


class Snapshot(NamedTuple):
    """The topology after a step.

    Attributes
    ----------
    step : int
        Steps done; 0 before the first one.
    epoch : float
        The same in passes over the training data.
    matrices : dict of str to Grouped
        By their names, in the order of the model.
    """

    step: int
    epoch: float
    matrices: dict[str, Grouped]

    @classmethod
    def of(cls, step: int, epoch: float, matrices: Mapping[str, SparseMatrix]) -> Self:
        """That of some matrices as they are now. Their index arrays are shared, which a topology update
        replaces but does not write to."""
        return cls(step, epoch, {name: Grouped(m.pattern, m.group, m.blocks) for name, m in matrices.items()})

    def patterns(self) -> dict[str, Pattern]:
        """The positions of each matrix, without groups."""
        return {name: grouped.expanded() for name, grouped in self.matrices.items()}

    def inputs(self, name: str) -> NDArray[np.int64]:
        """How many weights each column of a matrix has: the outgoing connections of each input.

        Parameters
        ----------
        name : str
            A key of `matrices`.

        Returns
        -------
        ndarray of int64, shape (columns,)
        """
        pattern, group, _ = self.matrices[name]
        return group * np.bincount(pattern.indices, minlength=pattern.shape[1])


def kept_updates(updates: int, count: int) -> frozenset[int]:
    """Which of a run's topology updates are followed by a snapshot.

    Parameters
    ----------
    updates : int
        How many the run has as planned.
    count : int
        Snapshots that are wanted, 2 or more.

    Returns
    -------
    frozenset of int
        Their numbers, from 1, and 0 for the start: evenly over the updates, the last one among them; all of
        them where `count` is larger.
    """
    return frozenset(round(k * updates / (count - 1)) for k in range(count))
