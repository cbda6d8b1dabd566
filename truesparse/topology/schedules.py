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


def constant(initial: float, final: float, step: int, total: int) -> float:
    """Stay at the initial fraction."""
    return initial


def cubic(initial: float, final: float, step: int, total: int) -> float:
    r"""Go fast at first and slowly at the end, :math:`s_T + (s_0 - s_T) (1 - t / T)^3`.

    Parameters
    ----------
    initial, final : float
        Values at step 0 and from step `total` on.
    step, total : int
        As for `cosine`.

    Returns
    -------
    float

    Examples
    --------
    >>> round(cubic(0.0, 0.9, 50, 100), 4)
    0.7875

    References
    ----------
    M. Zhu and S. Gupta, "To prune, or not to prune: exploring the efficacy of pruning for model compression",
    2017, equation 1.
    """
    if step >= total:
        return final
    return final + (initial - final) * (1 - step / total) ** 3
