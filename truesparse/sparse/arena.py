"""All trainable numbers of a model in one flat buffer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.errors import TruesparseError
from truesparse.kernels.buffers import aligned_zeros
from truesparse.sparse.matrix import Numbers, SparseMatrix
from truesparse.sparse.pattern import Pattern, narrow_index_dtype
from truesparse.sparse.rewiring import Rewiring

# Every slice starts on a 64-byte boundary: unaligned vectors cost the kernels up to a third of their speed.
_ALIGNMENT = 16  # float32 numbers

Flat = NDArray[np.float32]


class Arena:
    """The weights, gradients and optimizer states of a model, each one flat float32 array of the same layout.

    Parameters
    ----------
    patterns : dict of str to (Pattern, int) or (Pattern, int, int)
        For each matrix its positions, the number of equal row blocks stacked in it (4 for the gates of an
        LSTM, else 1), and how many rows share a position, if they do: then the pattern is one over groups of
        rows (see `SparseMatrix`).
    biases : dict of str to int
        For each dense vector its length; most are biases.

    Attributes
    ----------
    values, grads : ndarray of float32, shape (size,)
        Every weight of every matrix, then every bias, in the order given; 64-byte aligned. `apply` may
        replace these arrays when a matrix changes its size, and `exchange` does, so look them up instead of
        keeping them.
    states : dict of str to ndarray of float32, shape (size,)
        One array for each optimizer slot, made by `add_state`.
    layout : dict of str to slice
        Where each matrix and bias lies; a slice starts on a 64-byte boundary, and the padding between is 0.
    matrices : dict of str to SparseMatrix
    version : int
        Grows whenever values changed (`touch`), so that copies know when they are out of date.
    frozen : frozenset of str
        Names of matrices that training leaves as they are.

    Raises
    ------
    TruesparseError
        If a pattern is not valid or its rows do not divide into the blocks.

    Notes
    -----
    Bytes per nonzero while a model trains with momentum: value 4, gradient 4, momentum 4, index 2 (4 above
    65,536 columns) and, for a matrix whose transposed product is used, transposed index 2, positions 4 and
    copied values 4: 24 in all. Where g rows form a group, values, gradients and momentum take 12 bytes and
    the index 2 / g. Each row adds 8 for where it begins, and in a matrix used in tiles 4 per tile. No array
    has the size of a dense matrix.
    """

    __slots__ = ("matrices", "frozen", "_numbers", "_bias_sizes", "_biases", "_bias_grads")

    def __init__(
        self,
        patterns: Mapping[str, tuple[Pattern, int] | tuple[Pattern, int, int]],
        biases: Mapping[str, int],
    ) -> None:
        # Matrices refer to these, not to the arena: without a circle, memory is free when a model is gone.
        self._numbers = numbers = Numbers()
        self.matrices = {name: SparseMatrix(name, numbers, *entry) for name, entry in patterns.items()}
        self.frozen: frozenset[str] = frozenset()
        self._bias_sizes = dict(biases)
        numbers.layout = self._lay_out({})
        numbers.values = aligned_zeros(self._end())
        numbers.grads = aligned_zeros(self._end())
        numbers.states = {}
        numbers.version = 0
        self._look()

    def __reduce__(self) -> tuple[Any, ...]:
        """For copies and pickles: no gradients, and nothing that can be derived."""
        patterns = {
            name: (matrix.pattern, matrix.blocks, matrix.group) for name, matrix in self.matrices.items()
        }
        return _restored, (patterns, self._bias_sizes, self.values, self.states, self.frozen)

    @property
    def values(self) -> Flat:
        """Weights and biases."""
        return self._numbers.values

    @property
    def grads(self) -> Flat:
        """Their gradients."""
        return self._numbers.grads

    @property
    def states(self) -> dict[str, Flat]:
        """Optimizer slots by name."""
        return self._numbers.states

    @property
    def layout(self) -> dict[str, slice]:
        """Where each matrix and bias lies."""
        return self._numbers.layout

    @property
    def version(self) -> int:
        """Grows whenever values changed."""
        return self._numbers.version

    @property
    def size(self) -> int:
        """Length of the flat arrays, padding included."""
        return self.values.size

    @property
    def changing(self) -> dict[str, SparseMatrix]:
        """The matrices that are not frozen."""
        return {name: matrix for name, matrix in self.matrices.items() if name not in self.frozen}

    @property
    def nnz(self) -> int:
        """How many weights the matrices hold together, without the biases."""
        return sum(matrix.nnz for matrix in self.matrices.values())

    @property
    def biases(self) -> dict[str, Flat]:
        """Views of `values` on the biases, by name."""
        return self._biases

    @property
    def bias_grads(self) -> dict[str, Flat]:
        """Views of `grads` on the biases, by name."""
        return self._bias_grads

    def add_state(self, name: str) -> Flat:
        """Make an optimizer slot of zeros, laid out like `values`.

        Parameters
        ----------
        name : str
            Key in `states`.

        Returns
        -------
        ndarray of float32, shape (size,)
            The new array; a slot of that name that existed is replaced.
        """
        self.states[name] = aligned_zeros(self.size)
        return self.states[name]

    def as_matrix(self, name: str, shape: tuple[int, int]) -> SparseMatrix:
        """Return a dense vector as a matrix whose positions are all taken.

        It is not among `matrices`, so it keeps all its positions whatever a method does, and its weights are
        not counted with the sparse ones.

        Parameters
        ----------
        name : str
            One of `biases`.
        shape : tuple of int
            Rows and columns; their product is the vector's length.
        """
        rows, columns = shape
        indices = np.tile(np.arange(columns, dtype=narrow_index_dtype(columns)), rows)
        indptr = np.arange(rows + 1, dtype=np.int64) * columns
        return SparseMatrix(name, self._numbers, Pattern(indptr, indices, shape))

    def exchange(self, state: str) -> None:
        """Swap the values and a state, both keeping their numbers and their memory."""
        self._numbers.values, self.states[state] = self.states[state], self.values
        self._look()
        self.touch()

    def touch(self) -> None:
        """Say that values have changed, which puts every copy of them out of date."""
        self._numbers.version += 1

    def zero_grad(self) -> None:
        """Set every gradient to 0."""
        from truesparse.kernels.fill import fill_zero

        fill_zero(self.grads)

    def drop_frozen_gradients(self) -> None:
        """Set the gradients of the matrices that are frozen to 0."""
        for name in self.frozen:
            self.grads[self.layout[name]] = 0

    def apply(self, rewiring: Rewiring) -> None:
        """Move every entry to its new place: the only thing that does.

        A surviving entry keeps its value and its states bit for bit; a grown one starts with 0 in all of
        them. The gradients of a matrix that changes become 0.

        Parameters
        ----------
        rewiring : Rewiring
            The new topology of some of the matrices. Their sizes may change.

        Raises
        ------
        TruesparseError
            If a matrix is unknown or the rewiring does not fit it; nothing has changed then.

        Notes
        -----
        While sizes stay, the matrix's gradients serve as scratch space and nothing is allocated. Otherwise
        the flat arrays are replaced one at a time.
        """
        changes = rewiring.changes
        for name, change in changes.items():
            if name not in self.matrices:
                known = ", ".join(self.matrices)
                raise TruesparseError(f"there is no matrix {name} to rewire; the model has {known}")
            rewiring.check(name, self.matrices[name].pattern)
            change.pattern.check(f"the new topology of {name}")
        if all(change.pattern.nnz == self.matrices[name].connections for name, change in changes.items()):
            self._permute(rewiring)
        else:
            self._rearrange(rewiring)
        for name, change in changes.items():
            self.matrices[name].set_pattern(change.pattern)
        self.touch()

    def _permute(self, rewiring: Rewiring) -> None:
        """Move entries within slices that keep their sizes."""
        from truesparse.kernels.fill import fill_zero, gather

        for name, change in rewiring.changes.items():
            where = self.layout[name]
            scratch = self.grads[where]
            for flat in (self.values, *self.states.values()):
                gather(scratch, flat[where], change.source, self.matrices[name].group)
                flat[where] = scratch
            fill_zero(scratch)

    def _rearrange(self, rewiring: Rewiring) -> None:
        """Move entries to a new layout."""
        from truesparse.kernels.fill import gather

        groups = {name: matrix.group for name, matrix in self.matrices.items()}
        sizes = {name: change.pattern.nnz * groups[name] for name, change in rewiring.changes.items()}
        old, new = self.layout, self._lay_out(sizes)
        self._numbers.layout = new

        def moved(flat: Flat, grown_only: bool = False) -> Flat:
            fresh = aligned_zeros(self._end())
            for name, where in new.items():
                if name not in rewiring.changes:
                    fresh[where] = flat[old[name]]
                elif not grown_only:
                    gather(fresh[where], flat[old[name]], rewiring.changes[name].source, groups[name])
            return fresh

        none: dict[str, Flat] = {}
        self._biases = self._bias_grads = none  # views keep the numbers of before in memory
        self._numbers.grads = moved(self.grads, grown_only=True)
        self._numbers.values = moved(self.values)
        for state in self.states:
            self.states[state] = moved(self.states[state])
        self._look()

    def _look(self) -> None:
        """Make the views on the biases: a small net looks them up more often than it has to compute."""
        views = (
            {name: flat[self.layout[name]] for name in self._bias_sizes} for flat in (self.values, self.grads)
        )
        self._biases, self._bias_grads = views

    def _lay_out(self, changed: Mapping[str, int]) -> dict[str, slice]:
        """Place the matrices, with their current sizes unless in `changed`, and then the biases."""
        sizes = {name: changed.get(name, matrix.nnz) for name, matrix in self.matrices.items()}
        layout, start = {}, 0
        for name, size in (sizes | self._bias_sizes).items():
            layout[name] = slice(start, start + size)
            start += -(-size // _ALIGNMENT) * _ALIGNMENT
        return layout

    def _end(self) -> int:
        """Length of a flat array of the present layout."""
        last = max((where.stop for where in self.layout.values()), default=0)
        return -(-last // _ALIGNMENT) * _ALIGNMENT


def _restored(
    patterns: Mapping[str, tuple[Pattern, int, int]],
    biases: Mapping[str, int],
    values: Flat,
    states: Mapping[str, Flat],
    frozen: frozenset[str] = frozenset(),
) -> Arena:
    """An arena from what `Arena.__reduce__` gave."""
    arena = Arena(patterns, biases)
    arena.frozen = frozen
    arena.values[...] = values
    for name, state in states.items():
        arena.add_state(name)[...] = state
    return arena
