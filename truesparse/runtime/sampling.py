"""Drawing tokens by their probabilities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from truesparse.errors import UsageError


def check_sampling(length: int, temperature: float, top_k: int, top_p: float = 1.0) -> None:
    """Check the arguments of `draw`, and how many tokens are wanted.

    Raises
    ------
    UsageError
        One is out of range.
    """
    if not 0 <= temperature < np.inf:
        raise UsageError(f"--temperature is {temperature}; it must be 0 or more")
    if top_k < 0:
        raise UsageError(f"--top-k is {top_k}; it must be 0 or more")
    if not 0 < top_p <= 1:
        raise UsageError(f"--top-p is {top_p}; it must be above 0 and at most 1")
    if length < 0:
        raise UsageError(f"--length is {length}; it must be 0 or more")


def draw(
    log_probabilities: NDArray[np.float32],
    rng: np.random.Generator,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
) -> int:
    """Draw a token.

    Parameters
    ----------
    log_probabilities : ndarray of float32, shape (V,)
    rng : Generator
    temperature : float
        Log-probabilities are divided by it; 0 takes the most probable token.
    top_k : int
        Draw among the so many most probable tokens; 0 for all.
    top_p : float
        Draw among the most probable tokens, as few as have this probability together; 1 for all.

    Returns
    -------
    int

    References
    ----------
    A. Holtzman et al., "The curious case of neural text degeneration", ICLR 2020, section 3.1 (`top_p`).
    """
    if temperature == 0:
        return int(log_probabilities.argmax())
    with np.errstate(over="ignore"):
        scores = log_probabilities.astype(np.float64) / temperature
    if scores.max() == -np.inf:  # so near 0 that nothing else is left
        return int(log_probabilities.argmax())
    if 0 < top_k < scores.size:
        scores[np.argpartition(scores, -top_k)[:-top_k]] = -np.inf
    weights = np.exp(scores - scores.max())
    if top_p < 1:
        order = np.argsort(-weights, kind="stable")
        sums = np.cumsum(weights[order])
        weights[order[np.searchsorted(sums, top_p * sums[-1]) + 1 :]] = 0
    return int(rng.choice(scores.size, p=weights / weights.sum()))
