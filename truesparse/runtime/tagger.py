"""A tagger, which says a label for each token."""

from __future__ import annotations

from collections.abc import Sequence

from numpy.typing import ArrayLike

from truesparse.data import TokenEncoder
from truesparse.modelfile import StoredModel
from truesparse.runtime.language_model import LanguageModelStream
from truesparse.runtime.reader import Reader
from truesparse.runtime.recurrent import Array


class Tagger(Reader):
    """Labels each token of a sentence. Use does not change it: streams hold the state.

    Parameters
    ----------
    stored : StoredModel

    Attributes
    ----------
    chain : Chain
    labels : tuple of str
        Names of the outputs.
    encoder : TokenEncoder
        Turns tokens into numbers: `encoder.encode`.
    """

    def __init__(self, stored: StoredModel) -> None:
        assert isinstance(stored.encoder, TokenEncoder)  # of a tagger; the reader checks that
        super().__init__(stored)
        self.encoder = stored.encoder

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
            They may differ in length.

        Returns
        -------
        list of ndarray of float32, shape (steps, labels)

        Raises
        ------
        TruesparseError
            A token is no whole number or not in the vocabulary, or the scores are not finite.
        """
        said: list[Array] = self._outputs(sequences)
        return said

    def stream(self, batch: int | None = None) -> TaggerStream:
        """Begin to read sentences token by token.

        Parameters
        ----------
        batch : int, optional
            How many sequences are read side by side. Without it one, and tokens are numbers, not arrays.
        """
        return TaggerStream(self, batch)


class TaggerStream(LanguageModelStream):
    """Sentences on their way through a tagger. Made by `Tagger.stream`.

    Its methods are those of a language model's stream, for labels instead of tokens: `step` reads a token and
    returns the log-probabilities of its labels.
    """

    __slots__ = ()
