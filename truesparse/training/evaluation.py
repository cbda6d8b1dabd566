"""Loss of a model on text that it does not learn from."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from truesparse.data import Windows

if TYPE_CHECKING:
    from truesparse.nn import LanguageModel, Workspace


class Evaluation(NamedTuple):
    """Mean loss per token, in nats, and over how many tokens."""

    loss: float
    tokens: int

    @property
    def perplexity(self) -> float:
        """exp(loss)."""
        return perplexity(self.loss)


class EvaluationStopped(Exception):
    """`evaluate` was asked to stop."""


def evaluate(
    model: LanguageModel, windows: Windows, workspace: Workspace, stop: Callable[[], bool] = lambda: False
) -> Evaluation:
    """Run a model over a text, without dropout, the state carried from zero.

    Parameters
    ----------
    model : LanguageModel
    windows : Windows
    workspace : Workspace
        Of at least the windows' steps and of their batch size. Overwritten.
    stop : callable
        Asked before each window.

    Returns
    -------
    Evaluation
        Each window counts by its tokens.

    Raises
    ------
    EvaluationStopped
        `stop` returned True.
    """
    state = model.zero_state(windows.batch_size)
    total = 0.0
    for k in range(len(windows)):
        if stop():
            raise EvaluationStopped
        x, y = windows.window(k)
        total += model.evaluate(x, y, state, workspace) * x.size
    return Evaluation(total / windows.tokens, windows.tokens)


def perplexity(loss: float) -> float:
    """exp(loss), infinite where it does not fit a float."""
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf
