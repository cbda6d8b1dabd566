"""What models say of sequences that nobody has cut to a length."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from truesparse.data import Sequences
from truesparse.errors import TruesparseError
from truesparse.layers.chain import ChainSpec
from truesparse.training.communicator import SERIAL, Communicator
from truesparse.training.evaluation import EvaluationStopped

if TYPE_CHECKING:
    from truesparse.model import Model, Workspace

# Steps of a sequence that are read at once; the next ones go on from there. Buffers are for as many however
# short sequences are: sums are taken in an order that depends on that.
WINDOW = 64
# A model that reads in both directions takes a sequence whole, and buffers as long as it; a longer sentence
# is none, but a file without empty lines.
LONGEST = 4096


def pieces(sequences: Sequences, length: int) -> Sequences:
    """The sequences, those of more than `length` steps cut into such pieces."""
    bounds = zip(sequences.starts[:-1], sequences.starts[1:], strict=True)
    starts = [np.arange(first, end, length) for first, end in bounds]
    return Sequences(sequences.values, np.concatenate([*starts, sequences.starts[-1:]]))


def steps_at_once(chain: ChainSpec, sequences: Sequences, what: str = "sentence") -> int:
    """For how many steps of sequences it takes buffers to read them: all of the longest, if a model reads in
    both directions or predicts once a sequence.

    Raises
    ------
    TruesparseError
        It predicts at each step, reads in both directions, and one is longer than `LONGEST`.
    """
    if not chain.per_step:
        return sequences.longest
    if not chain.whole:
        return WINDOW
    if sequences.longest > LONGEST:
        mend = "put an empty line after each sentence" if what == "sentence" else "give shorter ones"
        raise TruesparseError(
            f"a {what} has {sequences.longest:,} steps, and a model that reads in both directions takes whole"
            f" ones of at most {LONGEST:,}; {mend}"
        )
    return max(WINDOW, sequences.longest)


def step_outputs(
    model: Model,
    sequences: Sequences,
    workspace: Workspace,
    stop: Callable[[], bool] = lambda: False,
    communicator: Communicator = SERIAL,
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Read sequences, each from a state of zeros to its end, whatever its length.

    Parameters
    ----------
    model : Model
        That predicts at each step.
    sequences : Sequences
    workspace : Workspace
        For as many steps as `steps_at_once` says, and as many sequences as are to be read side by side.
        Overwritten.
    stop : callable
        Asked before each window; where ranks share the work, when they begin with other sequences.
    communicator : Communicator
        The ranks that share the sequences: each gets its part of them.

    Yields
    ------
    slice
        Which of `sequences.values`.
    ndarray of float32, shape (steps, outputs)
        Log-probabilities of their labels, or numbers.

    Raises
    ------
    EvaluationStopped
        `stop` returned True.
    """
    batch_size = workspace.window.panels.batch
    order = np.argsort(sequences.lengths, kind="stable")
    whole = model.chain.whole
    state = None if whole else model.zero_state(batch_size)
    for chosen in _shares(order, batch_size, stop, communicator):
        inputs, lengths = sequences.batch(chosen, batch_size)
        if state is not None:
            state.reset()
        steps = len(inputs) if whole else WINDOW
        for start in range(0, len(inputs), steps):
            if start and communicator.size == 1 and stop():
                raise EvaluationStopped
            window = inputs[start : start + steps]
            left = np.clip(lengths - start, 0, len(window)).astype(np.int32)
            scores = model.predict_steps(window, workspace, state, left)
            for place, number in enumerate(chosen):
                if left[place]:
                    begin = sequences.starts[number] + start
                    yield slice(begin, begin + left[place]), scores[: left[place], :, place]


def outputs(
    model: Model,
    sequences: Sequences,
    workspace: Workspace,
    stop: Callable[[], bool] = lambda: False,
    communicator: Communicator = SERIAL,
) -> NDArray[np.float32]:
    """The outputs of a model for sequences, or for each of their steps.

    Parameters
    ----------
    model, sequences, workspace, stop, communicator
        As in `step_outputs`.

    Returns
    -------
    ndarray of float32, shape (sequences or steps, outputs)
        Log-probabilities of labels, or numbers.

    Raises
    ------
    EvaluationStopped
        `stop` returned True.
    """
    chain = model.chain
    if chain.per_step:
        said = np.zeros((len(sequences.values), chain.head.outputs), np.float32)
        for where, some in step_outputs(model, sequences, workspace, stop, communicator):
            said[where] = some
        return communicator.total(said)
    said = np.zeros((len(sequences), chain.head.outputs), np.float32)
    size = workspace.window.panels.batch
    order = np.argsort(sequences.lengths, kind="stable")
    for chosen in _shares(order, size, stop, communicator):
        inputs, lengths = sequences.batch(chosen, size)
        said[chosen] = model.predict(inputs, workspace, lengths=lengths)[:, : len(chosen)].T
    return communicator.total(said)


def _shares(
    order: NDArray[np.int64], size: int, stop: Callable[[], bool], communicator: Communicator
) -> Iterator[NDArray[np.int64]]:
    """Give this rank's part of some numbers, `size` at most at a time, each after asking whether to stop."""
    for first in range(0, len(order), size * communicator.size):
        if stop():
            raise EvaluationStopped
        chosen = order[first : first + size * communicator.size][communicator.lanes()]
        if len(chosen):
            yield chosen
