"""Loss of a model on text that it does not learn from."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from truesparse.data.batches import Batches
from truesparse.data.sequences import Sequences
from truesparse.errors import TruesparseError, UsageError
from truesparse.settings import check_kind, check_whole
from truesparse.training.communicator import SERIAL, Communicator

if TYPE_CHECKING:
    from truesparse.model import Model, Workspace


# How a long text is read in parts side by side: the least tokens of a part, how many of them before a part
# tell its first state roughly, and by how much states may differ that are taken to be the same.
PART = 1024
WARM_UP = 256
SAME_STATE = 1e-4
LONGEST_WINDOW = 64


class Evaluation(NamedTuple):
    """Mean loss, in nats where it is one of probabilities, and over how many tokens."""

    loss: float
    tokens: int

    @property
    def perplexity(self) -> float:
        """exp(loss)."""
        return perplexity(self.loss)


class EvaluationStopped(Exception):
    """`evaluate` was asked to stop."""


def evaluate(
    model: Model,
    batches: Batches,
    workspace: Workspace | None = None,
    stop: Callable[[], bool] = lambda: False,
    communicator: Communicator = SERIAL,
) -> Evaluation:
    """Measure a model on data, without dropout. A state that is carried begins with zeros.

    Parameters
    ----------
    model : Model
    batches : Batches
        Such as `Windows` or `SequenceBatches`.
    workspace : Workspace, optional
        Of at least the batches' steps and of their batch size, or of a rank's share of it. Overwritten.
    stop : callable
        Asked before each batch.
    communicator : Communicator
        The ranks that share the batches.

    Returns
    -------
    Evaluation
        Each batch counts by its tokens or sequences.

    Raises
    ------
    EvaluationStopped
        `stop` returned True.
    UsageError
        The model cannot read a batch.
    """
    from truesparse.model.checks import check_batch, check_batches_kind, check_model

    check_model(model)
    check_batches_kind(batches)
    size = batches.batch_size // communicator.size
    workspace = workspace or model.workspace(batches.longest, size)
    state = model.zero_state(size) if batches.carries else None
    total = counted = 0.0
    tokens = 0
    for k in range(len(batches)):
        if stop():
            raise EvaluationStopped
        batch = batches.batch(0, k)
        mine, share = communicator.cut(batch)
        check_batch(model.chain, mine)
        loss = model.loss(mine.inputs, mine.targets, workspace, state, mine.lengths, mine.weights)
        total += loss * (share * batch.counted)
        counted += batch.counted
        tokens += batch.tokens
    (total,) = communicator.sums(total)
    if not counted:
        raise UsageError("there is nothing to evaluate: the batches count nothing")
    return Evaluation(total / counted, tokens)


def predict(model: Model, sequences: Sequences, batch_size: int = 32) -> NDArray[np.float32]:
    """Return what a model predicts for sequences.

    Parameters
    ----------
    model : Model
        With one output for each sequence.
    sequences : Sequences
    batch_size : int
        Sequences that are read side by side.

    Returns
    -------
    ndarray of float32, shape (n, outputs)
        Log-probabilities of the classes, or numbers.

    Raises
    ------
    UsageError
        The model has an output at each step, or cannot read these sequences.
    """
    from truesparse.model.checks import check_inputs, check_model

    check_model(model)
    check_kind("sequences", sequences, Sequences, "what Sequences.of(arrays) returns")
    if model.chain.per_step:
        raise UsageError(
            "the model has an output at each step; use model.predict_steps, or save it and use it"
        )
    size = min(check_whole("batch_size", batch_size), len(sequences))
    workspace = model.workspace(sequences.longest, size)
    outputs = np.empty((len(sequences), model.chain.head.outputs), np.float32)
    order = np.argsort(sequences.lengths, kind="stable")
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
        inputs, lengths = sequences.batch(chosen, size)
        check_inputs(model.chain, inputs, lengths)
        result = model.predict(inputs, workspace, lengths=lengths)
        outputs[chosen] = result[:, : len(chosen)].T
    return outputs


def evaluate_stream(model: Model, ids: NDArray[np.int32], batch_size: int, bptt: int) -> Evaluation:
    """Run a model over a text as one stream, without dropout: each token is predicted from all before it.

    Parameters
    ----------
    model : Model
    ids : ndarray of int32, shape (n_tokens,)
        Two or more.
    batch_size, bptt : int
        Of training. They change how fast it is, not the result: kernels for as many lanes are compiled.

    Returns
    -------
    Evaluation
        Of every token but the first.

    Raises
    ------
    TruesparseError
        There are fewer than two tokens.

    Notes
    -----
    A long text is read in parts side by side. The state before a part is first made from the last tokens of
    the part before, read from zero; where the state after that part turns out to differ from it, all parts
    are read again from the states found. Each time one more part begins as in one stream; since models
    forget, the first time is nearly always enough.
    """
    from truesparse.sparse.panels import Panels  # here: a list of flags needs no Numba

    tokens = len(ids) - 1
    if tokens < 1:
        raise TruesparseError(
            f"the text has {len(ids)} tokens, but a perplexity needs two: one is predicted from the other"
        )
    lanes = Panels(1, batch_size).step_lanes
    parts = max(1, min(lanes, tokens // PART))
    steps = -(-tokens // parts)
    x, y = (_side_by_side(some, lanes, steps) for some in (ids[:-1], ids[1:]))
    workspace = model.workspace(min(bptt, LONGEST_WINDOW), lanes)
    state = model.zero_state(lanes)

    def read(start: int) -> float:
        loss = 0.0
        for first in range(start, steps, workspace.window.panels.steps):
            window = slice(first, first + workspace.window.panels.steps)
            targets = y[window]  # the mean is over those that there are
            loss += model.loss(x[window], targets, workspace, state) * int(np.count_nonzero(targets >= 0))
        return loss

    def of_next_part() -> dict[str, NDArray[np.float32]]:
        """States after each part, in the place of the next one; zero for the first."""
        return {
            name: np.pad(array[:, : parts - 1], ((0, 0), (1, lanes - parts)))
            for name, array in state.arrays().items()
        }

    if parts > 1:
        read(steps - WARM_UP)
    begin = of_next_part() if parts > 1 else state.arrays()
    while True:
        state.load(begin)
        loss = read(0)
        end = of_next_part()
        if all(np.allclose(end[name], begin[name], SAME_STATE, SAME_STATE, equal_nan=True) for name in begin):
            return Evaluation(loss / tokens, tokens)
        begin = end


def _side_by_side(ids: NDArray[np.int32], lanes: int, steps: int) -> NDArray[np.int32]:
    """Parts of `steps` tokens as columns, -1 where there is none."""
    padded = np.full(lanes * steps, -1, np.int32)
    padded[: len(ids)] = ids
    return np.ascontiguousarray(padded.reshape(lanes, steps).T)


def perplexity(loss: float) -> float:
    """exp(loss), infinite where it does not fit a float."""
    try:
        return math.exp(loss)
    except OverflowError:
        return math.inf
