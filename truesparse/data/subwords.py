"""Pieces of words, learned from a text: byte-level byte pair encoding.

Every text is a sequence of bytes, and each of the 256 bytes is a token, so there is no unknown word: what
was rare in training is read in smaller pieces, at worst byte by byte, and comes back as it was. Learning the
pieces needs the package tokenizers; reading and writing them does not.

References
----------
R. Sennrich, B. Haddow and A. Birch, "Neural machine translation of rare words with subword units", ACL 2016.
A. Radford et al., "Language models are unsupervised multitask learners", 2019, section 2.2 (bytes).
"""

from __future__ import annotations

import codecs
import json
import re
from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from heapq import heapify, heappop, heappush
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from truesparse.data.vocabulary import Vocabulary
from truesparse.data.words import Level
from truesparse.errors import TruesparseError, UsageError

BYTES = 256
SUBWORDS = 4000  # tokens, if nobody says how many

# No piece crosses the border of two matches. All that is not ASCII counts as letters: what else is one
# differs from one version of Unicode to the next, and so from one Python to another.
_SPLIT = (
    r"[ ']?[^\x00-@\[-`{-\x7f]+"
    r"| ?[0-9]+"
    r"| ?[!-/:-@\[-`{-~]+"
    r"|[\x00-\x20\x7f]+(?![^\x00-\x20\x7f])"  # but for the last space, which goes with the word
    r"|[\x00-\x20\x7f]+"
)
_MATCHES = re.compile(_SPLIT)
_KEPT, _LONGEST_KEPT = 1 << 16, 64  # matches whose tokens are remembered, and characters of one

# A byte as a character that can be seen (GPT-2's table): tokens are texts, in files and messages too.
_SEEN = [*range(33, 127), *range(161, 173), *range(174, 256)]
_CHARACTERS = {byte: chr(byte) for byte in _SEEN} | {
    byte: chr(BYTES + place) for place, byte in enumerate(sorted({*range(BYTES)} - {*_SEEN}))
}
_BYTES = {character: byte for byte, character in _CHARACTERS.items()}


