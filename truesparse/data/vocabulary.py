"""Tokens and their numbers."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import Literal

import numpy as np

from truesparse.errors import TruesparseError

Level = Literal["word", "char"]

EOS = "<eos>"
UNKNOWN = "<unk>"

# The two special tokens, a word (apostrophes inside it belong to it), or a run of one punctuation mark.
_PLAIN_TEXT_TOKEN = re.compile(rf"{EOS}|{UNKNOWN}|\w+(?:['’]\w+)*|([^\w\s])\1*")


def tokenise(
    text: str, level: Level = "word", plain_text: bool = False, lower_case: bool = True
) -> Sequence[str]:
    """Cut text into tokens.

    Parameters
    ----------
    text : str
        Lines end with a line feed.
    level : {"word", "char"}
        "char" makes every character a token, line feeds and spaces included.
    plain_text : bool
        How words are found. False, for text that is tokenised already: words are what white space separates,
        and every line end, of empty lines too, becomes ``<eos>`` (the convention of Penn Treebank and
        WikiText-2). True, for text as people write it: lower-cased; a word is a run of letters, digits,
        underscores and inner apostrophes; a run of one punctuation mark is one token of at most three marks
        (``==``, ``...``, an underline is ``===``); line ends become ``<eos>``, and empty lines leave nothing.
    lower_case : bool
        Whether plain text is lower-cased.

    Returns
    -------
    sequence of str
    """
    if level == "char":
        return text
    if not plain_text:
        return text.replace("\n", f" {EOS} ").split()
    text = text.lower() if lower_case else text
    line = re.sub(r"\n\s*", f" {EOS} ", text.lstrip())
    return [match[0] if match[1] is None else match[0][:3] for match in _PLAIN_TEXT_TOKEN.finditer(line)]


@dataclass(frozen=True)
class Vocabulary:
    """The tokens a model knows; the number of a token is its position.

    Parameters
    ----------
    tokens : tuple of str
        Without repeats. `build` puts the most frequent first.
    level : {"word", "char"}
        What a token is.
    plain_text : bool
        Which of the two word tokenisers of `tokenise` cuts text.

    Raises
    ------
    TruesparseError
        Unknown level, no tokens, or one token twice.
    """

    tokens: tuple[str, ...]
    level: Level = "word"
    plain_text: bool = False

    def __post_init__(self) -> None:
        if self.level not in ("word", "char"):
            raise TruesparseError(f'the level of a vocabulary must be "word" or "char", not {self.level!r}')
        if not self.tokens:
            raise TruesparseError("a vocabulary needs at least one token")
        if len(self._ids) != len(self.tokens):
            twice = Counter(self.tokens).most_common(1)[0][0]
            raise TruesparseError(f"the vocabulary has the token {twice!r} twice; remove one")

    @classmethod
    def build(
        cls, tokens: Iterable[str], level: Level = "word", plain_text: bool = False, min_count: int = 1
    ) -> Vocabulary:
        """The types of a text, most frequent first, ties in order of first occurrence.

        Parameters
        ----------
        tokens : iterable of str
        level, plain_text
            As in the class.
        min_count : int
            Types that occur fewer times count as ``<unk>``.

        Returns
        -------
        Vocabulary
        """
        counts = Counter(tokens)
        rare = [token for token, count in counts.items() if count < min_count and token not in (EOS, UNKNOWN)]
        if rare:
            unknown = sum(counts.pop(token) for token in rare)
            counts[UNKNOWN] += unknown
        return cls(tuple(token for token, _ in counts.most_common()), level, plain_text)

    def with_unknown(self) -> Vocabulary:
        """This vocabulary, with ``<unk>`` as its last token if it had none."""
        if self.unknown is not None:
            return self
        return Vocabulary((*self.tokens, UNKNOWN), self.level, self.plain_text)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {token: number for number, token in enumerate(self.tokens)}

    @property
    def unknown(self) -> int | None:
        """Number of ``<unk>``; None if the vocabulary does not have it."""
        return self._ids.get(UNKNOWN)

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: object) -> bool:
        return token in self._ids

    def tokenise(self, text: str) -> Sequence[str]:
        """Cut text the way the text of this vocabulary was cut; see `tokenise`."""
        return tokenise(text, self.level, self.plain_text)

    def encode(self, text: str) -> np.ndarray:
        """Numbers of the tokens of a text.

        A last line without line feed gets no ``<eos>``, so a prompt can be continued.

        Parameters
        ----------
        text : str

        Returns
        -------
        ndarray of int32, shape (n_tokens,)

        Raises
        ------
        TruesparseError
            A token is not in the vocabulary, and the vocabulary has no ``<unk>``.
        """
        return self.encode_tokens(self.tokenise(text))

    def encode_tokens(self, tokens: Sequence[str]) -> np.ndarray:
        """Numbers of tokens; as `encode`, for text that has been cut."""
        try:
            if self.unknown is None:
                numbers = map(self._ids.__getitem__, tokens)
            else:
                numbers = map(self._ids.get, tokens, repeat(self.unknown))
            return np.fromiter(numbers, np.int32, len(tokens))
        except KeyError as error:
            kind = "character" if self.level == "char" else "word"
            raise TruesparseError(
                f"the {kind} {error.args[0]!r} is not among the {len(self):,} tokens of the vocabulary"
                f", which has no {UNKNOWN}; remove it from the text or train on text that has it"
            ) from None

    def decode(self, ids: Iterable[int]) -> str:
        """Text of numbers: characters as they were; words with spaces between and a line feed for ``<eos>``.

        Parameters
        ----------
        ids : iterable of int

        Returns
        -------
        str
        """
        tokens = [self.tokens[number] for number in ids]
        if self.level == "char":
            return "".join(tokens)
        spaced = " ".join("\n" if token == EOS else token for token in tokens)
        return spaced.replace(" \n", "\n").replace("\n ", "\n")

    def to_json(self) -> str:
        """The vocabulary as a JSON object, for a model file."""
        fields = {"level": self.level, "plain_text": self.plain_text, "tokens": self.tokens}
        return json.dumps(fields, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Vocabulary:
        """The vocabulary that `to_json` wrote.

        Raises
        ------
        TruesparseError
            The text is not what `to_json` writes.
        """
        try:
            fields = json.loads(text)
            tokens, level, plain_text = fields["tokens"], fields["level"], fields["plain_text"]
        except (ValueError, KeyError, TypeError):
            raise TruesparseError(
                "the vocabulary is not a JSON object with level, plain_text and tokens"
                "; use a file that truesparse wrote"
            ) from None
        if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
            raise TruesparseError(
                "the tokens of the vocabulary are not a list of strings; use a file that truesparse wrote"
            )
        return cls(tuple(tokens), level, bool(plain_text))
