"""A text classifier."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from truesparse.errors import TruesparseError
from truesparse.modelfile import StoredModel, need_encoder
from truesparse.runtime.reader import Reader, Stream
from truesparse.runtime.recurrent import Array, log_softmax


class Classifier(Reader):
    """Classifies texts. Use does not change it: streams hold the state.

    Parameters
    ----------
    stored : StoredModel

    Attributes
    ----------
    chain : ChainSpec
    labels : tuple of str
        Names of the classes.
    encoder : TextEncoder or None
        Turns texts into tokens: `encoder.encode`. None for a model that reads numbers.
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
            They may differ in length.

        Returns
        -------
        ndarray of float32, shape (sequences, classes)

        Raises
        ------
        TruesparseError
            A token is no whole number or not in the vocabulary, or the scores are not finite.
        """
        said: Array = self._outputs(sequences)
        return said

    def stream(self, batch: int | None = None) -> ClassifierStream:
        """Begin to read texts token by token.

        Parameters
        ----------
        batch : int, optional
            How many sequences are read side by side. Without it one, and tokens are numbers, not arrays.
        """
        return ClassifierStream(self, batch)


class ClassifierStream(Stream):
    """Texts on their way through a classifier. Made by `Classifier.stream`."""

    __slots__ = ()

    def log_probabilities(self) -> Array:
        """Return log-probabilities of the classes, given what was read.

        Returns
        -------
        ndarray of float32, shape (batch, classes) or (classes,)
        """
        return self._by_sequence(log_softmax(self._logits()))
