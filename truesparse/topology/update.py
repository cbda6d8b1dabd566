"""What a topology update works on: parts of a model with a budget each, and what the rules are told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from truesparse.sparse.matrix import SparseMatrix

Scores = Callable[[NDArray[np.float32], int], None]


class Part:
    """A matrix, or one of the equal row blocks stacked in it: what has a number of entries of its own.

    Parameters
    ----------
    matrix : SparseMatrix
        Not modified.
    block : int, optional
        Which of its row blocks; the whole matrix if left out.

    Attributes
    ----------
    matrix : SparseMatrix
    name : str
        That of the matrix, with the number of the block in brackets.
    shape : tuple of int
    first_row : int
        Where it begins in the matrix.
    indptr : ndarray of int64, shape (rows + 1,)
        Begins with 0.
    indices : ndarray of uint16 or uint32, shape (nnz,)
    """

    __slots__ = ("matrix", "name", "shape", "first_row", "indptr", "indices", "_entries")

    def __init__(self, matrix: SparseMatrix, block: int | None = None) -> None:
        rows, cols = matrix.shape
        self.matrix = matrix
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
        """The values: a view of the arena, shape (nnz,)."""
        return self.matrix.data[self._entries]

    def state(self, name: str) -> NDArray[np.float32]:
        """A state of the arena: a view, shape (nnz,)."""
        return self.matrix.state(name)[self._entries]

    @property
    def nnz(self) -> int:
        """How many entries it has."""
        return self.indices.size

    @property
    def positions(self) -> int:
        """How many entries it could have."""
        return self.shape[0] * self.shape[1]


def parts_of(matrix: SparseMatrix, gates: str = "fused") -> list[Part]:
    """Return the parts of a matrix that keep their numbers of entries.

    Parameters
    ----------
    matrix : SparseMatrix
    gates : {"fused", "separate"}
        Whether a stacked matrix is one part, or each of its row blocks.
    """
    if gates == "separate":
        return [Part(matrix, block) for block in range(matrix.blocks)]
    return [Part(matrix)]


@dataclass
class Update:
    """What the rules of one topology update are told.

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
    """

    fraction: float
    rng: np.random.Generator
    scores: Mapping[str, Scores] = field(default_factory=dict)
    targets: Mapping[str, int] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)
