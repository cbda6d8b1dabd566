"""How ranks stay equal: they add up their gradients, and compare what they have now and then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.errors import TruesparseError
from truesparse.sparse import Arena, SparseMatrix
from truesparse.training.communicator import Communicator
from truesparse.training.evolution import Evolution
from truesparse.training.task import crc32_of

ALONE = 1 << 14  # gradients that are worth a message of their own
CHECK_STEPS = 100  # steps between comparisons, each of which reads all weights and states once

Rows = Any  # a function of `truesparse.layers.layer.GradientRows`


class GradientSum:
    """Adds up the gradients of an arena over all ranks, in place: of large matrices while the backward pass
    goes on below them, of all others when it has ended.

    Parameters
    ----------
    communicator : Communicator
    arena : Arena
        What is frozen in it stays as it is.
    lookups : collection of str
        Matrices of which only the rows of the tokens in `inputs` have gradients.
    inputs : ndarray
        Of the whole batch, not only of this rank: it tells all ranks which rows travel, so that their numbers
        need not.
    """

    def __init__(
        self, communicator: Communicator, arena: Arena, lookups: Collection[str], inputs: NDArray[Any]
    ) -> None:
        self._communicator = communicator
        self._arena = arena
        self._lookups = lookups
        self._inputs = inputs
        self._done = {*lookups, *arena.frozen}

    def begin(self, names: Collection[str]) -> None:
        """Begin with matrices and vectors whose gradients are final; small ones are left to `finish`."""
        layout = self._arena.layout
        large = {name for name in names if layout[name].stop - layout[name].start >= ALONE} - self._done
        self._done |= large
        for stretch in _stretches(self._arena, layout.keys() - large):
            self._communicator.start(self._arena.grads[stretch])

    def finish(self) -> None:
        """Add up what is left, and wait for all."""
        communicator, arena, inputs = self._communicator, self._arena, self._inputs
        grads = arena.grads
        communicator.finish()
        for name in self._lookups:
            if name not in arena.frozen:
                entries = _entries(arena.matrices[name], np.unique(inputs[inputs >= 0]))
                flat = grads[arena.layout[name]]
                if entries.size < flat.size:
                    some = flat[entries]
                    communicator.all_reduce(some)
                    flat[entries] = some
                else:
                    communicator.all_reduce(flat)
        for stretch in _stretches(arena, self._done):
            communicator.all_reduce(grads[stretch])


def _entries(matrix: SparseMatrix, rows: NDArray[Any]) -> NDArray[np.int64]:
    """Where the weights of some rows, or of the groups that they belong to, lie in a matrix."""
    if matrix.group > 1:
        row_step, member_step = matrix.row_steps
        rows = np.unique(rows % member_step if row_step == 1 else rows // row_step)
    starts, ends = (bounds[rows] * matrix.group for bounds in (matrix.indptr[:-1], matrix.indptr[1:]))
    lengths = ends - starts
    before = np.cumsum(lengths) - lengths
    return np.arange(int(lengths.sum())) + np.repeat(starts - before, lengths)


def _stretches(arena: Arena, without: Collection[str]) -> Iterator[slice]:
    """Stretches of the flat arrays, as long as can be, that have all but some matrices."""
    ends = [*(where.start for where in arena.layout.values()), arena.size][1:]
    begin = end = 0
    for name, stop in zip(arena.layout, ends, strict=True):
        if name in without:
            if begin < end:
                yield slice(begin, end)
            begin = stop
        end = stop
    if begin < end:
        yield slice(begin, end)


def reduced(communicator: Communicator, rows: Mapping[str, Rows]) -> dict[str, Rows]:
    """Functions that write some rows of gradients of all positions, added up over all ranks.

    All ranks ask for the same rows in the same order, since they do the same. Only these rows exist at a
    time.
    """
    if communicator.size == 1:
        return dict(rows)

    def write(own: Rows, out: NDArray[np.float32], first: int) -> None:
        own(out, first)
        communicator.all_reduce(out)

    return {name: partial(write, own) for name, own in rows.items()}


def check_equal(
    communicator: Communicator, arena: Arena, step: int, evolution: Evolution | None = None
) -> None:
    """Compare topology, weights, optimizer states and what the method remembers of all ranks.

    Raises
    ------
    TruesparseError
        On all ranks: the first one that differs from most, and in what.
    """
    if communicator.size == 1:
        return
    mine = dict(_checksums(arena, evolution))
    every = communicator.gather(list(mine.values()))
    common = Counter(map(tuple, every)).most_common(1)[0][0]
    for rank, sums in enumerate(every):
        for name, own, others in zip(mine, sums, common, strict=False):
            if own != others:
                raise TruesparseError(
                    f"rank {rank} has drifted from the others: {name} differ{'s' * ('state' in name)} after"
                    f" step {step}; go on with --resume from the last checkpoint, and make sure that all"
                    " ranks have the same kind of processor and the same versions of numba and numpy"
                )


def _checksums(arena: Arena, evolution: Evolution | None) -> Iterator[tuple[str, int]]:
    """CRC-32 of all that must be the same everywhere, by names."""
    for name, matrix in arena.matrices.items():
        yield f"the positions of {name}", crc32_of([matrix.indptr, matrix.indices])
    for name, where in arena.layout.items():
        yield f"the values of {name}", crc32_of([arena.values[where]])
        for state, flat in arena.states.items():
            yield f"the optimizer's state {state} of {name}", crc32_of([flat[where]])
    if evolution is not None:
        for name, array in evolution.arrays().items():
            yield f"the method's state {name}", crc32_of([array])
