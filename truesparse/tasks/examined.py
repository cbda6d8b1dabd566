"""What a look at single examples of the test part shows of a trained model, with the runtime alone."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from truesparse.data import Vocabulary

SECONDS = 10.0  # that a look takes at most, but for its first step
WORST = 12  # examples that are shown
AROUND = 8  # tokens that are shown on either side of one


class Passage(NamedTuple):
    """A token in its context."""

    before: str
    token: str
    after: str

    @classmethod
    def of(cls, tokens: Sequence[str], place: int, gap: str = " ") -> Passage:
        """One of the tokens of a text, and those next to it; `gap` parts tokens."""
        before = gap.join(tokens[max(0, place - AROUND) : place])
        return cls(before, tokens[place], gap.join(tokens[place + 1 : place + 1 + AROUND]))


@dataclass(frozen=True)
class Listing:
    """Examples in rows.

    Attributes
    ----------
    title : str
    headings : tuple of str
    rows : list of tuple
        Of texts, each of them from the user; the first may be a `Passage`.
    """

    title: str
    headings: tuple[str, ...]
    rows: list[tuple[str | Passage, ...]]


@dataclass(frozen=True)
class Examined:
    """What a look has shown.

    Attributes
    ----------
    what : str
        What was looked at, such as "all 27 test texts".
    labels : tuple of str
        Of the confusion matrix; empty if there is none.
    confusion : ndarray of int64, shape (labels, labels)
        How many examples of each label (row) were given each label (column).
    listings : list of Listing
    """

    what: str
    listings: list[Listing]
    labels: tuple[str, ...] = ()
    confusion: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), np.int64))


def shown_tokens(vocabulary: Vocabulary) -> tuple[str, ...]:
    """The tokens as people read them: pieces of words with the spaces that they have, not as bytes."""
    if vocabulary.level in ("word", "char"):
        return vocabulary.tokens
    return tuple(vocabulary.decode([number]) for number in range(len(vocabulary)))


def in_time(count: int, size: int, seconds: float = SECONDS) -> Iterator[NDArray[np.int64]]:
    """Numbers of examples, in an order drawn at random, `size` at a time, until `seconds` are over."""
    order = np.random.default_rng(0).permutation(count)
    end = time.monotonic() + seconds
    for start in range(0, count, size):
        if start and time.monotonic() > end:
            return
        yield order[start : start + size]


def how_many(seen: int, count: int, what: str) -> str:
    """Says that all of the examples were looked at, or so many of them."""
    if seen == count:
        return f"all {count:,} {what}"
    return f"{seen:,} of the {count:,} {what}, drawn at random"


def confusion_of(wanted: NDArray[np.int64], told: NDArray[np.int64], labels: int) -> NDArray[np.int64]:
    """How many examples of each label (row) were given each label (column)."""
    confusion = np.zeros((labels, labels), np.int64)
    np.add.at(confusion, (wanted, told), 1)
    return confusion
