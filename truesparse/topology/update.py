"""What a topology update works on: parts of a model with a budget each, and what the rules get."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from truesparse.kernels.buffers import aligned_zeros
from truesparse.sparse.matrix import SparseMatrix
from truesparse.topology.settings import IMPORTANCES

Scores = Callable[[NDArray[np.float32], int], None]

Measure = Callable[[NDArray[np.float32]], NDArray[np.float32]]

# Of the numbers of a connection along the second last axis, what they amount to together
_MEASURES: tuple[Measure, ...] = (
    lambda numbers: np.abs(numbers).sum(axis=-2),
    lambda numbers: np.sqrt(np.square(numbers).sum(axis=-2)),
    lambda numbers: np.abs(numbers).max(axis=-2),
)
IMPORTANCE = dict(zip(IMPORTANCES, _MEASURES, strict=True))


class Part:
    """A matrix, or one of the equal row blocks stacked in it: what has a number of entries of its own.

    An entry is a weight, or where the rows of the matrix come in groups, a connection with a weight for each
    row of its group.

    Parameters
    ----------
    matrix : SparseMatrix
        Not modified.
    block : int, optional
        Which of its row blocks; the whole matrix if left out.
    importance : {"l1", "l2", "max"}
        What a connection counts: the sum of the absolute values of its weights, the root of the sum of their
        squares, or the largest of the absolute values.

    Attributes
    ----------
    matrix : SparseMatrix
    name : str
        That of the matrix, with the number of the block in brackets.
    shape : tuple of int
        Rows, or groups of rows, and columns.
    first_row : int
        Where it begins in the matrix.
    group : int
        Weights of an entry.
    indptr : ndarray of int64, shape (rows + 1,)
        Begins with 0.
    indices : ndarray of uint16 or uint32, shape (nnz,)
    """

    __slots__ = (
        "matrix",
        "name",
        "shape",
        "first_row",
        "group",
        "indptr",
        "indices",
        "_entries",
        "_importance",
    )

    def __init__(self, matrix: SparseMatrix, block: int | None = None, importance: str = "l1") -> None:
        rows, cols = matrix.pattern.shape
        self.matrix = matrix
        self.group = matrix.group
        self._importance = IMPORTANCE[importance]
        self.name = matrix.name
        self.first_row = 0
        self.indptr = matrix.indptr
        if block is not None:
            rows //= matrix.blocks
            self.name = f"{matrix.name}[{block}]"
            self.first_row = block * rows
            bounds = matrix.indptr[self.first_row : self.first_row + rows + 1]
            self.indptr = bounds - bounds[0]
        self.shape = (rows, cols)
        start = int(matrix.indptr[self.first_row])
        self._entries = slice(start, start + int(self.indptr[-1]))
        self.indices = matrix.indices[self._entries]

    @property
    def data(self) -> NDArray[np.float32]:
        """The value of each entry, shape (nnz,): a view of the arena. Of a connection with several weights
        what it counts, with the sign of their sum: a new array."""
        if self.group == 1:
            return self.matrix.data[self._entries]
        weights = self.matrix.data.reshape(-1, self.group)
        return np.copysign(self._importance(weights.T), weights.sum(axis=1))

    def state(self, name: str) -> NDArray[np.float32]:
        """A state of the arena: a view, shape (nnz * group,), the numbers of a connection side by side."""
        weights = slice(self._entries.start * self.group, self._entries.stop * self.group)
        return self.matrix.state(name)[weights]

    def scores(self, update: Update) -> Scores:
        """The scores of all positions of an update, for connections what they count together."""
        score = update.scores[self.matrix.name]
        return score if self.group == 1 else self._connection_scores(score)

    def _connection_scores(self, score: Scores) -> Scores:
        """Scores of connections by those of rows: functions that take a number of groups of rows for one of
        rows."""
        row_step, member_step = self.matrix.row_steps

        def write(out: NDArray[np.float32], first: int) -> None:
            groups, columns = out.shape
            if row_step == 1:
                members = aligned_zeros((self.group, groups, columns))
                for number, member in enumerate(members):
                    score(member, first + number * member_step)
                out[...] = self._importance(members.swapaxes(0, 1))
            else:
                members = aligned_zeros((groups * row_step, columns))
                score(members, first * row_step)
                out[...] = self._importance(members.reshape(groups, row_step, columns))

        return write

    @property
    def nnz(self) -> int:
        """How many entries it has."""
        return self.indices.size

    @property
    def positions(self) -> int:
        """How many entries it could have."""
        return self.shape[0] * self.shape[1]


def parts_of(matrix: SparseMatrix, gates: str = "fused", importance: str = "l1") -> list[Part]:
    """Return the parts of a matrix that keep their numbers of entries.

    Parameters
    ----------
    matrix : SparseMatrix
    gates : {"fused", "separate"}
        Whether a stacked matrix is one part, or each of its row blocks; with shared positions these have
        equal numbers anyway.
    importance : {"l1", "l2", "max"}
        As of `Part`.
    """
    if gates == "separate" and matrix.group == 1:
        return [Part(matrix, block) for block in range(matrix.blocks)]
    return [Part(matrix, importance=importance)]


@dataclass
class Update:
    """What the rules of one topology update get.

    Parameters
    ----------
    fraction : float
        Fraction of the entries to replace, in [0, 1); or how far gradual pruning has come, in [0, 1].
    rng : numpy.random.Generator
        A rule draws from nothing else, so that a result is a function of its state.
    scores : mapping of str to function
        For each matrix the scores of all its positions, for rules that ask for them: `scores[name](out, row)`
        writes those of the rows from number `row` on to `out`, float32 of shape (some rows, columns). No rule
        asks for more than a few rows at a time.
    targets : mapping of str to int
        For each part the entries that it is to have in the end, for gradual pruning.
    memory : dict of str to float
        What a rule remembers from update to update; part of a checkpoint.
    importance : {"l1", "l2", "max"}
        What a connection of several weights counts; see `Part`.
    momentum : str
        The state that has the momentum of each weight; empty if the optimizer keeps none.
    """

    fraction: float
    rng: np.random.Generator
    scores: Mapping[str, Scores] = field(default_factory=dict)
    targets: Mapping[str, int] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)
    importance: str = "l1"
    momentum: str = ""


class Changed(NamedTuple):
    """How many weights of a matrix an update has dropped, and how many it has grown."""

    dropped: int
    grown: int
