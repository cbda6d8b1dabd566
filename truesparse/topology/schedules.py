"""How the fraction of entries that a topology update replaces changes over training.

A schedule is a function `(initial, final, step, total) -> fraction`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

Schedule = Callable[[float, float, int, int], float]


def cosine(initial: float, final: float, step: int, total: int) -> float:
    r"""Decay along half a cosine, :math:`p_T + (p_0 - p_T) (1 + \cos(\pi t / T)) / 2`.

    Parameters
    ----------
    initial, final : float
        Fractions at step 0 and from step `total` on.
    step : int
        Training steps done, at least 0.
    total : int
        Training steps of the whole run.

    Returns
    -------
    float

    Examples
    --------
    >>> cosine(0.5, 0.005, 50, 100)
    0.2525

    References
    ----------
    T. Dettmers and L. Zettlemoyer, "Sparse networks from scratch: faster training without losing
    performance", 2019.
    """
    if step >= total:
        return final
    return final + (initial - final) * (1 + math.cos(math.pi * step / total)) / 2
