"""A text classifier."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from truesparse.errors import TruesparseError
from truesparse.layers.chain import ChainSpec
from truesparse.layers.pool.spec import Pool
from truesparse.modelfile import StoredModel, need_encoder, scores_overflow
from truesparse.runtime.recurrent import Array, OutputLayer, Recurrence, SequenceModel, Stream, log_softmax


class Classifier(SequenceModel):
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
        super().__init__(stored)
        self.encoder = stored.encoder

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
        checked = self._check(sequences)
        result = np.empty((len(checked), self.chain.head.outputs), np.float32)
        for places, outputs in self._read(checked):
            pool = Pooled(self.chain, len(places))
            for h in outputs:
                pool.add(h)
            lengths = [checked[place].size for place in places]
            result[places] = log_softmax(self._output(pool.result(lengths))).T
        if np.isnan(result).any():
            raise scores_overflow(self._path)
        return result

    def _ends(self, steps: Iterator[Array], shape: tuple[int, ...]) -> Iterable[Array]:
        pool = Pooled(self.chain, shape[1])
        for h in steps:
            pool.add(h)
        yield pool.result(np.full(shape[1], shape[0]))

    def stream(self, batch: int | None = None) -> ClassifierStream:
        """Begin to read texts token by token.

        Parameters
        ----------
        batch : int, optional
            How many sequences are read side by side. Without it one, and tokens are numbers, not arrays.
        """
        return ClassifierStream(self._recurrent, self._output, batch, self.chain)


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


class ClassifierStream(Stream):
    """Texts on their way through a classifier. Made by `Classifier.stream`."""

    __slots__ = ("_chain", "_pool")

    def __init__(
        self, recurrent: Recurrence, output: OutputLayer, batch: int | None, chain: ChainSpec
    ) -> None:
        self._chain = chain
        super().__init__(recurrent, output, batch)

    def reset(self) -> None:
        """Forget what was read."""
        super().reset()
        batch = self._shape[0] if self._shape else 1
        self._pool = Pooled(self._chain, batch)

    def advance(self, tokens: ArrayLike) -> None:
        """Read a token of each sequence; see `Stream.advance`."""
        self._pool.add(self._read(tokens))

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
