"""From a text, or from tokens, to the numbers that a model reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from truesparse.data.subwords import Subwords
from truesparse.data.vocabulary import Vocabulary
from truesparse.data.words import UNKNOWN, WORD_RULE, split_words
from truesparse.errors import TruesparseError, UsageError
from truesparse.settings import check_kind, check_whole, listed, shown

PAD = "<pad>"
TRUNCATIONS = ("before", "after")
PADDINGS = ("masked", "before", "after")

_LONGEST_LENGTH = 1 << 20  # steps that a model file may ask for


def frequent_words(
    words: Iterable[str],
    size: int,
    min_count: int = 1,
    special: tuple[str, ...] = (UNKNOWN,),
    plain_text: bool = False,
    word_rule: int = WORD_RULE,
) -> Vocabulary:
    """Return a vocabulary of special tokens and of the most frequent words.

    Parameters
    ----------
    words : iterable of str
    size : int
        The most tokens, the special ones among them.
    min_count : int
        Words that occur fewer times are left out.
    special : tuple of str
        First tokens, ``<unk>`` among them.
    plain_text, word_rule
        As in `Vocabulary`.
    """
    counted = Vocabulary.build(chain(special, words), "word", plain_text, min_count, word_rule)
    frequent = [token for token in counted.tokens if token not in special]
    return Vocabulary((*special, *frequent[: size - len(special)]), "word", plain_text, word_rule)


@dataclass(frozen=True)
class TokenEncoder:
    """Numbers tokens that somebody else has cut.

    Parameters
    ----------
    vocabulary : Vocabulary
        Has ``<unk>``.
    lower_case : bool
        Whether tokens are lower-cased.
    """

    vocabulary: Vocabulary
    lower_case: bool = False

    def __post_init__(self) -> None:
        check_kind("vocabulary", self.vocabulary, Vocabulary, "a Vocabulary")

    @classmethod
    def build(
        cls,
        tokens: Iterable[str],
        size: int,
        min_count: int = 1,
        lower_case: bool = False,
        word_rule: int = WORD_RULE,
    ) -> TokenEncoder:
        """Take the vocabulary from the tokens to train on; parameters as `frequent_words`."""
        read = (token.lower() if lower_case else token for token in tokens)
        return cls(frequent_words(read, size, min_count, word_rule=word_rule), lower_case)

    def encode(self, tokens: Sequence[str]) -> NDArray[np.int32]:
        """Numbers of tokens, shape (tokens,)."""
        return self.vocabulary.encode_tokens([t.lower() for t in tokens] if self.lower_case else tokens)

    def to_document(self) -> dict[str, Any]:
        """Everything but the vocabulary, for a model file."""
        return {"lower_case": self.lower_case}

    @classmethod
    def from_document(cls, document: Any, vocabulary: Vocabulary) -> TokenEncoder:
        """The encoder that `to_document` wrote.

        Raises
        ------
        TruesparseError
            It is not what `to_document` writes, or does not fit the vocabulary.
        """
        if not isinstance(document, dict) or type(document.get("lower_case")) is not bool:
            raise TruesparseError("the settings of the text have no valid lower_case")
        if vocabulary.unknown is None:
            raise TruesparseError(f"the vocabulary lacks {UNKNOWN}")
        return cls(vocabulary, document["lower_case"])


@dataclass(frozen=True)
class TextEncoder:
    """Cuts a text into words and numbers them.

    Parameters
    ----------
    vocabulary : Vocabulary
        Has ``<unk>``, and ``<pad>`` where texts are padded with it; or is one of subwords, which needs
        neither.
    length : int
        The most words or subwords of a text that are read.
    lower_case, punctuation : bool
        See `split_words`. Subwords are of all that a text has, whatever `punctuation` is.
    truncation : {"before", "after"}
        Which end of a longer text is cut off: the words before the last `length`, or those after the first.
    padding : {"masked", "before", "after"}
        What becomes of a shorter text: it stays as it is, and the model stops at its end; or ``<pad>`` is put
        before or after it, which the model reads like any word.
    """

    SETTINGS: ClassVar[tuple[str, ...]] = ("length", "lower_case", "punctuation", "truncation", "padding")

    vocabulary: Vocabulary
    length: int
    lower_case: bool = True
    punctuation: bool = False
    truncation: str = "before"
    padding: str = "masked"

    def __post_init__(self) -> None:
        check_kind("vocabulary", self.vocabulary, Vocabulary, "a Vocabulary")
        check_whole("length", self.length)
        for name, choices in ("truncation", TRUNCATIONS), ("padding", PADDINGS):
            if getattr(self, name) not in choices:
                raise UsageError(f"{name} is {shown(getattr(self, name))}; it must be {listed(choices)}")
        if isinstance(self.vocabulary, Subwords) and self.padding != "masked":
            raise UsageError(f"--padding {self.padding} needs words; of subwords it must be masked")

    @classmethod
    def build(
        cls,
        texts: Iterable[str],
        length: int,
        size: int,
        min_count: int = 1,
        lower_case: bool = True,
        punctuation: bool = False,
        truncation: str = "before",
        padding: str = "masked",
        word_rule: int = WORD_RULE,
        level: str = "word",
    ) -> TextEncoder:
        """Take the vocabulary from the texts to train on.

        Parameters
        ----------
        texts : iterable of str
        length, lower_case, punctuation, truncation, padding
            As in the class.
        size : int
            The most tokens, ``<unk>`` and ``<pad>`` among them; the most frequent words are kept.
        min_count : int
            Words that occur fewer times become ``<unk>``.
        word_rule : int
            Version of the rule that says what a word is.
        level : {"word", "subword"}
            What a token is.
        """
        if level == "subword":
            read = (text.lower() if lower_case else text for text in texts)
            subwords = Subwords.learn(map(str.strip, read), size)
            return cls(subwords, length, lower_case, punctuation, truncation, padding)
        special = (UNKNOWN,) if padding == "masked" else (UNKNOWN, PAD)
        words = (word for text in texts for word in split_words(text, lower_case, punctuation, word_rule))
        vocabulary = frequent_words(words, size, min_count, special, True, word_rule)
        return cls(vocabulary, length, lower_case, punctuation, truncation, padding)

    def encode(self, text: str) -> NDArray[np.int32]:
        """Numbers of the words of a text, cut and padded; none for a text without words.

        Returns
        -------
        ndarray of int32, shape (at most `length`,)
        """
        if isinstance(self.vocabulary, Subwords):
            ids = self.vocabulary.encode((text.lower() if self.lower_case else text).strip())
        else:
            words = split_words(text, self.lower_case, self.punctuation, self.vocabulary.word_rule)
            ids = self.vocabulary.encode_tokens(words)
        ids = ids[-self.length :] if self.truncation == "before" else ids[: self.length]
        if self.padding == "masked" or len(ids) in (0, self.length):
            return ids
        padding = np.full(self.length - len(ids), self.vocabulary.encode_tokens([PAD])[0], np.int32)
        return np.concatenate([padding, ids] if self.padding == "before" else [ids, padding])

    def to_document(self) -> dict[str, Any]:
        """Everything but the vocabulary, for a model file."""
        return {name: getattr(self, name) for name in self.SETTINGS}

    @classmethod
    def from_document(cls, document: Any, vocabulary: Vocabulary) -> TextEncoder:
        """The encoder that `to_document` wrote.

        Raises
        ------
        TruesparseError
            It is not what `to_document` writes, or does not fit the vocabulary.
        """
        if not isinstance(document, dict) or document.keys() < set(cls.SETTINGS):
            raise TruesparseError(f"the settings of the text are not {', '.join(cls.SETTINGS)}")
        length, lower_case, punctuation, truncation, padding = (document[name] for name in cls.SETTINGS)
        if type(length) is not int or not 1 <= length <= _LONGEST_LENGTH:
            raise TruesparseError("the settings of the text have no valid length")
        if type(lower_case) is not bool or type(punctuation) is not bool:
            raise TruesparseError("the settings of the text have no valid lower_case or punctuation")
        if truncation not in TRUNCATIONS or padding not in PADDINGS:
            raise TruesparseError("the settings of the text have no valid truncation or padding")
        needed: tuple[str, ...] = (UNKNOWN,) if padding == "masked" else (UNKNOWN, PAD)
        if isinstance(vocabulary, Subwords):
            needed = () if padding == "masked" else (PAD,)
        if any(token not in vocabulary for token in needed):
            raise TruesparseError(f"the vocabulary lacks {' or '.join(needed)}")
        return cls(vocabulary, length, lower_case, punctuation, truncation, padding)
