"""What may come next where a text must begin with given letters, and the search for the likeliest text."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from truesparse.data import Vocabulary
from truesparse.errors import UsageError

_LAST = re.compile(r" ?[\w']*\Z")

Step = Callable[[Sequence[int], Sequence[int]], NDArray[np.float32]]


class Beam(NamedTuple):
    """A text that was found.

    Attributes
    ----------
    tokens : tuple of int
        Its numbers, with that of its end, if it has one and that is not any.
    log_probability : float
        Of all its tokens together, given what came before.
    score : float
        What it was chosen by: `log_probability` divided by a power of the number of tokens.
    ended : bool
        Whether a token ended it.
    """

    tokens: tuple[int, ...]
    log_probability: float
    score: float
    ended: bool


class _Open(NamedTuple):
    """A beginning of a text: its tokens, their log-probability, and the letters that have to come next."""

    tokens: tuple[int, ...]
    total: float
    rest: bytes


class Beginning:
    """Letters that a text is to begin with, and the tokens that go with them.

    Parameters
    ----------
    vocabulary : Vocabulary
        Words have to begin with the letters; characters and subwords may also be a part of them.
    text : str
        Any text, or none; of a vocabulary of words at most a part of one.

    Attributes
    ----------
    letters : bytes
        In UTF-8.

    Raises
    ------
    UsageError
        There are several words, or no word begins so.
    """

    def __init__(self, vocabulary: Vocabulary, text: str) -> None:
        self._vocabulary = vocabulary
        self._words = vocabulary.level == "word"
        if self._words and text:
            tokens = vocabulary.tokenise(text)
            if len(tokens) != 1:
                raise UsageError(
                    f"--prefix is {text!r}, but a model of words takes a part of one word; put what is before"
                    " it into --prompt"
                )
            text = tokens[0]
        self.letters = text.encode("utf-8", "replace")
        if self.letters:
            self.allowed(self.letters)

    def allowed(self, rest: bytes) -> NDArray[np.bool_]:
        """Which tokens go on with the letters that are left, shape (V,).

        Raises
        ------
        UsageError
            None does.
        """
        allowed = np.array(
            [
                token.startswith(rest) or (not self._words and len(token) > 0 and rest.startswith(token))
                for token in self._vocabulary.token_bytes
            ]
        )
        if self._vocabulary.unknown is not None:
            allowed[self._vocabulary.unknown] = False
        if not allowed.any():
            letters = rest.decode("utf-8", "replace")
            raise UsageError(
                f"no token of the vocabulary begins with {letters!r}, as --prefix asks; give fewer letters,"
                " or others"
            )
        return allowed

    def rest(self, rest: bytes, token: int) -> bytes:
        """The letters that are left after a token."""
        return b"" if self._words else rest[len(self._vocabulary.token_bytes[token]) :]


def last_word(vocabulary: Vocabulary, text: str) -> tuple[NDArray[np.int32], str]:
    """The tokens of a text but for its last word, and that word, which may be typed in part; it is empty
    behind white space."""
    if vocabulary.level != "word":  # their words have the space before them
        typed = _LAST.search(text)
        assert typed is not None
        return vocabulary.encode(text[: typed.start()]), typed[0]
    tokens = vocabulary.tokenise(text)
    if not tokens or text[-1].isspace():
        return vocabulary.encode_tokens(tokens), ""
    return vocabulary.encode_tokens(tokens[:-1]), tokens[-1]


def inside_word(token: bytes) -> bool:
    """Whether a word goes on with a token of characters or subwords, as with a letter or an apostrophe."""
    return token[:1].isalnum() or token[:1] in b"_'" or token[:1] > b"\x7f"


def check_search(beams: int, length: int, penalty: float, flag: str = "--beam") -> None:
    """Raise UsageError if an argument of `search` is out of range; `flag` is what `beams` is called."""
    if beams < 1:
        raise UsageError(f"{flag} is {beams}; it must be 1 or more")
    if length < 1:
        raise UsageError(f"--length is {length}; it must be 1 or more for a search")
    if not 0 <= penalty < np.inf:
        raise UsageError(f"--length-penalty is {penalty}; it must be 0 or more")


def search(
    first: NDArray[np.float32],
    step: Step,
    ends: NDArray[np.bool_],
    beginning: Beginning,
    length: int,
    beams: int,
    penalty: float = 1.0,
    any_end: bool = False,
) -> list[Beam]:
    r"""Find likely texts, keeping a few beginnings of texts at each step.

    .. math:: score = \frac{\sum_t \log p(w_t \mid w_1 \ldots w_{t-1})}{n^{penalty}}

    Parameters
    ----------
    first : ndarray of float32, shape (V,)
        Log-probabilities of the first token.
    step : callable
        Takes for each beginning the number of the one that it goes on from, and its last token; returns the
        log-probabilities of what comes next, shape (beginnings, V).
    ends : ndarray of bool, shape (V,)
        Tokens that end a text, once it has the letters that it is to begin with.
    beginning : Beginning
    length : int
        The most tokens of a text, n.
    beams : int
        How many are kept.
    penalty : float
        0 prefers short texts, 1 goes by the mean of the tokens.
    any_end : bool
        Whether texts that differ only in the token that ends them are one, without it: all its ends together
        count.

    Returns
    -------
    list of Beam
        `beams` at most, the best first. Of equal ones the first that was found.
    """
    found: list[Beam] = []
    kept = [_Open((), 0.0, beginning.letters)]
    scores = np.asarray(first)[None]
    for place in range(1, length + 1):
        totals = scores.astype(np.float64) + np.array([[one.total] for one in kept])
        for row, one in enumerate(kept):
            if one.rest:
                totals[row, ~beginning.allowed(one.rest)] = -np.inf
        may_end = ends & np.array([[not one.rest] for one in kept])
        of_ends = np.where(may_end, totals, -np.inf)
        if any_end:
            ended = [one._replace(total=_log_sum(row)) for one, row in zip(kept, of_ends, strict=True)]
        else:
            ended = [text for _, text in _grown(kept, of_ends, beams, beginning)]
        found += [
            Beam(text.tokens, text.total, text.total / place**penalty, True)
            for text in ended
            if text.total > -np.inf
        ]
        texts = _grown(kept, np.where(may_end, -np.inf, totals), beams, beginning)
        kept = [text for _, text in texts]
        if place == length:
            found += [Beam(text.tokens, text.total, text.total / place**penalty, False) for text in kept]
        found = sorted(found, key=lambda beam: -beam.score)[:beams]
        if place == length or not kept:
            break
        # None can come to more than what it would be if all further tokens were certain.
        if len(found) == beams and found[-1].score >= kept[0].total / length**penalty:
            break
        scores = step([parent for parent, _ in texts], [text.tokens[-1] for text in kept])
    return found


def _log_sum(numbers: NDArray[np.float64]) -> float:
    """The logarithm of a sum of which there are the logarithms."""
    largest = float(numbers.max())
    return largest if largest == -np.inf else largest + float(np.log(np.exp(numbers - largest).sum()))


def _grown(
    kept: Sequence[_Open], totals: NDArray[np.float64], count: int, beginning: Beginning
) -> list[tuple[int, _Open]]:
    """The likeliest texts that are a token longer, at most so many, and which each goes on from; of equal
    ones the first."""
    order = np.argsort(-totals, axis=None, kind="stable")[:count]
    order = order[np.isfinite(totals.reshape(-1)[order])]
    grown = []
    for row, token in zip(*(place.tolist() for place in np.unravel_index(order, totals.shape)), strict=True):
        tokens, _, rest = kept[row]
        text = _Open((*tokens, token), float(totals[row, token]), beginning.rest(rest, token))
        grown.append((row, text))
    return grown
