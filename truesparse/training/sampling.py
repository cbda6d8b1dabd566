"""Text from a language model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from truesparse.errors import UsageError

if TYPE_CHECKING:
    from truesparse.nn import LanguageModel

_PROMPT_STEPS = 32


def sample(
    model: LanguageModel,
    prompt: np.ndarray,
    length: int,
    rng: np.random.Generator,
    temperature: float = 1.0,
    top_k: int = 0,
) -> Iterator[int]:
    """Draw tokens one after another, each given all before it.

    Parameters
    ----------
    model : LanguageModel
    prompt : ndarray of int32, shape (n_tokens,)
        What comes first; at least one token. Not among the tokens drawn.
    length : int
        How many tokens to draw.
    rng : Generator
    temperature : float
        Log-probabilities are divided by it; 0 takes the most probable token each time.
    top_k : int
        Draw among the so many most probable tokens; 0 for all.

    Yields
    ------
    int

    Raises
    ------
    UsageError
        An argument is out of range.
    """
    if temperature < 0 or not np.isfinite(temperature):
        raise UsageError(f"--temperature is {temperature}; it must be 0 or more")
    if top_k < 0:
        raise UsageError(f"--top-k is {top_k}; it must be 0 or more")
    if length < 0:
        raise UsageError(f"--length is {length}; it must be 0 or more")
    if not len(prompt):
        raise UsageError("the prompt has no tokens; give --prompt a word")
    state = model.zero_state(1)
    workspace = model.workspace(_PROMPT_STEPS, 1)
    ids = np.asarray(prompt, np.int32).reshape(-1, 1)
    for start in range(0, len(ids), _PROMPT_STEPS):
        log_probabilities = model.predict(ids[start : start + _PROMPT_STEPS], state, workspace)
    for _ in range(length):
        token = _draw(log_probabilities[:, 0], rng, temperature, top_k)
        yield token
        log_probabilities = model.predict(np.array([[token]], np.int32), state, workspace)


def _draw(log_probabilities: np.ndarray, rng: np.random.Generator, temperature: float, top_k: int) -> int:
    if temperature == 0:
        return int(log_probabilities.argmax())
    scores = log_probabilities.astype(np.float64) / temperature
    if 0 < top_k < scores.size:
        scores[np.argpartition(scores, -top_k)[:-top_k]] = -np.inf
    weights = np.exp(scores - scores.max())
    return int(rng.choice(scores.size, p=weights / weights.sum()))