@dataclass(frozen=True)
class Subwords(Vocabulary):
    """A vocabulary of pieces of words.

    Parameters
    ----------
    tokens : tuple of str
        Each byte as one character (GPT-2's table). Among them those of all 256 bytes.
    level, plain_text, word_rule
        As in `Vocabulary`; `level` is "subword", and the others have no meaning.
    merges : tuple of tuple of int
        Pairs of numbers of tokens that become one, those first that come first.

    Raises
    ------
    TruesparseError
        As `Vocabulary`; also if a byte is missing, a token is of no bytes, or a merge is of no tokens or
        makes none.
    """

    LEVELS: ClassVar[tuple[str, ...]] = ("subword",)

    level: Level = "subword"
    merges: tuple[tuple[int, int], ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "merges", tuple(map(tuple, self.merges)))
        wrong = next((token for token in self.tokens if not token or not _BYTES.keys() >= set(token)), None)
        if wrong is not None:
            raise TruesparseError(
                f"the subword {wrong[:40]!r} is of no bytes; use a table that truesparse made"
            )
        if not all(character in self._ids for character in _BYTES):
            raise TruesparseError("the subwords lack some of the 256 bytes; use a table that truesparse made")
        if len(self._ranks) != len(self.merges):
            raise TruesparseError("two merges are of the same subwords; use a table that truesparse made")

    @classmethod
    def learn(cls, texts: Iterable[str], size: int = SUBWORDS) -> Subwords:
        """Take the pieces from the texts to train on, the most frequent first.

        Parameters
        ----------
        texts : iterable of str
        size : int
            The most tokens; there are fewer where nothing is left that occurs twice.

        Raises
        ------
        UsageError
            There is no package tokenizers, or `size` is less than the bytes.
        """
        if size < BYTES:
            raise UsageError(
                f"--vocabulary is {size}; of subwords it must be at least {BYTES}, as each byte is one"
            )
        texts = list(texts)
        table = json.loads(_learned(texts, size).to_str())["model"]
        vocabulary: dict[str, int] = table["vocab"]
        merges = [(vocabulary[left], vocabulary[right]) for left, right in table["merges"]]
        learned = cls(tuple(sorted(vocabulary, key=vocabulary.__getitem__)), merges=tuple(merges))
        counts = np.zeros(len(learned), np.int64)
        for text in texts:
            counts += np.bincount(learned.encode(text), minlength=len(learned))
        order = np.argsort(-counts, kind="stable")
        place = np.argsort(order).tolist()
        return cls(
            tuple(learned.tokens[number] for number in order),
            merges=tuple((place[left], place[right]) for left, right in merges),
        )

    @property
    def unknown(self) -> int | None:
        """None: there is no text that cannot be read."""
        return None

    @property
    def line_end(self) -> int:
        """See `Vocabulary.line_end`."""
        return self._ids[_CHARACTERS[ord("\n")]]

    @cached_property
    def token_bytes(self) -> tuple[bytes, ...]:
        """See `Vocabulary.token_bytes`."""
        return tuple(bytes(map(_BYTES.__getitem__, token)) for token in self.tokens)

    @cached_property
    def _of_byte(self) -> list[int]:
        return [self._ids[_CHARACTERS[byte]] for byte in range(BYTES)]

    @cached_property
    def _ranks(self) -> dict[tuple[int, int], tuple[int, int]]:
        """The place of each merge, and what it makes."""
        ranks = {}
        for rank, pair in enumerate(self.merges):
            if len(pair) != 2 or not all(type(one) is int and 0 <= one < len(self.tokens) for one in pair):
                raise TruesparseError(
                    f"merge {rank + 1:,} is of no two subwords; use a table that truesparse made"
                )
            made = self._ids.get(self.tokens[pair[0]] + self.tokens[pair[1]])
            if made is None:
                raise TruesparseError(
                    f"merge {rank + 1:,} makes no subword; use a table that truesparse made"
                )
            ranks[pair] = rank, made
        return ranks

    @cached_property
    def _known(self) -> dict[str, list[int]]:
        """Tokens of matches that were read."""
        return {}

    def encode_tokens(self, tokens: Sequence[str]) -> np.ndarray:
        """Numbers of the subwords of a text, which may come in pieces.

        Raises
        ------
        TruesparseError
            It has a half of a pair of surrogates, which is no character.
        """
        known, ids = self._known, array("i")
        for match in _MATCHES.finditer("".join(tokens)):
            piece = match[0]
            found = known.get(piece)
            if found is None:
                found = self._merged(piece)
                if len(piece) <= _LONGEST_KEPT:
                    if len(known) >= _KEPT:
                        known.clear()
                    known[piece] = found
            ids.extend(found)
        return np.array(ids, np.int32)

    def _merged(self, piece: str) -> list[int]:
        """Tokens of the bytes of a match, put together pair by pair: the first merge of all, and of its
        places the first, before others."""
        try:
            ids = [self._of_byte[byte] for byte in piece.encode()]
        except UnicodeEncodeError as error:
            raise TruesparseError(
                f"the text has {piece[error.start]!r}, which is no character; remove it from the text"
            ) from None
        ranks, end = self._ranks, len(ids)
        before, after = list(range(-1, end - 1)), list(range(1, end + 1))
        queue = [(*ranks[pair], left) for left, pair in enumerate(pairwise(ids)) if pair in ranks]
        heapify(queue)
        while queue:
            _, made, left = heappop(queue)
            right = after[left]
            # One of the two may have become a part of another since.
            if right >= end or ranks.get((ids[left], ids[right]), (0, -1))[1] != made:
                continue
            ids[left], ids[right] = made, -1
            after[left] = after[right]
            if after[left] < end:
                before[after[left]] = left
            for place in (before[left], left):
                if place >= 0 and after[place] < end and (pair := (ids[place], ids[after[place]])) in ranks:
                    heappush(queue, (*ranks[pair], place))
        return [number for number in ids if number >= 0]

    def decode(self, ids: Iterable[int]) -> str:
        """Text of numbers, with U+FFFD for bytes that make no character."""
        return b"".join(self.token_bytes[number] for number in ids).decode("utf-8", "replace")

    def pieces(self, ids: Iterable[int], after: Sequence[int] = ()) -> Iterator[str]:
        """See `Vocabulary.pieces`: whole characters, each when its last byte has come; one that lacks some at
        the end is left out."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for number in ids:
            yield decoder.decode(self.token_bytes[number])

    def to_document(self) -> dict[str, Any]:
        """See `Vocabulary.to_document`."""
        return super().to_document() | {"merges": [list(pair) for pair in self.merges]}


def read_merges(merges: Any) -> tuple[tuple[int, int], ...]:
    """The merges of a file; TruesparseError if they are no pairs."""
    if not isinstance(merges, list) or not all(isinstance(pair, Collection) for pair in merges):
        raise TruesparseError(
            "the merges of the vocabulary are not a list of pairs; use a file that truesparse wrote"
        )
    return tuple(map(tuple, merges))


def _learned(texts: list[str], size: int) -> Any:
    """A tokenizer of the package tokenizers, trained; also for tests, which compare with it."""
    try:
        from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
    except ImportError:
        raise UsageError(
            '--level subword needs tokenizers; install it with: pip install "truesparse[subword]"'
        ) from None
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, min_frequency=2, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer
