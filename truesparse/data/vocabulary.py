"""Tokens and their numbers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import Any, ClassVar

import numpy as np

from truesparse.data.words import EOS, UNKNOWN, WORD_RULE, Level, tokenise
from truesparse.errors import TruesparseError
from truesparse.settings import check_kind, listed


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
    word_rule : int
        Version of the rule by which plain text is cut: 1 or 2.

    Raises
    ------
    TruesparseError
        Unknown level or version, no tokens, or one token twice.
    """

    LEVELS: ClassVar[tuple[str, ...]] = ("word", "char")

    tokens: tuple[str, ...]
    level: Level = "word"
    plain_text: bool = False
    word_rule: int = WORD_RULE

    def __post_init__(self) -> None:
        check_kind("tokens", self.tokens, Collection, "a tuple of texts")
        object.__setattr__(self, "tokens", tuple(self.tokens))
        if self.level not in self.LEVELS:
            levels = listed(f'"{level}"' for level in self.LEVELS)
            raise TruesparseError(f"the level of a vocabulary must be {levels}, not {self.level!r}")
        if type(self.word_rule) is not int or not 1 <= self.word_rule <= WORD_RULE:
            raise TruesparseError(
                f"the vocabulary has the word rule {self.word_rule!r}, but this version of truesparse knows"
                f" 1 to {WORD_RULE}; use a newer one"
            )
        if not self.tokens:
            raise TruesparseError("a vocabulary needs at least one token")
        if len(self._ids) != len(self.tokens):
            twice = Counter(self.tokens).most_common(1)[0][0]
            raise TruesparseError(f"the vocabulary has the token {twice!r} twice; remove one")

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update({"word_rule": 1, **state})  # a pickle from before there were versions

    @classmethod
    def build(
        cls,
        tokens: Iterable[str],
        level: Level = "word",
        plain_text: bool = False,
        min_count: int = 1,
        word_rule: int = WORD_RULE,
    ) -> Vocabulary:
        """The types of a text, most frequent first, ties in order of first occurrence.

        Parameters
        ----------
        tokens : iterable of str
        level, plain_text, word_rule
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
        return cls(tuple(token for token, _ in counts.most_common()), level, plain_text, word_rule)

    def with_unknown(self) -> Vocabulary:
        """This vocabulary, with ``<unk>`` as its last token if it had none."""
        if self.unknown is not None:
            return self
        return Vocabulary((*self.tokens, UNKNOWN), self.level, self.plain_text, self.word_rule)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {token: number for number, token in enumerate(self.tokens)}

    @property
    def unknown(self) -> int | None:
        """Number of ``<unk>``; None if the vocabulary does not have it."""
        return self._ids.get(UNKNOWN)

    @property
    def line_end(self) -> int:
        """Number of the token that ends a line, or of the most frequent one."""
        return next((self._ids[token] for token in (EOS, "\n") if token in self._ids), 0)

    @cached_property
    def token_bytes(self) -> tuple[bytes, ...]:
        """The text of each token, in UTF-8; of subwords not always whole characters."""
        return tuple(token.encode("utf-8", "replace") for token in self.tokens)

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: object) -> bool:
        return token in self._ids

    def tokenise(self, text: str) -> Sequence[str]:
        """Cut text the way the text of this vocabulary was cut; see `tokenise`."""
        return tokenise(text, self.level, self.plain_text, word_rule=self.word_rule)

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

    def pieces(self, ids: Iterable[int], after: Sequence[int] = ()) -> Iterator[str]:
        """Text of numbers as they come, each with what parts it from the one before.

        Parameters
        ----------
        ids : iterable of int
        after : sequence of int
            Numbers of what came before, which is not returned again.
        """
        last = list(after[-1:])
        for number in ids:
            yield self.decode([*last, number])[len(self.decode(last)) :]
            last = [number]

    def to_document(self) -> dict[str, Any]:
        """What JSON can hold."""
        return {name: getattr(self, name) for name in ("level", "plain_text", "word_rule", "tokens")}

    def to_json(self) -> str:
        """The vocabulary as a JSON object, for a model file."""
        return json.dumps(self.to_document(), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Vocabulary:
        """The vocabulary that `to_json` wrote.

        Raises
        ------
        TruesparseError
            The text is not what `to_json` writes.
        """
        from truesparse.data.subwords import Subwords, read_merges  # which are vocabularies

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
        own = level, bool(plain_text), fields.get("word_rule", 1)
        if level in Subwords.LEVELS:
            return Subwords(tuple(tokens), *own, read_merges(fields.get("merges")))
        return Vocabulary(tuple(tokens), *own)
