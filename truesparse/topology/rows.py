"""How many entries each row of a pattern gets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from truesparse.errors import UsageError

_FIRST_RANKS = 40.0  # about as many of the first tokens get equal shares
_MOST_POSITIONS = 10**9  # what NumPy's multivariate hypergeometric distribution takes


def row_quotas(empty: NDArray[np.int64], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw how many of `count` positions, uniform among all empty ones, fall into each row.

    Parameters
    ----------
    empty : ndarray of int64, shape (rows,)
        Empty positions of each row.
    count : int
        Positions to draw.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of int64, shape (rows,)

    Raises
    ------
    UsageError
        If there are fewer empty positions than `count`.

    Notes
    -----
    Beyond 10**9 positions it takes 16 bytes for each that is drawn.
    """
    total = _room(empty, count)
    if total < _MOST_POSITIONS:
        return rng.multivariate_hypergeometric(empty, count, method="marginals")
    fewer = min(count, total - count)
    drawn = np.empty(0, np.int64)
    while drawn.size < fewer:  # what came twice is drawn anew
        more = rng.integers(total, size=fewer - drawn.size)
        drawn = np.sort(np.concatenate([drawn, more]))  # np.unique takes ten times as long
        drawn = drawn[np.diff(drawn, prepend=-1) > 0]
    quotas = np.diff(np.searchsorted(drawn, np.concatenate([[0], np.cumsum(empty)])))
    return quotas if fewer == count else empty - quotas


def rank_shares(rows: int, exponent: float, group: int = 1) -> NDArray[np.float64]:
    """Return shares of rows that stand for tokens, the most frequent first: (rank + 40)^-exponent.

    Parameters
    ----------
    rows : int
        Groups of tokens.
    exponent : float
        0 for equal shares.
    group : int
        Tokens of a row.

    Returns
    -------
    ndarray of float64, shape (rows,)

    Notes
    -----
    The counts of words are about in proportion to 1 / rank (Zipf 1949), so shares are so to the counts to the
    power of `exponent`. Adding 40 keeps the first few from wanting more entries than there are columns.
    """
    return np.power(np.arange(rows) * group + _FIRST_RANKS, -exponent)


def shared_quotas(
    empty: NDArray[np.int64], count: int, shares: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draw how many of `count` positions fall into each row, in proportion to shares.

    Each row gets its share, and at most its empty positions, rounded up or down by systematic sampling: the
    mean over draws is the share. See `row_quotas` for the rest.

    Parameters
    ----------
    empty, count, rng
        As for `row_quotas`.
    shares : ndarray of float64, shape (rows,)
        Above 0.
    """
    _room(empty, count)
    low, high = 0.0, float(empty.max() / shares.min())
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if np.minimum(middle * shares, empty).sum() < count else (low, middle)
    ends = np.floor(np.cumsum(np.minimum(high * shares, empty)) + rng.random())
    ends[-1] = count
    quotas: NDArray[np.int64] = np.diff(np.minimum(ends, count), prepend=0).astype(np.int64)
    return quotas


def _room(empty: NDArray[np.int64], count: int) -> int:
    """How many empty positions there are; raises UsageError if these are fewer than `count`."""
    total = int(empty.sum())
    if not 0 <= count <= total:
        raise UsageError(f"{count:,} weights do not fit into {total:,} empty positions")
    return total
