"""A tagger, which says a label for each token."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from truesparse.data import TokenEncoder
from truesparse.modelfile import StoredModel, scores_overflow
from truesparse.runtime.language_model import LanguageModelStream
from truesparse.runtime.recurrent import Array, OutputLayer, Recurrence, log_softmax

_BATCH = 32  # sentences that are read side by side


class Tagger:
    """Says a label for each token of a sentence. Not changed by use: streams have the state.

    Parameters
    ----------
    stored : StoredModel

    Attributes
    ----------
    chain : Chain
    labels : tuple of str
        Names of the outputs.
    encoder : TokenEncoder
        Makes numbers of tokens: `encoder.encode`.
    """

    def __init__(self, stored: StoredModel) -> None:
        assert isinstance(stored.encoder, TokenEncoder)  # of a tagger; the reader checks that
        self.chain = stored.chain
        self.labels = stored.labels
        self.encoder = stored.encoder
        self._path = stored.path
        self._recurrent = Recurrence(stored)
        self._output = OutputLayer(stored)

    def predict(self, sentences: Sequence[Sequence[str]]) -> list[list[str]]:
        """Return the labels of each sentence.

        Parameters
        ----------
        sentences : sequence of sequence of str
            Tokens, cut as in training.

        Raises
        ------
        TruesparseError
            The scores are not finite.
        """
        scores = self.log_probabilities([self.encoder.encode(tokens) for tokens in sentences])
        return [[self.labels[place] for place in said.argmax(axis=1)] for said in scores]

    def log_probabilities(self, sequences: Sequence[ArrayLike]) -> list[Array]:
        """Return the log-probability of each label at each step, given the numbers of tokens.

        Parameters
        ----------
        sequences : sequence of array_like of int, shape (steps,)
            Each of its own length.

        Returns
        -------
        list of ndarray of float32, shape (steps, labels)

        Raises
        ------
        TruesparseError
            A token is no whole number or not in the vocabulary, or the scores are not finite.
        """
        checked = [self._recurrent.check_tokens(ids, np.shape(ids)) for ids in sequences]
        said = [np.empty((ids.size, len(self.labels)), np.float32) for ids in checked]
        # Those of about the same length are read together, the longest first: what has ended stands last.
        order = np.argsort([-ids.size for ids in checked], kind="stable")
        for start in range(0, len(checked), _BATCH):
            places = order[start : start + _BATCH]
            lengths = np.array([checked[place].size for place in places])
            state = self._recurrent.zero_state(len(places))
            for step in range(lengths[0]):
                active = places[: np.count_nonzero(lengths > step)]
                tokens = np.array([checked[place][step] for place in active])
                reading = [tuple(array[:, : len(active)] for array in own) for own in state]
                scores = log_softmax(self._output(self._recurrent.step(tokens, reading)))
                for column, place in enumerate(active):
                    said[place][step] = scores[:, column]
        if any(np.isnan(scores).any() for scores in said):
            raise scores_overflow(self._path)
        return said

    def stream(self, batch: int | None = None) -> TaggerStream:
        """Begin to read sentences token by token.

        Parameters
        ----------
        batch : int, optional
            How many sequences are read side by side. Without it one, and tokens are numbers, not arrays.
        """
        return TaggerStream(self._recurrent, batch, self._output)


class TaggerStream(LanguageModelStream):
    """Sentences on their way through a tagger. Made by `Tagger.stream`.

    What its methods say of the next token they say of the labels of the last one: `step` reads a token and
    returns the log-probabilities of its labels.
    """

    __slots__ = ()
