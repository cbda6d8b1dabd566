"""Text to train on: folders of split text, single files, and the text every Python brings along."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from truesparse.data.files import find_file, read_text, without_packing
from truesparse.data.subwords import SUBWORDS, Subwords
from truesparse.data.vocabulary import Vocabulary
from truesparse.data.words import EOS, WORD_RULE, Level, tokenise
from truesparse.errors import TruesparseError, UsageError
from truesparse.settings import listed

SPLITS = ("train", "valid", "test")

# File names of each split, the first that exists counts. A folder's first complete row is taken.
LAYOUTS = (
    (("ptb.train.txt",), ("ptb.valid.txt",), ("ptb.test.txt",)),
    (("wiki.train.tokens", "wiki.train.shuffled.tokens"), ("wiki.valid.tokens",), ("wiki.test.tokens",)),
    (("train.txt",), ("valid.txt", "val.txt", "dev.txt"), ("test.txt",)),
)

# What a text has of each level.
_UNITS = {"word": "words", "char": "characters", "subword": "subwords"}

# Words of plain text that occur less often in the training part become <unk>.
PLAIN_TEXT_MIN_COUNT = 3


@dataclass(frozen=True)
class Corpus:
    """A text in three parts, as numbers.

    Attributes
    ----------
    name : str
        Short, fit for a file name.
    description : str
        One line for people: where the text is from and its size.
    vocabulary : Vocabulary
    train, valid, test : ndarray of int32, shape (n_tokens,)
    """

    name: str
    description: str
    vocabulary: Vocabulary
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray


def load_corpus(
    path: Path | str | None = None,
    level: Level = "word",
    vocabulary: Vocabulary | None = None,
    word_rule: int = WORD_RULE,
    size: int = SUBWORDS,
) -> Corpus:
    """Read a text and number its tokens.

    A folder holds the three parts in files of one of three layouts: ``ptb.train.txt, ptb.valid.txt,
    ptb.test.txt``; ``wiki.train.tokens`` (or ``wiki.train.shuffled.tokens``), ``wiki.valid.tokens,
    wiki.test.tokens``; ``train.txt, valid.txt`` (or ``val.txt`` or ``dev.txt``), ``test.txt``; in capitals
    or not, and each may be packed (``.gz``, ``.bz2``, ``.xz``). Its words are what white space parts; line
    ends become ``<eos>``. A single text file is plain text: its words are lower-cased and parted from
    punctuation (`tokenise` has the rule), those that occur fewer than 3 times in the training part become
    ``<unk>``, and its first 90 % of tokens train, the next 5 % validate and the last 5 % test, each cut moved
    to a line end if one is near.

    The vocabulary has the types of the training part, most frequent first, and ``<unk>`` if the other parts
    need it.

    Parameters
    ----------
    path : Path, str or None
        A folder, a file, or None for the documentation of the Python language that is part of the standard
        library (`pydoc_data.topics`), treated as plain text.
    level : {"word", "char", "subword"}
        Of words, of characters, or of pieces of words that are learned from the training part, whose text
        stays as it is. Ignored where a vocabulary is given.
    vocabulary : Vocabulary, optional
        Use this one, its level and its rule, for example those of a saved model, instead of making one.
    word_rule : int
        Version of the rule that says what a word is, for a vocabulary that is made.
    size : int
        The most tokens of a vocabulary of subwords that is made.

    Returns
    -------
    Corpus

    Raises
    ------
    UsageError
        The path does not exist, a folder has none of the layouts, or the level is unknown.
    TruesparseError
        A file is empty, is not text or cannot be read, or has a token that the given vocabulary cannot
        encode.
    """
    if vocabulary is not None:
        level, word_rule = vocabulary.level, vocabulary.word_rule
    elif level not in _UNITS:
        raise UsageError(f"--level is {level!r}; it must be {listed(map(repr, _UNITS))}")
    plain_text = vocabulary.plain_text if vocabulary is not None else path is None or not Path(path).is_dir()
    train, valid, test = _read_parts(path, level, plain_text, word_rule)
    if vocabulary is None and level == "subword":
        vocabulary = Subwords.learn(["".join(train)], size)
    elif vocabulary is None:
        min_count = PLAIN_TEXT_MIN_COUNT if plain_text and level == "word" else 1
        vocabulary = Vocabulary.build(train, level, plain_text, min_count, word_rule)
        if not all(token in vocabulary for part in (valid, test) for token in set(part)):
            vocabulary = vocabulary.with_unknown()
    name = "python-docs" if path is None else Path(without_packing(Path(path).resolve().name)).stem or "text"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    source = f"documentation of the Python {version} language (built in)" if path is None else str(path)
    parts = [vocabulary.encode_tokens(part) for part in (train, valid, test)]
    sizes = " / ".join(f"{len(part):,}" for part in parts)
    return Corpus(
        name,
        f"{source}: {sizes} {_UNITS[level]} to train / validate / test, vocabulary {len(vocabulary):,}",
        vocabulary,
        *parts,
    )


def load_evaluation_text(path: Path | str | None, vocabulary: Vocabulary, split: str = "test") -> np.ndarray:
    """One part of a text in the numbers of a vocabulary.

    Parameters
    ----------
    path : Path, str or None
        As in `load_corpus`; a single file is split as there. A folder needs only the files asked for.
    vocabulary : Vocabulary
    split : {"train", "valid", "test", "all"}
        "all" is the three parts one after another, thus a single file as it is.

    Returns
    -------
    ndarray of int32, shape (n_tokens,)

    Raises
    ------
    UsageError, TruesparseError
        As `load_corpus`; also for an unknown `split`.
    """
    if split not in (*SPLITS, "all"):
        raise UsageError(f"--split is {split!r}; it must be one of {', '.join(SPLITS)} or all")
    reading = vocabulary.level, vocabulary.plain_text, vocabulary.word_rule
    if path is not None and split == "all" and Path(path).is_file():
        return vocabulary.encode_tokens(_read_tokens(Path(path), *reading))  # however short
    if path is not None and split != "all" and Path(path).is_dir():
        return vocabulary.encode_tokens(_read_tokens(_find_file(Path(path), split), *reading))
    parts = dict(zip(SPLITS, _read_parts(path, *reading), strict=True))
    chosen = SPLITS if split == "all" else (split,)
    return np.concatenate([vocabulary.encode_tokens(parts[name]) for name in chosen])


def unigram_perplexity(train_ids: np.ndarray, ids: np.ndarray, vocab_size: int) -> float:
    r"""Perplexity of a model that knows only how often each token occurs in the training text.

    .. math:: p(v) = \frac{n_v + 1}{N + V}, \qquad \exp\Bigl(-\frac{1}{|ids|} \sum_i \log p(ids_i)\Bigr)

    The bar that any language model has to clear; the added 1 keeps tokens that training lacks possible.

    Parameters
    ----------
    train_ids, ids : ndarray of int32, shape (n_tokens,)
        The text that is counted and the text that is predicted.
    vocab_size : int

    Returns
    -------
    float
    """
    counts = np.bincount(train_ids, minlength=vocab_size) + 1.0
    log_probabilities = np.log(counts / counts.sum())
    return float(np.exp(-log_probabilities[ids].mean()))


def _read_parts(
    path: Path | str | None, level: Level, plain_text: bool, word_rule: int
) -> tuple[Sequence[str], ...]:
    """Tokens of train, valid and test."""
    if path is None:
        return _split(tokenise(_builtin_text(), level, plain_text, word_rule=word_rule), "the built-in text")
    path = Path(path)
    if path.is_dir():
        return tuple(_read_tokens(file, level, plain_text, word_rule) for file in _find_files(path))
    if not path.exists():
        raise UsageError(
            f"there is no file or folder {path}; give --data a text file, or a folder of text files"
        )
    return _split(_read_tokens(path, level, plain_text, word_rule), str(path))


def _find_files(folder: Path) -> list[Path]:
    """Files of train, valid and test in a folder."""
    for layout in LAYOUTS:
        found = [file for names in layout if (file := find_file(folder, names)) is not None]
        if len(found) == len(layout):
            return found
    wanted = "; or ".join(", ".join(" | ".join(names) for names in layout) for layout in LAYOUTS)
    raise UsageError(
        f"the folder {folder} does not have the three files of a corpus, which are {wanted}"
        f"; add what is missing, or give --data one text file"
    )


def _find_file(folder: Path, split: str) -> Path:
    """File of one part in a folder, which may lack the others."""
    place = SPLITS.index(split)
    try:
        return _find_files(folder)[place]
    except UsageError:
        found = find_file(folder, [name for layout in LAYOUTS for name in layout[place]])
        if found is None:
            raise
        return found


def _read_tokens(file: Path, level: Level, plain_text: bool, word_rule: int) -> Sequence[str]:
    """Tokens of a file, which has some."""
    text = read_text(file)
    text = text if text.endswith("\n") else text + "\n"
    tokens = tokenise(text, level, plain_text, word_rule=word_rule)
    if all(token == EOS or token.isspace() for token in tokens):
        raise TruesparseError(f"{file} has no text; give --data a file with some")
    return tokens


def _split(tokens: Sequence[str], name: str) -> tuple[Sequence[str], ...]:
    """First 90 %, next 5 % and last 5 %, cut at line ends where they are near, no part empty."""
    n = len(tokens)
    if n < 3:
        raise TruesparseError(f"{name} has {n} tokens, too few to split into three parts; use a longer text")
    first = min(_near_line_end(tokens, round(0.90 * n)), n - 2)
    second = min(max(_near_line_end(tokens, round(0.95 * n)), first + 1), n - 1)
    return tokens[:first], tokens[first:second], tokens[second:]


def _near_line_end(tokens: Sequence[str], cut: int) -> int:
    """The place nearest to `cut` that follows a line end; `cut` if none is within 2 % of the text."""
    for distance in range(len(tokens) // 50):
        for place in (cut - distance, cut + distance):
            if 0 < place < len(tokens) and tokens[place - 1] in (EOS, "\n"):
                return place
    return cut


def _builtin_text() -> str:
    """The topics of Python's interactive help in the order of their names, each paragraph only once.

    Many topics repeat passages of others; kept, they would put parts of the validation text into the training
    text.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise TruesparseError(
            "this Python comes without pydoc_data.topics, the text to train on when none is given"
            "; give --data a text file or a folder"
        ) from None
    paragraphs: dict[str, str] = {}
    for topic in sorted(topics):
        for paragraph in re.split(r"\n\s*\n", topics[topic]):
            paragraphs.setdefault(" ".join(paragraph.split()), paragraph)
    return "\n\n".join(paragraphs.values()) + "\n"
