"""A language model that reads tokens one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from truesparse.data import Vocabulary
from truesparse.data.words import EOS
from truesparse.errors import UsageError
from truesparse.modelfile import StoredModel, need_vocabulary, scores_overflow
from truesparse.runtime.parse import LONGEST, Parse
from truesparse.runtime.reader import Reader, Stream
from truesparse.runtime.recurrent import Array, log_softmax
from truesparse.runtime.sampling import check_sampling, draw
from truesparse.runtime.search import Beam, Beginning, check_search, inside_word, last_word, search


class LanguageModel(Reader):
    """Predicts the next token. Use does not change it: streams hold the state.

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
        top_p: float = 1.0,
        prefix: str = "",
    ) -> Iterator[str]:
        """Continue a text.

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
        top_p : float
            Draw among the most probable tokens, as few as have this probability together; 1 for all.
        prefix : str
            What the text that it adds is to begin with; of a model of words, letters of the first word.

        Yields
        ------
        str
            The prompt as the model reads it, then what it adds, piece by piece.

        Raises
        ------
        UsageError, TruesparseError
            An argument is out of range, the model has no vocabulary, the prompt has a token that is not in
            it, or no token goes with the prefix.
        """
        check_sampling(length, temperature, top_k, top_p)
        ids, start, vocabulary = self._begin(prompt)
        beginning = Beginning(vocabulary, prefix)
        yield vocabulary.decode(ids)
        tokens = self._sample(start, length, temperature, top_k, rng, top_p, beginning)
        yield from vocabulary.pieces(tokens, ids.tolist())

    def sample(
        self,
        prompt: ArrayLike,
        length: int,
        temperature: float = 1.0,
        top_k: int = 0,
        rng: np.random.Generator | None = None,
        top_p: float = 1.0,
    ) -> Iterator[int]:
        """Draw tokens one after another, each given all before it.

        Parameters
        ----------
        prompt : array_like of int, shape (n_tokens,)
            What comes first; at least one token. Not among the tokens drawn.
        length, temperature, top_k, rng, top_p
            As in `generate`.

        Yields
        ------
        int

        Raises
        ------
        UsageError, TruesparseError
            An argument is out of range, or the scores are not finite.
        """
        check_sampling(length, temperature, top_k, top_p)
        yield from self._sample(prompt, length, temperature, top_k, rng, top_p)

    def _sample(
        self,
        prompt: ArrayLike,
        length: int,
        temperature: float,
        top_k: int,
        rng: np.random.Generator | None,
        top_p: float,
        beginning: Beginning | None = None,
    ) -> Iterator[int]:
        rng = rng or np.random.default_rng()
        stream = self.stream()
        log_probabilities = stream.read(prompt)
        rest = b"" if beginning is None else beginning.letters
        for place in range(length):
            self._check_scores(log_probabilities)
            if rest:
                assert beginning is not None
                log_probabilities[~beginning.allowed(rest)] = -np.inf
            token = draw(log_probabilities, rng, temperature, top_k, top_p)
            if rest:
                assert beginning is not None
                rest = beginning.rest(rest, token)
            yield token
            if place < length - 1:
                log_probabilities = stream.step(token)

    def beam(
        self,
        prompt: str = "",
        length: int = 100,
        beams: int = 5,
        length_penalty: float = 1.0,
        prefix: str = "",
    ) -> list[tuple[str, float]]:
        """Search for the likeliest continuations of a line, without random draws.

        Parameters
        ----------
        prompt, prefix
            As in `generate`.
        length : int
            The most tokens to write.
        beams : int
            How many beginnings are kept at each step, and texts returned at most.
        length_penalty : float
            Texts are compared by their log-probability divided by this power of their number of tokens: 0
            prefers short ones, 1 goes by the mean.

        Returns
        -------
        list of (str, float)
            What comes after the prompt, to the end of the line, and its log-probability; the best first.

        Raises
        ------
        UsageError, TruesparseError
            As `generate`.
        """
        check_search(beams, length, length_penalty)
        ids, start, vocabulary = self._begin(prompt)
        ends = np.array([b"\n" in token for token in vocabulary.token_bytes])
        if vocabulary.level == "word":
            ends = np.array([token == EOS for token in vocabulary.tokens])
        found = self._search(start, ends, Beginning(vocabulary, prefix), length, beams, length_penalty)
        texts = ("".join(vocabulary.pieces(beam.tokens, ids.tolist())) for beam in found)
        return [
            (text.partition("\n")[0], beam.log_probability) for text, beam in zip(texts, found, strict=True)
        ]

    def parse(self, text: str, layer: int = 0) -> Parse:
        """The structure that a model with ordered neurons (the cell on-lstm) sees in a sentence.

        Parameters
        ----------
        text : str
            One sentence of at least one token, which the model reads as the beginning of a line.
        layer : int
            Which of its layers of ordered neurons is asked, 1 for the first; 0 for the second, or the only
            one.

        Raises
        ------
        UsageError, TruesparseError
            The model has no such layer or no vocabulary, or the text cannot be read.
        """
        vocabulary = need_vocabulary(self.vocabulary, self._path)
        found = self._recurrent.ordered
        if not found:
            raise UsageError(f"{self._path} has no layer of ordered neurons; train one with the cell on-lstm")
        number = layer or min(2, len(found))
        if not 1 <= number <= len(found):
            raise UsageError(f"layer is {layer}; the model has {len(found)} of ordered neurons")
        ids = vocabulary.encode(text.strip())
        if not 1 <= ids.size <= LONGEST:
            raise UsageError(f"a sentence has 1 to {LONGEST} tokens, not {ids.size}; give another text")
        read = np.concatenate(([vocabulary.line_end], ids))
        distances = self._recurrent.split_points(read, found[number - 1])[1:]
        return Parse(tuple(vocabulary.decode([token]).strip() for token in ids), distances, number)

    def suggest(self, text: str, count: int = 3, length: int = 20) -> list[tuple[str, float]]:
        """Words that may complete the last one of a text, as a keyboard suggests them.

        Parameters
        ----------
        text : str
            What was typed. If its end is white space, or nothing was typed, whole words are suggested.
        count : int
            How many, at most.
        length : int
            The most tokens of a word, for a model of characters or subwords.

        Returns
        -------
        list of (str, float)
            Words, and their probability given all before the last word, the most probable first. None if the
            model knows no word that begins so.

        Raises
        ------
        UsageError, TruesparseError
            `count` or `length` is not positive, or the model has no vocabulary.
        """
        check_search(count, length, 0.0, "--suggest")
        vocabulary = need_vocabulary(self.vocabulary, self._path)
        ids, typed = last_word(vocabulary, text)
        start = ids if ids.size else [vocabulary.line_end]
        try:
            beginning = Beginning(vocabulary, typed)
        except UsageError:
            return []
        words: dict[str, float] = {}
        if vocabulary.level == "word":
            scores = self.stream().read(start)
            self._check_scores(scores)
            scores[~beginning.allowed(beginning.letters)] = -np.inf
            for place in np.argsort(-scores, kind="stable")[: count + 1]:
                if vocabulary.tokens[place] != EOS and np.isfinite(scores[place]):
                    words[vocabulary.tokens[place]] = float(np.exp(scores[place]))
        else:
            ends = np.array([not inside_word(token) for token in vocabulary.token_bytes])
            for beam in self._search(start, ends, beginning, length, 4 * count, 0.0, any_end=True):
                word = vocabulary.decode(beam.tokens).strip()
                if word and beam.ended:  # one that is cut in different ways is one word
                    words[word] = words.get(word, 0.0) + float(np.exp(beam.log_probability))
        return sorted(words.items(), key=lambda pair: -pair[1])[:count]

    def _begin(self, prompt: str) -> tuple[NDArray[np.int32], ArrayLike, Vocabulary]:
        """The numbers of a prompt, what the model reads for it, and the vocabulary."""
        vocabulary = need_vocabulary(self.vocabulary, self._path)
        ids = vocabulary.encode(prompt)
        return ids, ids if ids.size else [vocabulary.line_end], vocabulary

    def _search(
        self,
        prompt: ArrayLike,
        ends: NDArray[np.bool_],
        beginning: Beginning,
        length: int,
        beams: int,
        penalty: float,
        any_end: bool = False,
    ) -> list[Beam]:
        """Find likely texts after a prompt; see `search`."""
        stream = self.stream()
        first = stream.read(prompt)
        self._check_scores(first)
        wide = self.stream(beams)
        wide.state = {name: np.repeat(array, beams, axis=1) for name, array in stream.state.items()}

        def step(parents: Sequence[int], tokens: Sequence[int]) -> Array:
            left = [0] * (beams - len(parents))  # there may be fewer beginnings than the stream has room for
            wide.state = {name: array[:, [*parents, *left]] for name, array in wide.state.items()}
            scores = wide.step([*tokens, *left])[: len(tokens)]
            self._check_scores(scores)
            return scores

        return search(first, step, ends, beginning, length, beams, penalty, any_end)

    def _check_scores(self, scores: Array) -> None:
        if np.isnan(scores).any():
            raise scores_overflow(self._path)


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
