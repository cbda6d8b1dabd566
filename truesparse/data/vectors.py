"""Word vectors that somebody else has trained, in text: word2vec's, GloVe's, fastText's ``.vec``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from truesparse.data.files import not_utf8, open_text
from truesparse.errors import TruesparseError

_LONGEST_LINE = 1 << 20  # bytes
_WAITING = 1 << 18  # numbers that are read before the largest of all are chosen


class WordVectors(NamedTuple):
    """The largest numbers of the vectors of some tokens, by magnitude.

    Attributes
    ----------
    found : ndarray of bool, shape (tokens,)
        Which tokens have a vector.
    places : ndarray of int64, shape (n,)
        For each number its token times the length of a vector, plus its place in it; increasing.
    values : ndarray of float32, shape (n,)
    """

    found: NDArray[np.bool_]
    places: NDArray[np.int64]
    values: NDArray[np.float32]

    def largest(self, count: int) -> WordVectors:
        """The largest of these, so many at most; of equal ones the first."""
        if count >= self.values.size:
            return self
        order = np.argsort(-np.abs(self.values), kind="stable")[:count]
        order.sort()
        return WordVectors(self.found, self.places[order], self.values[order])


def vector_size(path: Path) -> int:
    """How long the vectors of a file are; raises as `read_vectors`."""
    for _, _, numbers in _lines(path):
        return len(numbers)
    raise TruesparseError(f"{path} has no vectors; give another file")


def read_vectors(path: Path, tokens: Sequence[str], size: int, most: int) -> WordVectors:
    """Read the vectors of some tokens.

    Parameters
    ----------
    path : Path
        A line for each word: the word, and its numbers, with spaces or tabs between. A first line of two
        whole numbers, how many words and how long a vector, may be there or not. May be packed.
    tokens : sequence of str
        Of a word that is there twice the first line counts.
    size : int
        Length of a vector.
    most : int
        How many numbers are kept, the largest by magnitude: memory goes with it, not with the file nor with
        the tokens times the size.

    Raises
    ------
    UsageError
        There is no such file.
    TruesparseError
        It cannot be read, its vectors are of another size, a line is none of a word and as many numbers as
        others have, a number is not finite, or no token has a vector.
    """
    rows = {token.encode("utf-8", "replace"): row for row, token in enumerate(tokens)}
    chosen = WordVectors(np.zeros(len(tokens), np.bool_), np.empty(0, np.int64), np.empty(0, np.float32))
    waiting: list[tuple[int, NDArray[np.float32]]] = []

    def choose() -> WordVectors:
        starts = np.array([row * size for row, _ in waiting], np.int64)
        places = (starts[:, None] + np.arange(size)).reshape(-1)
        values = np.concatenate([vector for _, vector in waiting])
        waiting.clear()
        both = np.concatenate([chosen.places, places]), np.concatenate([chosen.values, values])
        order = np.argsort(both[0])
        return WordVectors(chosen.found, both[0][order], both[1][order]).largest(most)

    for number, word, fields in _lines(path):
        if len(fields) != size:
            raise TruesparseError(
                f"the vectors of {path} have {len(fields)} numbers, but --embedding-size is {size}; make it"
                f" {len(fields)}, or leave it out"
            )
        row = rows.get(word)
        if row is None or chosen.found[row]:
            continue
        chosen.found[row] = True
        waiting.append((row, _numbers(path, number, fields)))
        if len(waiting) * size >= _WAITING:
            chosen = choose()
    if not chosen.found.any():
        raise TruesparseError(
            f"none of the {len(tokens):,} tokens of the vocabulary has a vector in {path}; give vectors of"
            " the same language, and capitals as the text has them"
        )
    return choose() if waiting else chosen


def _lines(path: Path) -> Iterator[tuple[int, bytes, list[bytes]]]:
    """The number of each line, its word, and its numbers, as many as in the first line."""
    size = 0
    with open_text(path) as file:
        if file.encoding != "utf-8-sig":
            raise not_utf8(file.name, f"it is {file.encoding.upper()}")
        number = 0
        while line := file.stream.readline(_LONGEST_LINE):
            number += 1
            fields = (line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line).split()
            if number == 1 and len(fields) == 2 and all(field.isdigit() for field in fields):
                size = int(fields[1])
                continue
            if not fields and not file.stream.peek(1):
                return
            size = size or len(fields) - 1
            # A word may have spaces; one of a vector that is longer than the others has numbers behind them.
            longer = size > 0 and len(fields) > size + 1 and _are_numbers(fields[1:-size])
            if len(fields) <= size or size < 1 or longer or len(line) == _LONGEST_LINE:
                raise _bad_line(
                    path, number, f"a word and {size} numbers" if size > 0 else "a word and numbers"
                )
            yield number, b" ".join(fields[:-size]), fields[-size:]


def _are_numbers(fields: Sequence[bytes]) -> bool:
    try:
        return all(map(isfinite, map(float, fields)))
    except ValueError:
        return False


def _numbers(path: Path, number: int, fields: Sequence[bytes]) -> NDArray[np.float32]:
    try:
        values = [float(field) for field in fields]
    except ValueError:
        raise _bad_line(path, number, f"a word and {len(fields)} numbers") from None
    if not all(isfinite(value) and abs(value) < 1e30 for value in values):
        raise _bad_line(path, number, "finite numbers")
    return np.array(values, np.float32)


def _bad_line(path: Path, number: int, wanted: str) -> TruesparseError:
    return TruesparseError(
        f"line {number:,} of {path} is not {wanted}; mend it, or save the vectors as text (word2vec's,"
        " GloVe's or fastText's .vec)"
    )
