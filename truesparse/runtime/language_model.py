"""A language model that reads tokens one at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from truesparse.data import Vocabulary
from truesparse.data.words import EOS
from truesparse.errors import UsageError
from truesparse.modelfile import StoredModel, need_vocabulary, scores_overflow
from truesparse.runtime.reader import Reader, Stream
from truesparse.runtime.recurrent import Array, log_softmax
from truesparse.runtime.sampling import check_sampling, draw


class LanguageModel(Reader):
    """Predicts the next token. Not changed by use: streams have the state.

    Parameters
    ----------
    stored : StoredModel

    Attributes
    ----------
    chain : Chain
    vocabulary : Vocabulary or None
        `vocabulary.encode` makes tokens of text, `vocabulary.decode` text of tokens.
    """

    def __init__(self, stored: StoredModel) -> None:
        super().__init__(stored)
        self.vocabulary = stored.vocabulary

    def stream(self, batch: int | None = None) -> LanguageModelStream:
        """Begin to read.

        Parameters
        ----------
        batch : int, optional
            How many sequences are read side by side. Without it one, and tokens are numbers, not arrays.
        """
        return LanguageModelStream(self, batch)

    def generate(
        self,
        prompt: str = "",
        length: int = 100,
        temperature: float = 1.0,
        top_k: int = 0,
        rng: np.random.Generator | None = None,
    ) -> Iterator[str]:
        """Go on from a text.

        Parameters
        ----------
        prompt : str
            What comes first; with nothing the model begins a new line.
        length : int
            Tokens to write.
        temperature : float
            Log-probabilities are divided by it; 0 takes the most probable token each time.
        top_k : int
            Draw among the so many most probable tokens; 0 for all.
        rng : Generator, optional

        Yields
        ------
        str
            The prompt as the model reads it, then what it adds, piece by piece.

        Raises
        ------
        UsageError, TruesparseError
            An argument is out of range, the model has no vocabulary, or the prompt has a token that is not in
            it.
        """
        check_sampling(length, temperature, top_k)
        vocabulary = need_vocabulary(self.vocabulary, self._path)
        ids = vocabulary.encode(prompt)
        yield vocabulary.decode(ids)
        last = [int(ids[-1])] if ids.size else []
        for token in self.sample(ids if last else [_line_end(vocabulary)], length, temperature, top_k, rng):
            # with the space that parts the two
            yield vocabulary.decode([*last, token])[len(vocabulary.decode(last)) :]
            last = [token]

    def sample(
        self,
        prompt: ArrayLike,
        length: int,
        temperature: float = 1.0,
        top_k: int = 0,
        rng: np.random.Generator | None = None,
    ) -> Iterator[int]:
        """Draw tokens one after another, each given all before it.

        Parameters
        ----------
        prompt : array_like of int, shape (n_tokens,)
            What comes first; at least one token. Not among the tokens drawn.
        length, temperature, top_k, rng
            As in `generate`.

        Yields
        ------
        int

        Raises
        ------
        UsageError, TruesparseError
            An argument is out of range, or the scores are not finite.
        """
        check_sampling(length, temperature, top_k)
        rng = rng or np.random.default_rng()
        stream = self.stream()
        log_probabilities = stream.read(prompt)
        for place in range(length):
            if np.isnan(log_probabilities).any():
                raise scores_overflow(self._path)
            token = draw(log_probabilities, rng, temperature, top_k)
            yield token
            if place < length - 1:
                log_probabilities = stream.step(token)


class LanguageModelStream(Stream):
    """Sequences on their way through a language model. Made by `LanguageModel.stream`."""

    __slots__ = ()

    def step(self, tokens: ArrayLike) -> Array:
        """Read a token of each sequence and say what comes next.

        Parameters
        ----------
        tokens
            As for `advance`.

        Returns
        -------
        ndarray of float32, shape (batch, V) or (V,)
            Log-probabilities of the next token.

        Raises
        ------
        TruesparseError
            As `advance`.
        """
        self.advance(tokens)
        return self._by_sequence(log_softmax(self._logits()))

    def read(self, tokens: ArrayLike) -> Array:
        """Read several tokens of each sequence and say what comes after the last.

        Parameters
        ----------
        tokens : array_like of int, shape (steps, batch) or (steps,)
            At least one step.

        Returns
        -------
        ndarray of float32, shape (batch, V) or (V,)
            Log-probabilities of the next token.

        Raises
        ------
        UsageError, TruesparseError
            As `advance`; also if there are no tokens.
        """
        steps = list(np.asarray(tokens))
        if not steps:
            raise UsageError("there are no tokens to read; give at least one, for example with --prompt")
        for numbers in steps[:-1]:
            self.advance(numbers)
        return self.step(steps[-1])


def _line_end(vocabulary: Vocabulary) -> int:
    """Number of the token that ends a line, or of the most frequent one."""
    tokens = vocabulary.tokens
    return next((tokens.index(token) for token in (EOS, "\n") if token in tokens), 0)
