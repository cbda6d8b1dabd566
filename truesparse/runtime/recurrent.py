"""What models of sequences have in common: an embedding and layers behind it, read token by token."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from truesparse.errors import TruesparseError, UsageError
from truesparse.layers.chain import EMBEDDING
from truesparse.layers.output.spec import Softmax
from truesparse.layers.product import Product
from truesparse.layers.step import StepState, step_of
from truesparse.modelfile import StoredModel

Array = NDArray[np.float32]
_BATCH = 32  # sequences that are read side by side
_OVERFLOW: dict[str, Any] = {"over": "ignore", "invalid": "ignore"}  # whoever uses the scores looks for it


class Recurrence:
    """The embedding and the layers that compute something at each step; keeps no state.

    Parameters
    ----------
    stored : StoredModel

    Raises
    ------
    TruesparseError
        The model reads no tokens, or says no probabilities, or something at each step without a state, or
        has a layer that the runtime has not.
    """

    def __init__(self, stored: StoredModel) -> None:
        chain = stored.chain
        self.places, _ = chain.split()
        self.whole = chain.whole
        if not chain.tokens:
            raise TruesparseError(
                f"{stored.path} reads features, but the runtime tokens; use truesparse.load for it"
            )
        if not isinstance(chain.head, Softmax):
            raise TruesparseError(
                f"{stored.path} says numbers, but the runtime probabilities; use truesparse.load for it"
            )
        if chain.per_step and not self.places:
            raise TruesparseError(f"{stored.path} has no recurrent layer, which the runtime needs")
        self._embedding = stored.matrices[EMBEDDING]
        self.layers = [step_of(place, stored.matrices, stored.vectors) for place in self.places]

    def zero_state(self, batch: int) -> list[StepState]:
        """A state of zeros for each layer."""
        return [layer.zero_state(batch) for layer in self.layers]

    def step(self, tokens: NDArray[np.intp], state: list[StepState]) -> Array:
        """Read one token of each sequence.

        Parameters
        ----------
        tokens : ndarray of int, shape (B,)
            Checked by `check_tokens`.
        state : list
            Made by `zero_state`; modified in place.

        Returns
        -------
        ndarray of float32, shape (H, B)
            Output of the last layer; may be a part of the state.
        """
        x = self._look_up(tokens)
        with np.errstate(**_OVERFLOW):
            for layer, own in zip(self.layers, state, strict=True):
                x = layer.step(x, own)
        return x

    def run(self, sequences: Sequence[NDArray[np.intp]]) -> Iterator[Array]:
        """Read sequences of which none is longer than the one before; the output of each step, as `step` has
        it, for those that have not ended."""
        lengths = np.array([ids.size for ids in sequences])
        active = [int(np.count_nonzero(lengths > step)) for step in range(lengths[0])]
        tokens = (np.array([ids[step] for ids in sequences[:some]]) for step, some in enumerate(active))
        if self.whole:
            yield from self._run_whole(tokens)
            return
        state = self.zero_state(len(sequences))
        for own, some in zip(tokens, active, strict=True):
            yield self.step(own, [tuple(array[:, :some] for array in parts) for parts in state])

    def _run_whole(self, tokens: Iterator[NDArray[np.intp]]) -> list[Array]:
        """The same, each layer from end to end."""
        steps = [self._look_up(own) for own in tokens]
        with np.errstate(**_OVERFLOW):
            for layer in self.layers:
                steps = layer.run(steps) if steps else []
        return steps

    def check_tokens(self, tokens: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.intp]:
        """Tokens as an array of `shape`.

        Raises
        ------
        TruesparseError
            They are no whole numbers, too few or many, or one is not in the vocabulary.
        """
        numbers = np.asarray(tokens)
        if numbers.shape != shape or numbers.dtype.kind not in "iu":
            what = "one whole number" if shape == () else f"whole numbers, an array of shape {shape}"
            raise TruesparseError(
                f"tokens must be {what}, not {numbers.dtype} of shape {numbers.shape}"
                f"; encode text with the model's vocabulary"
            )
        size = self._embedding.shape[0]
        outside = (numbers < 0) | (numbers >= size)
        if outside.any():
            raise TruesparseError(
                f"the token {numbers[outside].flat[0]} is not in the vocabulary, which has the numbers 0 to"
                f" {size - 1}"
            )
        return numbers.astype(np.intp)

    def _look_up(self, tokens: NDArray[np.intp]) -> Array:
        """Embeddings of the tokens, shape (D, B)."""
        indptr, indices, data, shape = self._embedding
        x = np.zeros((shape[1], tokens.size), np.float32)
        for place, token in enumerate(tokens):
            entries = slice(indptr[token], indptr[token + 1])
            x[indices[entries], place] = data[entries]
        return x

    def parts(self, state: list[StepState]) -> dict[str, NDArray[Any]]:
        """The arrays of a state by names such as ``lstm.0.h``."""
        return {
            name: array
            for place, own in zip(self.places, state, strict=True)
            for name, array in zip(place.state, own, strict=True)
        }


class OutputLayer:
    """Scores of tokens or classes, and the layers that only they need.

    Parameters
    ----------
    stored : StoredModel
    """

    __slots__ = ("_bias", "_layers", "_product")

    def __init__(self, stored: StoredModel) -> None:
        stored = stored.with_sparse_output()
        _, places = stored.chain.split()
        self._layers = [step_of(place, stored.matrices, stored.vectors) for place in places]
        self._product = Product(stored.matrices[stored.chain.output_matrix])
        self._bias = stored.vectors["output.bias"][:, None]

    def __call__(self, x: Array) -> Array:
        """Return scores of shape (outputs, B), `x` being of shape (H, B)."""
        with np.errstate(**_OVERFLOW):
            for layer in self._layers:
                x = layer.step(x, ())
            scores = self._product(x)
            scores += self._bias
        return scores


class SequenceModel:
    """What models of sequences have: a recurrence and an output layer. Not changed by use.

    Parameters
    ----------
    stored : StoredModel

    Attributes
    ----------
    chain : ChainSpec
    labels : tuple of str
        Names of the outputs, if they have any.
    """

    def __init__(self, stored: StoredModel) -> None:
        self.chain = stored.chain
        self.labels = stored.labels
        self._path = stored.path
        self._recurrent = Recurrence(stored)
        self._output = OutputLayer(stored)

    def scores(self, tokens: NDArray[Any]) -> list[Array]:
        """What the output layer says of tokens of shape (steps, B), from zeros: arrays of shape (outputs, B),
        one for each step, or one alone where the model says something once a sequence."""
        steps = self._recurrent.run(list(tokens.T))
        return [self._output(h) for h in self._ends(steps, tokens.shape)]

    def _ends(self, steps: Iterator[Array], shape: tuple[int, ...]) -> Iterable[Array]:
        """What the output layer sees of sequences of a shape (steps, B)."""
        return steps

    def _check(self, sequences: Sequence[ArrayLike]) -> list[NDArray[np.intp]]:
        """Sequences of tokens, each of its own length; raises as `Recurrence.check_tokens`."""
        return [self._recurrent.check_tokens(ids, np.shape(ids)) for ids in sequences]

    def _read(
        self, sequences: Sequence[NDArray[np.intp]]
    ) -> Iterator[tuple[NDArray[np.intp], Iterator[Array]]]:
        """Read sequences, some side by side: their places, and what `Recurrence.run` gives for them."""
        # Those of about the same length are read together, the longest first: what has ended stands last.
        order = np.argsort([-ids.size for ids in sequences], kind="stable")
        for start in range(0, len(sequences), _BATCH):
            places = order[start : start + _BATCH]
            yield places, self._recurrent.run([sequences[place] for place in places])


class Stream:
    """Sequences on their way through a model, with the state that is carried from token to token.

    Parameters
    ----------
    recurrent : Recurrence
    output : OutputLayer
    batch : int or None
        How many sequences are read side by side; None for one, whose tokens are numbers, not arrays.

    Raises
    ------
    UsageError
        If `batch` is less than 1.
    TruesparseError
        The model reads in both directions.
    """

    __slots__ = ("_output", "_recurrent", "_shape", "_state")

    def __init__(self, recurrent: Recurrence, output: OutputLayer, batch: int | None) -> None:
        if batch is not None and batch < 1:
            raise UsageError(f"the batch is {batch}; it must be at least 1")
        if recurrent.whole:
            raise TruesparseError(
                "a model that reads in both directions has no stream, as it says nothing before a sequence is"
                " whole; use log_probabilities"
            )
        self._recurrent = recurrent
        self._output = output
        self._shape = () if batch is None else (batch,)
        self.reset()

    def reset(self) -> None:
        """Forget what was read."""
        self._state = self._recurrent.zero_state(self._shape[0] if self._shape else 1)

    def advance(self, tokens: ArrayLike) -> None:
        """Read a token of each sequence.

        Parameters
        ----------
        tokens : array_like of int, shape (batch,); or int

        Raises
        ------
        TruesparseError
            They are of another shape, no whole numbers, or not in the vocabulary.
        """
        self._read(tokens)

    def _read(self, tokens: ArrayLike) -> Array:
        """Read a token of each sequence; the output of the last layer."""
        numbers = self._recurrent.check_tokens(tokens, self._shape)
        return self._recurrent.step(np.atleast_1d(numbers), self._state)

    @property
    def state(self) -> dict[str, NDArray[Any]]:
        """Copies of the state's arrays, such as ``lstm.0.h``, float32 of shape (H, batch).

        Setting it to what was read before goes on from there; TruesparseError if names or shapes differ.
        """
        return {name: array.copy() for name, array in self._parts().items()}

    @state.setter
    def state(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        parts = self._parts()
        for name, array in parts.items():
            if name not in arrays or np.shape(arrays[name]) != array.shape:
                raise TruesparseError(
                    f"the state {name} is not of the shape {array.shape} of this stream; use one like it"
                )
        for name, array in parts.items():
            array[...] = arrays[name]

    def _parts(self) -> dict[str, NDArray[Any]]:
        """The arrays themselves."""
        return self._recurrent.parts(self._state)

    def logits(self) -> Array:
        """Scores, given what was read: log-probabilities up to a constant.

        Returns
        -------
        ndarray of float32, shape (batch, outputs) or (outputs,)
        """
        return self._by_sequence(self._logits())

    def _logits(self) -> Array:
        """The same, of shape (outputs, batch)."""
        return self._output(self._state[-1][0])

    def _by_sequence(self, scores: Array) -> Array:
        """Scores of shape (outputs, B) as (B, outputs), or (outputs,) without a batch."""
        return np.ascontiguousarray(scores.T) if self._shape else scores[:, 0]


def log_softmax(logits: Array) -> Array:
    """Log-probabilities over the first axis, NaN where a score is not finite; overwrites `logits`."""
    with np.errstate(**_OVERFLOW):
        logits -= logits.max(axis=0)
        logits -= np.log(np.exp(logits).sum(axis=0))
    return logits
