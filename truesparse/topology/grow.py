"""Grow rules: where new entries of a part come.

A rule is a function `(part, keep, count, update) -> Rewired`: given which entries stay, it adds `count` new
ones at positions that are empty then. A position that was just dropped is empty and may come back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from truesparse.kernels.buffers import aligned_zeros
from truesparse.sparse.matrix import SparseMatrix
from truesparse.sparse.pattern import Pattern
from truesparse.sparse.rewiring import Rewired
from truesparse.topology.drop import Keep
from truesparse.topology.initial import draw_seed
from truesparse.topology.rows import row_quotas
from truesparse.topology.scores import highest_empty
from truesparse.topology.update import Part, Update

GrowRule = Callable[[Part, Keep, int, Update], Rewired]


def random_positions(part: Part, keep: Keep, count: int, update: Update) -> Rewired:
    """Grow `count` entries at positions drawn uniformly among all that are empty.

    A position that was just dropped and comes back is a new entry.

    Parameters
    ----------
    part : Part
    keep : ndarray of bool, shape (nnz,)
        Which of its entries stay.
    count : int
        How many entries to grow, at most as many as there are empty positions.
    update : Update
        The result is a function of its generator's state, whatever the number of threads.

    Returns
    -------
    Rewired
        The survivors, in their old order, and the new entries with source -1.

    Raises
    ------
    UsageError
        If the empty positions are fewer than `count`.

    Notes
    -----
    The new entries of each row are a multivariate hypergeometric draw, the columns within a row a uniform
    one. 6 bytes per entry for the result; no array of the dense size.
    """
    return _grow(Pattern(part.indptr, part.indices, part.shape), keep, count, update.rng)


def untried_positions(part: Part, keep: Keep, count: int, update: Update) -> Rewired:
    """Grow `count` entries at positions drawn uniformly among those that were empty before the drop.

    Where these are too few, the rest comes from those that were just dropped. See `random_positions`.
    """
    pattern = Pattern(part.indptr, part.indices, part.shape)
    untried = min(count, part.positions - part.nnz)
    union = _grow(pattern, np.ones(part.nnz, dtype=bool), untried, update.rng)
    new = union.source < 0
    new[~new] = keep[union.source[~new]]  # now: stays
    return _after(_grow(union.pattern, new, count - untried, update.rng), union)


def highest_scores(part: Part, keep: Keep, count: int, update: Update) -> Rewired:
    """Grow `count` entries at the empty positions whose scores have the largest absolute values.

    Of equal scores the first positions are taken, but of those that are 0, as the gradients of words that do
    not occur, any: drawn uniformly. See `random_positions` for parameters and result.

    Notes
    -----
    Besides the result 24 bytes for each entry to grow and some rows; no array of the dense size.

    References
    ----------
    U. Evci, T. Gale, J. Menick, P. S. Castro and E. Elsen, "Rigging the lottery: making all tickets winners",
    2020, algorithm 1.
    """
    if count == 0:
        return random_positions(part, keep, 0, update)
    return with_positions(part, keep, highest_empty(part, keep, count, update), count, update)


def with_positions(
    part: Part, keep: Keep, positions: NDArray[np.int64], count: int, update: Update
) -> Rewired:
    """Grow `count` entries: at the given positions, which are empty, increase, and are at most as many, and
    the rest at positions drawn uniformly among those that are left."""
    if not positions.size:
        return random_positions(part, keep, count, update)
    first = _add(part, keep, positions)
    missing = count - first.grown
    if not missing:
        return first
    return _after(_grow(first.pattern, np.ones(first.pattern.nnz, dtype=bool), missing, update.rng), first)


def join(matrix: SparseMatrix, parts: Sequence[Rewired]) -> Rewired:
    """Stack the changes of all row blocks of a matrix to that of the matrix.

    Parameters
    ----------
    matrix : SparseMatrix
    parts : sequence of Rewired
        One for each block, or a single one for the matrix.
    """
    if len(parts) == 1:
        return parts[0]
    ends = np.cumsum([0, *(part.pattern.nnz for part in parts)])
    indptr = np.concatenate(
        [[0], *(part.pattern.indptr[1:] + end for part, end in zip(parts, ends[:-1], strict=True))]
    )
    starts = matrix.indptr[:: matrix.shape[0] // matrix.blocks].astype(np.int32)
    source = np.concatenate([part.source for part in parts])
    for start, first, last in zip(starts[:-1], ends[:-1], ends[1:], strict=True):
        source[first:last] += np.where(source[first:last] < 0, np.int32(0), start)
    indices = np.concatenate([part.pattern.indices for part in parts])
    return Rewired(Pattern(indptr.astype(np.int64), indices, matrix.shape), source)


def _add(part: Part, keep: Keep, positions: NDArray[np.int64]) -> Rewired:
    """Keep some entries of a part and add the given positions, which are empty and increase."""
    from truesparse.kernels.growth import merge_rows
    from truesparse.kernels.topology import count_kept

    rows, cols = part.shape
    starts = np.searchsorted(positions, np.arange(rows + 1) * cols)
    kept = np.empty(rows, dtype=np.int64)
    count_kept(kept, part.indptr, keep)
    indptr = np.zeros(rows + 1, dtype=np.int64)
    np.cumsum(kept + np.diff(starts), out=indptr[1:])
    indices = aligned_zeros(int(indptr[-1]), part.indices.dtype)
    source = np.empty(indices.size, dtype=np.int32)
    grown = (positions % cols).astype(indices.dtype)
    merge_rows(indices, source, indptr, part.indptr, part.indices, keep, grown, starts)
    return Rewired(Pattern(indptr, indices, part.shape), source)


def _grow(pattern: Pattern, keep: Keep, count: int, rng: np.random.Generator) -> Rewired:
    """Grow entries of a pattern at random positions that are not kept."""
    from truesparse.kernels.topology import count_kept, grow_rows

    rows, cols = pattern.shape
    kept = np.empty(rows, dtype=np.int64)
    count_kept(kept, pattern.indptr, keep)
    indptr = np.zeros(rows + 1, dtype=np.int64)
    np.cumsum(kept + row_quotas(cols - kept, count, rng), out=indptr[1:])
    indices, source = grow_rows(indptr, pattern.indptr, pattern.indices, keep, cols, draw_seed(rng))
    return Rewired(Pattern(indptr, indices, pattern.shape), source)


def _after(second: Rewired, first: Rewired) -> Rewired:
    """Two changes one after the other as one."""
    source = np.where(second.source < 0, np.int32(-1), first.source[second.source])
    return Rewired(second.pattern, source)
