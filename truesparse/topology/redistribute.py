"""Redistribution: how many entries each part gets for those that were dropped.

A rule is a function `(parts, keeps, update) -> counts`: how many entries to grow in each part.

A method that moves entries between parts may also say what fraction each part drops, by a function
`(parts, update) -> fractions`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from truesparse.topology.drop import Keep
from truesparse.topology.initial import largest_remainders
from truesparse.topology.scores import mean_score
from truesparse.topology.update import Part, Update

Redistribution = Callable[[Sequence[Part], Sequence[Keep], Update], Sequence[int]]
Fractions = Callable[[Sequence[Part], Update], Sequence[float]]

OWED = "owed"  # of `Update.memory`: weights that were dropped and did not make an entry yet

_NEARLY_FULL = 0.2  # a part with a smaller share of empty positions


def as_dropped(parts: Sequence[Part], keeps: Sequence[Keep], update: Update) -> Sequence[int]:
    """As many as it lost: every part keeps its number."""
    return [keep.size - int(np.count_nonzero(keep)) for keep in keeps]


def none_grown(parts: Sequence[Part], keeps: Sequence[Keep], update: Update) -> Sequence[int]:
    """None: the model shrinks."""
    return [0] * len(parts)


def by_survivors(parts: Sequence[Part], keeps: Sequence[Keep], update: Update) -> Sequence[int]:
    """In proportion to the entries that stayed.

    References
    ----------
    H. Mostafa and X. Wang, "Parameter efficient training of deep convolutional neural networks by dynamic
    sparse reparameterization", 2019, algorithm 1 (DSR).
    """
    survivors = [part.group * np.count_nonzero(keep) for part, keep in zip(parts, keeps, strict=True)]
    return _share_weights(np.array(survivors), parts, keeps, update)


def by_mean_score(parts: Sequence[Part], keeps: Sequence[Keep], update: Update) -> Sequence[int]:
    """In proportion to the mean absolute score of the entries that there were.

    References
    ----------
    T. Dettmers and L. Zettlemoyer, "Sparse networks from scratch: faster training without losing
    performance", 2019, section 3.2, with the momentum as the score.
    """
    return _share_weights(np.array([mean_score(part, update) for part in parts]), parts, keeps, update)


def by_momentum(parts: Sequence[Part], keeps: Sequence[Keep], update: Update) -> Sequence[int]:
    """In proportion to the mean absolute momentum of the weights that there were, before the first step as
    they dropped.

    References
    ----------
    S. Liu, I. Ni'mah, V. Menkovski, D. C. Mocanu and M. Pechenizkiy, "Efficient and effective training of
    sparse recurrent neural networks", 2021, table 7.
    """
    shares = np.array([_mean_momentum(part, update) for part in parts])
    return _share_weights(shares, parts, keeps, update) if shares.any() else as_dropped(parts, keeps, update)


def less_of_nearly_full(
    parts: Sequence[Part], update: Update, mean: Callable[[Part, Update], float] = mean_score
) -> Sequence[float]:
    """The fraction of the update; of a part that is nearly full and still grows at most its empty share.

    Nearly full is a part with less than a fifth of its positions empty; it grows if the mean absolute score
    of its entries, or another `mean`, is above the mean over all parts. Without this such a part would drop
    many entries that it then has to grow again for want of other room.

    References
    ----------
    T. Dettmers and L. Zettlemoyer, "Sparse networks from scratch: faster training without losing
    performance", 2019: a rule of the authors' code.
    """
    empty = [1 - part.nnz / part.positions for part in parts]
    if min(empty, default=1.0) >= _NEARLY_FULL:
        return [update.fraction] * len(parts)
    scores = [mean(part, update) for part in parts]
    average = sum(scores) / len(scores)
    return [
        min(share, update.fraction) if share < _NEARLY_FULL and score > average else update.fraction
        for share, score in zip(empty, scores, strict=True)
    ]


def less_of_nearly_full_by_momentum(parts: Sequence[Part], update: Update) -> Sequence[float]:
    """`less_of_nearly_full` with the momentum as the score."""
    return less_of_nearly_full(parts, update, _mean_momentum)


def _mean_momentum(part: Part, update: Update) -> float:
    """The mean absolute momentum of the weights of a part; 0 if it has none."""
    momentum = part.state(update.momentum)
    return float(np.abs(momentum).sum(dtype=np.float64)) / max(momentum.size, 1)


def _share_weights(
    shares: NDArray[np.number], parts: Sequence[Part], keeps: Sequence[Keep], update: Update
) -> Sequence[int]:
    """Share out the weights that were dropped; entries may have several.

    What is too little for an entry goes to the next part, those of the smallest entries coming last. What is
    left in the end, less than the largest entry has, is remembered as `OWED` for the next update.
    """
    sizes = np.array([part.group for part in parts])
    room = np.array(
        [part.positions - np.count_nonzero(keep) for part, keep in zip(parts, keeps, strict=True)]
    )
    total = int((sizes * as_dropped(parts, keeps, update)).sum()) + int(update.memory.get(OWED, 0))
    weights = shared_out(total, shares, sizes * room)
    counts, left = np.zeros_like(room), 0
    for part in np.argsort(-sizes, kind="stable"):
        left += weights[part]
        counts[part] = min(left // sizes[part], room[part])
        left -= counts[part] * sizes[part]
    update.memory[OWED] = int(left)
    return counts.tolist()


def shared_out(total: int, shares: NDArray[np.number], room: NDArray[np.int64]) -> NDArray[np.int64]:
    """Share out a number of entries.

    Parameters
    ----------
    total : int
        At most the sum of `room`.
    shares : ndarray, shape (n,)
        At least 0.
    room : ndarray of int64, shape (n,)

    Returns
    -------
    ndarray of int64, shape (n,)
        In proportion to `shares`, none above its room; they add up to `total`. What does not fit is shared
        out again among the others, or evenly if these have no shares.
    """
    counts = np.zeros(len(room), dtype=np.int64)
    while (left := total - int(counts.sum())) > 0:
        weights = np.where(counts < room, shares, 0).astype(np.float64)
        if not weights.any():
            weights = (counts < room).astype(np.float64)
        more = largest_remainders(left * weights / weights.sum(), left)
        counts = np.minimum(counts + more, room)
    return counts
