"""Scores of all positions of a part, a few rows at a time: nothing here has the size `out x in`."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from truesparse.kernels.buffers import aligned_zeros
from truesparse.topology.drop import Keep
from truesparse.topology.update import Part, Scores, Update

_ROWS = 128  # at a time; with 720 lanes of a gradient, they stay in an L2 cache of 1 MB
_ELEMENTS = 1 << 20  # at a time at most, but for wider matrices


def rows_at_a_time(
    score: Scores, shape: tuple[int, ...], start: int = 0
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Give the scores of the rows of a matrix, some at a time.

    Parameters
    ----------
    score : function
        One of `Update.scores`.
    shape : tuple of int
        How many rows and columns.
    start : int
        The first row.

    Yields
    ------
    first : int
        The first of them, counted from `start`.
    scores : ndarray of float32, shape (some rows, columns)
        May be modified; the next ones are written to the same memory.
    """
    rows, columns = shape
    height = max(1, min(rows, _ROWS, _ELEMENTS // columns))
    buffer = aligned_zeros((height, columns))
    for first in range(0, rows, height):
        scores = buffer[: min(height, rows - first)]
        score(scores, start + first)
        yield first, scores


def highest_empty(part: Part, keep: Keep, count: int, update: Update) -> NDArray[np.int64]:
    """Find the empty positions whose scores have the largest absolute values.

    Parameters
    ----------
    part : Part
    keep : ndarray of bool, shape (nnz,)
        Which of its entries stay; the other positions are empty.
    count : int
        At least 1.
    update : Update

    Returns
    -------
    ndarray of int64, shape (n,)
        Positions, row times columns plus column, increasing. `count` of them, or all whose score is not 0 if
        these are fewer. Of equal scores the first are taken.

    Notes
    -----
    Scores are looked at once. Those above a rising threshold are kept, up to twice `count` at a time: 24
    bytes for each of `count`, and some rows.
    """
    from truesparse.kernels.growth import collect_above, empty_magnitudes

    columns = part.shape[1]
    room = min(2 * count, part.positions) + columns
    values, places = np.empty(room, np.float32), np.empty(room, np.int64)
    found, threshold = 0, np.float32(0)
    for first, scores in _rows(part, update):
        indptr = part.indptr[first : first + len(scores) + 1]
        empty_magnitudes(scores, indptr, part.indices, keep)
        row = 0
        while row < len(scores):
            found, row = collect_above(values, places, found, scores, row, first, threshold)
            if row < len(scores):
                found, threshold = _keep_highest(values, places, found, count)
    if found > count:
        found, _ = _keep_highest(values, places, found, count)
    return places[:found].copy()


def _keep_highest(
    values: NDArray[np.float32], places: NDArray[np.int64], found: int, count: int
) -> tuple[int, np.float32]:
    """Keep the `count` highest, in their order, and return their number and the lowest of them."""
    threshold = np.partition(values[:found], found - count)[found - count]
    chosen = np.flatnonzero(values[:found] >= threshold)
    ties = values[chosen] == threshold
    spare = chosen.size - count
    if spare:
        chosen = np.delete(chosen, np.flatnonzero(ties)[-spare:])
    values[:count] = values[chosen]
    places[:count] = places[chosen]
    return count, threshold


def _rows(part: Part, update: Update) -> Iterator[tuple[int, NDArray[np.float32]]]:
    return rows_at_a_time(part.scores(update), part.shape, part.first_row)


def mean_score(part: Part, update: Update) -> float:
    """The mean absolute score of the weights of a part; 0 if it has none."""
    total = 0.0
    for first, scores in _rows(part, update):
        ends = part.indptr[first : first + len(scores) + 1]
        rows = np.repeat(np.arange(len(scores)), np.diff(ends))
        total += float(np.abs(scores[rows, part.indices[ends[0] : ends[-1]]]).sum(dtype=np.float64))
    return total / max(part.nnz * part.group, 1)
