"""Drop rules: which entries of a part go.

A rule is a function `(part, update) -> keep`: a boolean array of shape (nnz,) that is True for the entries
that stay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from truesparse.topology.update import Part, Update

Keep = NDArray[np.bool_]
DropRule = Callable[[Part, Update], Keep]

FIRST_THRESHOLD = 1e-3  # of DSR


def smallest_magnitude(part: Part, update: Update) -> Keep:
    """Drop the fraction of the entries that have the smallest absolute values, rounded down.

    Of equal values the first in position order go.

    Notes
    -----
    Linear in nnz (selection, not sorting); 5 bytes per entry while it runs.

    References
    ----------
    S. Liu, I. Ni'mah, V. Menkovski, D. C. Mocanu and M. Pechenizkiy, "Efficient and effective training of
    sparse recurrent neural networks", 2021, section 3: the magnitude percentile of a layer, here made exact
    so that the number of weights never changes.
    """
    return ~smallest(part.data, int(update.fraction * part.nnz))


def smallest_of_each_sign(part: Part, update: Update) -> Keep:
    """Drop the fraction of the positive entries nearest to 0, and of the negative entries nearest to 0.

    Each number is rounded down; an entry that is exactly 0 counts among the positive ones. A connection of
    several weights has the sign of their sum.

    Notes
    -----
    8 bytes per entry while it runs. Some public codes drop the negative entries farthest from 0.

    References
    ----------
    D. C. Mocanu et al., "Scalable training of artificial neural networks with adaptive sparse connectivity
    inspired by network science", 2018, algorithm 1 (SET).
    """
    data = part.data
    negative = data < 0
    keep = np.ones(part.nnz, dtype=bool)
    for side in (~negative, negative):
        keep &= ~smallest(data, int(update.fraction * np.count_nonzero(side)), side)
    return keep


def below_threshold(part: Part, update: Update) -> Keep:
    """Drop the entries whose absolute value is below a threshold that all parts share; keep at least one.

    Of a connection with several weights the threshold is one for each of them on average. It is remembered as
    "threshold", and moved by `double_or_halve`.

    References
    ----------
    H. Mostafa and X. Wang, "Parameter efficient training of deep convolutional neural networks by dynamic
    sparse reparameterization", 2019, algorithm 1 (DSR).
    """
    magnitude = np.abs(part.data) / np.float32(part.group)
    keep = magnitude >= np.float32(update.memory.setdefault("threshold", FIRST_THRESHOLD))
    if part.nnz and not keep.any():
        keep[magnitude.argmax()] = True
    return keep


def double_or_halve(keeps: Sequence[Keep], update: Update) -> None:
    """Move the threshold of `below_threshold` for the next update, if it let go of too few or too many.

    It doubles if less than 0.9 of the wanted fraction of all entries has gone, and halves above 1.1.
    """
    entries = sum(keep.size for keep in keeps)
    dropped = entries - sum(int(np.count_nonzero(keep)) for keep in keeps)
    if dropped < 0.9 * update.fraction * entries:
        update.memory["threshold"] *= 2
    elif dropped > 1.1 * update.fraction * entries:
        update.memory["threshold"] /= 2


def down_to_target(part: Part, update: Update) -> Keep:
    """Drop the smallest entries until a part has come the fraction of the way from full to its target.

    References
    ----------
    M. Zhu and S. Gupta, "To prune, or not to prune: exploring the efficacy of pruning for model compression",
    2017, section 3.
    """
    wanted = part.positions - round(update.fraction * (part.positions - update.targets[part.name]))
    return ~smallest(part.data, max(part.nnz - wanted, 0))


def changed_sign(part: Part, update: Update) -> Keep:
    """Drop the entries that do not have the sign any more that they were given, the state "sign".

    References
    ----------
    G. Bellec, D. Kappel, W. Maass and R. Legenstein, "Deep rewiring: training very sparse deep networks",
    2018, algorithm 1.
    """
    return part.data * part.state("sign") > 0


def smallest(data: NDArray[np.float32], count: int, among: Keep | None = None) -> NDArray[np.bool_]:
    """Mark the `count` elements of the smallest absolute value; of equal ones, the first.

    Parameters
    ----------
    data : ndarray of float32, shape (n,)
    count : int
        At most as many as there are to choose among.
    among : ndarray of bool, shape (n,), optional
        Which elements to choose among; all of them if left out.

    Returns
    -------
    ndarray of bool, shape (n,)
        True for exactly `count` elements.
    """
    if count == 0:
        return np.zeros(data.size, dtype=bool)
    magnitude = _magnitude(np.empty_like(data), data, among)
    magnitude.partition(count - 1)
    threshold = magnitude[count - 1]
    _magnitude(magnitude, data, among)
    marked = magnitude <= threshold
    spared = np.count_nonzero(marked) - count
    if spared:
        marked[np.flatnonzero(magnitude == threshold)[-spared:]] = False
    return marked


def _magnitude(
    out: NDArray[np.float32], data: NDArray[np.float32], among: Keep | None
) -> NDArray[np.float32]:
    """Write the absolute values to `out`, infinite for what is not among the elements to choose."""
    np.abs(data, out=out)
    if among is not None:
        out[~among] = np.inf
    return out
