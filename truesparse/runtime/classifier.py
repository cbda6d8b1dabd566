"""A text classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from truesparse.errors import TruesparseError
from truesparse.layers.chain import ChainSpec
from truesparse.modelfile import StoredModel, need_encoder, scores_overflow
from truesparse.runtime.recurrent import Array, OutputLayer, Recurrence, Stream, log_softmax

_BATCH = 32  # texts that are read side by side


class Classifier:
    """Says to which class a text belongs. Not changed by use: streams have the state.

    Parameters
    ----------
    stored : StoredModel

    Attributes
    ----------
    chain : ChainSpec
    labels : tuple of str
        Names of the classes.
    encoder : TextEncoder or None
        Makes tokens of texts: `encoder.encode`. None of a model that reads numbers.
    """

    def __init__(self, stored: StoredModel) -> None:
        self.chain = stored.chain
        self.labels = stored.labels
        self.encoder = stored.encoder
        self._path = stored.path
        self._recurrent = Recurrence(stored)
        self._output = OutputLayer(stored)

    def predict(self, texts: Sequence[str]) -> list[str]:
        """Return the label of each text.

        Parameters
        ----------
        texts : sequence of str

        Raises
        ------
        TruesparseError
            A text has no words, or the model reads numbers.
        """
        return [self.labels[place] for place in self.predict_proba(texts).argmax(axis=1)]

    def predict_proba(self, texts: Sequence[str]) -> Array:
        """Return the probability of each class.

        Parameters
        ----------
        texts : sequence of str

        Returns
        -------
        ndarray of float32, shape (texts, classes)

        Raises
        ------
        TruesparseError
            A text has no words, or the model reads numbers.
        """
        encoder = need_encoder(self.encoder, self._path)
        encoded = [encoder.encode(text) for text in texts]
        for number, ids in enumerate(encoded):
            if not ids.size:
                raise TruesparseError(f"text {number + 1} of {len(encoded)} has no words; leave it out")
        return np.exp(self.log_probabilities(encoded))

    def log_probabilities(self, sequences: Sequence[ArrayLike]) -> Array:
        """Return the log-probability of each class, given tokens.

        Parameters
        ----------
        sequences : sequence of array_like of int, shape (steps,)
            Each of its own length.

        Returns
        -------
        ndarray of float32, shape (sequences, classes)

        Raises
        ------
        TruesparseError
            A token is no whole number or not in the vocabulary, or the scores are not finite.
        """
        checked = [self._recurrent.check_tokens(ids, np.shape(ids)) for ids in sequences]
        result = np.empty((len(checked), self.chain.head.outputs), np.float32)
        # Those of about the same length are read together, the longest first: what has ended stands last.
        order = np.argsort([-ids.size for ids in checked], kind="stable")
        for start in range(0, len(checked), _BATCH):
            places = order[start : start + _BATCH]
            result[places] = self._read([checked[place] for place in places]).T
        if np.isnan(result).any():
            raise scores_overflow(self._path)
        return result

    def _read(self, sequences: list[NDArray[np.intp]]) -> Array:
        """Log-probabilities, shape (classes, sequences), of sequences of which none is longer than the one
        before."""
        lengths = np.array([ids.size for ids in sequences])
        state = self._recurrent.zero_state(len(sequences))
        pool = Pooled(self.chain.pooling, self.chain.pooled_size, len(sequences))
        for step in range(lengths[0]):
            active = int(np.count_nonzero(lengths > step))
            tokens = np.array([ids[step] for ids in sequences[:active]])
            reading = [tuple(array[:, :active] for array in own) for own in state]
            pool.add(self._recurrent.step(tokens, reading))
        return log_softmax(self._output(pool.result(lengths)))

    def stream(self, batch: int | None = None) -> ClassifierStream:
        """Begin to read texts token by token.

        Parameters
        ----------
        batch : int, optional
            How many sequences are read side by side. Without it one, and tokens are numbers, not arrays.
        """
        return ClassifierStream(self._recurrent, batch, self._output, self.chain)


class Pooled:
    """What the output layer sees: the top layer's last output, or the mean or maximum of its outputs.

    Parameters
    ----------
    kind : {"last", "mean", "max"}
    units, batch : int
    """

    __slots__ = ("_kind", "steps", "values")

    def __init__(self, kind: str, units: int, batch: int) -> None:
        self._kind = kind
        self.values = np.zeros((units, batch), np.float32)
        self.steps = np.zeros(1, np.int64)

    def add(self, h: Array) -> None:
        """Take the outputs of a step, shape (H, active); those after `active` have ended."""
        values = self.values[:, : h.shape[1]]
        if self._kind == "mean":
            values += h
        elif self._kind == "max" and self.steps[0]:
            np.maximum(values, h, out=values)
        else:
            values[...] = h
        self.steps += 1

    def result(self, lengths: Any) -> Array:
        """Return what has been pooled, shape (H, batch), given how many steps each sequence had."""
        if self._kind == "mean":
            return self.values / np.maximum(lengths, 1).astype(np.float32)
        return self.values


class ClassifierStream(Stream):
    """Texts on their way through a classifier. Made by `Classifier.stream`."""

    __slots__ = ("_chain", "_output", "_pool")

    def __init__(
        self, recurrent: Recurrence, batch: int | None, output: OutputLayer, chain: ChainSpec
    ) -> None:
        self._output = output
        self._chain = chain
        super().__init__(recurrent, batch)

    def reset(self) -> None:
        """Forget what was read."""
        super().reset()
        batch = self._shape[0] if self._shape else 1
        self._pool = Pooled(self._chain.pooling, self._chain.pooled_size, batch)

    def advance(self, tokens: ArrayLike) -> None:
        """Read a token of each sequence; see `Stream.advance`."""
        self._pool.add(self._read(tokens))

    def logits(self) -> Array:
        """Return scores of the classes, given what was read: log-probabilities up to a constant.

        Returns
        -------
        ndarray of float32, shape (batch, classes) or (classes,)
        """
        return self._by_sequence(self._logits())

    def log_probabilities(self) -> Array:
        """Return log-probabilities of the classes, given what was read.

        Returns
        -------
        ndarray of float32, shape (batch, classes) or (classes,)
        """
        return self._by_sequence(log_softmax(self._logits()))

    def _logits(self) -> Array:
        return self._output(self._pool.result(self._pool.steps))

    def _parts(self) -> dict[str, NDArray[Any]]:
        return super()._parts() | {"pooled": self._pool.values, "steps": self._pool.steps}
