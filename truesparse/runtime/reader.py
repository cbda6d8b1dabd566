"""Models of sequences: whole ones that are read side by side, and such that come step by step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from truesparse.errors import TruesparseError, UsageError
from truesparse.layers.chain import ChainSpec
from truesparse.layers.output.spec import Softmax
from truesparse.layers.pool.spec import Pool
from truesparse.modelfile import StoredModel, scores_overflow
from truesparse.runtime.recurrent import Array, OutputLayer, Recurrence, log_softmax

_BATCH = 32  # sequences that are read side by side


class Pooled:
    """What the output layer sees: the top layer's last output, or the mean or maximum of its outputs.

    Parameters
    ----------
    chain : ChainSpec
    batch : int
    """

    __slots__ = ("_forward", "_kind", "steps", "values")

    def __init__(self, chain: ChainSpec, batch: int) -> None:
        pooled = next(place.output for place in chain.places if isinstance(place.spec, Pool))
        self._kind = chain.pooling
        self._forward = pooled.size - pooled.backward
        self.values = np.zeros((pooled.size, batch), np.float32)
        self.steps = np.zeros(1, np.int64)

    def add(self, h: Array) -> None:
        """Take the outputs of a step, shape (H, active); those after `active` have ended."""
        values = self.values[:, : h.shape[1]]
        if self._kind == "mean":
            values += h
        elif self._kind == "max" and self.steps[0]:
            np.maximum(values, h, out=values)
        elif self._kind == "max" or not self.steps[0]:
            values[...] = h
        else:  # the last step of what reads from the end is the first one
            values[: self._forward] = h[: self._forward]
        self.steps += 1

    def result(self, lengths: Any) -> Array:
        """Return what has been pooled, shape (H, batch), given how many steps each sequence had."""
        if self._kind == "mean":
            return self.values / np.maximum(lengths, 1).astype(np.float32)
        return self.values


class Reader:
    """What models of sequences have: a recurrence and an output layer. Not changed by use: streams have the
    state.

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

    def _outputs(self, sequences: Sequence[ArrayLike]) -> Any:
        """What is said of sequences.

        Parameters
        ----------
        sequences : sequence of array_like, shape (steps,) or (steps, D)
            Of tokens or features, each of its own length.

        Returns
        -------
        ndarray of float32, shape (sequences, outputs); or a list of them, (steps, outputs)
            Log-probabilities or numbers, of each sequence or of each of its steps.

        Raises
        ------
        TruesparseError
            They cannot be read, or what is said is not finite.
        """
        checked = self._check(sequences)
        outputs = self.chain.head.outputs
        if self.chain.per_step:
            said: Any = [np.empty((len(inputs), outputs), np.float32) for inputs in checked]
        else:
            said = np.empty((len(checked), outputs), np.float32)
        for places, hidden in self._read(checked):
            if not self.chain.per_step:
                h = self._pooled(hidden, [len(checked[place]) for place in places])
                said[places] = self._say(h).T
                continue
            for step, h in enumerate(hidden):
                for place, own in zip(places, self._say(h).T, strict=False):  # the last ones may have ended
                    said[place][step] = own
        if not all(self._are_right(own) for own in said):
            raise scores_overflow(self._path)
        return said

    def scores(self, inputs: NDArray[Any]) -> list[Array]:
        """What the output layer says of sequences of equal length, (steps, B) or (steps, B, D), from zeros:
        arrays of shape (outputs, B), one for each step, or one alone where the model predicts once."""
        steps = self._recurrent.run(list(inputs.swapaxes(0, 1)))
        if not self.chain.per_step:
            return [self._output(self._pooled(steps, [len(inputs)] * inputs.shape[1]))]
        return [self._output(h) for h in steps]

    def _pooled(self, steps: Iterator[Array], lengths: Sequence[int]) -> Array:
        """Places for sequences of some lengths."""
        pool = Pooled(self.chain, len(lengths))
        for h in steps:
            pool.add(h)
        return pool.result(np.array(lengths))

    def _say(self, x: Array) -> Array:
        """What is said of what the layers give, (H, B): log-probabilities or numbers, (outputs, B)."""
        said = self._output(x)
        return log_softmax(said) if isinstance(self.chain.head, Softmax) else said

    def _are_right(self, said: Array) -> bool:
        if isinstance(self.chain.head, Softmax):  # minus infinity is the logarithm of 0
            return not np.isnan(said).any()
        return bool(np.isfinite(said).all())

    def _check(self, sequences: Sequence[ArrayLike]) -> list[NDArray[Any]]:
        """Sequences, each of its own length; raises as `Recurrence.check`."""
        if self.chain.tokens:
            return [self._recurrent.check(ids, np.shape(ids)) for ids in sequences]
        arrays = [np.asarray(sequence) for sequence in sequences]
        if self.chain.features == 1:
            arrays = [array[:, None] if array.ndim == 1 else array for array in arrays]
        if any(array.shape[:1] == (0,) for array in arrays):
            raise TruesparseError("a sequence has no steps; leave it out")
        return [self._recurrent.check(array, array.shape[:1]) for array in arrays]

    def _read(self, sequences: Sequence[NDArray[Any]]) -> Iterator[tuple[NDArray[np.intp], Iterator[Array]]]:
        """Read sequences, some side by side: their places, and what `Recurrence.run` gives for them."""
        # Those of about the same length are read together, the longest first: what has ended comes last.
        order = np.argsort([-len(inputs) for inputs in sequences], kind="stable")
        for start in range(0, len(order), _BATCH):
            places = order[start : start + _BATCH]
            yield places, self._recurrent.run([sequences[place] for place in places])


