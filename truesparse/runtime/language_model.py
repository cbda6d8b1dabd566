"""A language model that reads tokens one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from truesparse.data import Vocabulary
from truesparse.data.vocabulary import EOS
from truesparse.errors import UsageError
from truesparse.modelfile import StoredModel, need_vocabulary
from truesparse.runtime.product import Product
from truesparse.runtime.recurrent import Recurrent, log_softmax
from truesparse.runtime.sampling import check_sampling, draw

Array = NDArray[np.float32]


class LanguageModel:
    """Predicts the next token. Not changed by use: streams have the state.

    Parameters
    ----------
    stored : StoredModel

    Attributes
    ----------
    architecture : Architecture
    vocabulary : Vocabulary or None
        `vocabulary.encode` makes tokens of text, `vocabulary.decode` text of tokens.
    """

    def __init__(self, stored: StoredModel) -> None:
        self.architecture = stored.architecture
        self.vocabulary = stored.vocabulary
        self._path = stored.path
        self._recurrent = Recurrent(stored)
        matrix = "embedding.weight" if self.architecture.tied else "output.weight"
        self._output = Product(stored.matrices[matrix])
        self._bias = stored.biases["output.bias"][:, None]

    def stream(self, batch: int | None = None) -> Stream:
        """Begin to read.

        Parameters
        ----------
        batch : int, optional
            How many sequences are read side by side. Without it one, and tokens are numbers, not arrays.
        """
        return Stream(self._recurrent, self._output, self._bias, batch)

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
            An argument is out of range.
        """
        check_sampling(length, temperature, top_k)
        rng = rng or np.random.default_rng()
        stream = self.stream()
        log_probabilities = stream.read(prompt)
        for place in range(length):
            token = draw(log_probabilities, rng, temperature, top_k)
            yield token
            if place < length - 1:
                log_probabilities = stream.step(token)


class Stream:
    """Sequences on their way through a language model, with the state that is carried from token to token.

    Made by `LanguageModel.stream`.
    """

    __slots__ = ("_bias", "_output", "_recurrent", "_shape", "_state")

    def __init__(self, recurrent: Recurrent, output: Product, bias: Array, batch: int | None) -> None:
        if batch is not None and batch < 1:
            raise UsageError(f"the batch is {batch}; it must be at least 1")
        self._recurrent = recurrent
        self._output = output
        self._bias = bias
        self._shape = () if batch is None else (batch,)
        self.reset()

    def reset(self) -> None:
        """Forget what was read."""
        self._state = self._recurrent.zero_state(self._shape[0] if self._shape else 1)

    def advance(self, tokens: ArrayLike) -> None:
        """Read a token of each sequence without asking what comes next.

        Parameters
        ----------
        tokens : array_like of int, shape (batch,); or int

        Raises
        ------
        TruesparseError
            They are of another shape, no whole numbers, or not in the vocabulary.
        """
        numbers = self._recurrent.check_tokens(tokens, self._shape)
        self._recurrent.step(np.atleast_1d(numbers), self._state)

    def logits(self) -> Array:
        """Scores of the next token: log-probabilities up to a constant.

        Returns
        -------
        ndarray of float32, shape (batch, V) or (V,)
        """
        return self._by_sequence(self._logits())

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

    @property
    def state(self) -> dict[str, Array]:
        """Copies of the state's arrays, float32 of shape (H, batch), by names such as ``lstm.0.h``.

        Setting it to what was read before goes on from there.
        """
        return self._recurrent.state_arrays(self._state)

    @state.setter
    def state(self, arrays: Mapping[str, Array]) -> None:
        self._recurrent.load_state(self._state, arrays)

    def _logits(self) -> Array:
        logits = self._output(self._state[-1][0])
        logits += self._bias
        return logits

    def _by_sequence(self, scores: Array) -> Array:
        return np.ascontiguousarray(scores.T) if self._shape else scores[:, 0]


def _line_end(vocabulary: Vocabulary) -> int:
    """Number of the token that ends a line, or of the most frequent one."""
    tokens = vocabulary.tokens
    return next((tokens.index(token) for token in (EOS, "\n") if token in tokens), 0)