class Stream:
    """Sequences on their way through a model, with the state that is carried from step to step.

    Parameters
    ----------
    reader : Reader
    batch : int or None
        How many sequences are read side by side; None for one, whose tokens are numbers, not arrays, or whose
        features are one array.

    Raises
    ------
    UsageError
        If `batch` is less than 1.
    TruesparseError
        The model reads in both directions.
    """

    __slots__ = ("_chain", "_output", "_pool", "_recurrent", "_shape", "_state")

    def __init__(self, reader: Reader, batch: int | None) -> None:
        if batch is not None and batch < 1:
            raise UsageError(f"the batch is {batch}; it must be at least 1")
        if reader.chain.whole:
            raise TruesparseError(
                "a model that reads in both directions has no stream, because it needs the whole sequence;"
                " use predict"
            )
        self._chain = reader.chain
        self._recurrent = reader._recurrent
        self._output = reader._output
        self._shape = () if batch is None else (batch,)
        self.reset()

    def reset(self) -> None:
        """Forget what was read."""
        batch = self._shape[0] if self._shape else 1
        self._state = self._recurrent.zero_state(batch)
        self._pool = None
        if not self._chain.per_step:
            self._pool = Pooled(self._chain, batch)

    def advance(self, inputs: ArrayLike) -> None:
        """Read a step of each sequence.

        Parameters
        ----------
        inputs : array_like of int, shape (batch,), or int; or of float, shape (batch, D) or (D,)
            Tokens or features.

        Raises
        ------
        TruesparseError
            They are of another shape; tokens no whole numbers or not in the vocabulary, or features not
            finite.
        """
        checked = self._recurrent.check(inputs, self._shape)
        h = self._recurrent.step(checked if self._shape else checked[None], self._state)
        if self._pool is not None:
            self._pool.add(h)

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
        parts = self._recurrent.parts(self._state)
        pool = self._pool
        return parts if pool is None else parts | {"pooled": pool.values, "steps": pool.steps}

    def logits(self) -> Array:
        """Scores, given what was read: log-probabilities up to a constant; or numbers.

        Returns
        -------
        ndarray of float32, shape (batch, outputs) or (outputs,)
        """
        return self._by_sequence(self._logits())

    def _logits(self) -> Array:
        """The same, of shape (outputs, batch)."""
        pool = self._pool
        return self._output(self._state[-1][0] if pool is None else pool.result(pool.steps))

    def _by_sequence(self, scores: Array) -> Array:
        """Scores of shape (outputs, B) as (B, outputs), or (outputs,) without a batch."""
        return np.ascontiguousarray(scores.T) if self._shape else scores[:, 0]
