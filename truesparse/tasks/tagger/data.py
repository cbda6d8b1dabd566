"""Sentences with labels, to train a tagger on: where they lie, how they are parted, and as numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.data import LabelledData, Sequences, TokenEncoder, Vocabulary
from truesparse.data.files import open_text
from truesparse.data.parts import Examples, Kind
from truesparse.data.words import WORD_RULE
from truesparse.errors import TruesparseError
from truesparse.tasks.tagger.reading import ENDINGS, Sentence, TokenColumns, layout_of, read_sentences

_FEW = 20  # tokens, of which any may have a label of its own by mistake


@dataclass(frozen=True)
class Sentences:
    """Sentences of a file, of which each has tokens.

    Attributes
    ----------
    name : str
        Of the file.
    sentences : list of Sentence
    """

    name: str
    sentences: list[Sentence]

    def __len__(self) -> int:
        return len(self.sentences)

    def select(self, chosen: NDArray[np.int64]) -> Sentences:
        """Some of them."""
        return Sentences(self.name, [self.sentences[k] for k in chosen])

    def tokens(self) -> chain[str]:
        """All tokens."""
        return chain.from_iterable(sentence.tokens for sentence in self.sentences)

    def labels(self) -> chain[str]:
        """The labels of all tokens."""
        return chain.from_iterable(sentence.labels for sentence in self.sentences)


@dataclass(frozen=True)
class TaggingData(LabelledData):
    """Sentences to train a tagger on, also as they were read: train, valid and test."""

    sentences: dict[str, Sentences]


def read(path: Path, columns: TokenColumns) -> Sentences:
    """Read sentences with labels from a file.

    Raises
    ------
    UsageError, TruesparseError
        As `truesparse.data.files.open_text` and `read_sentences`; also if there are none.
    """
    name = str(path)
    with open_text(path) as file:
        every = chain.from_iterable(read_sentences(file, layout_of(path.name, "conll"), columns, True))
        sentences = [sentence for sentence in every if sentence.tokens]
    if not sentences:
        raise TruesparseError(f"{name} has no sentences; write a token and its label in each line")
    return Sentences(name, sentences)


def _read_part(path: Path, columns: TokenColumns, part: str) -> Sentences:
    """As `read`; TruesparseError if the labels to train on look like something else."""
    sentences = read(path, columns)
    if part == "train":
        _check_labels(sentences)
    return sentences


def _check_labels(train: Sentences) -> None:
    tokens, different = sum(1 for _ in train.tokens()), len(set(train.labels()))
    if tokens > _FEW and different > tokens / 2:
        raise TruesparseError(
            f"the labels of {train.name} have {different:,} different values for {tokens:,} tokens, so they"
            " are no labels; say which column has them with --tag-column"
        )


def _take(train: Sentences, fraction: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """A fraction of the sentences at random, in the order of the file; none that is the last one with one of
    its labels."""
    having = Counter(label for sentence in train.sentences for label in set(sentence.labels))
    wanted = round(fraction * len(train))
    taken: list[int] = []
    for number in rng.permutation(len(train)):
        own = set(train.sentences[number].labels)
        if len(taken) < wanted and all(having[label] > 1 for label in own):
            having.subtract(own)
            taken.append(number)
    return np.sort(np.array(taken, np.int64))


def encode(sentences: Sentences, labels: Sequence[str], encoder: TokenEncoder) -> Examples:
    """Sentences in the numbers of a model.

    Raises
    ------
    TruesparseError
        A token has a label that is not among `labels`.
    """
    numbers = {label: number for number, label in enumerate(labels)}
    for sentence in sentences.sentences:
        for token, label in zip(sentence.tokens, sentence.labels, strict=True):
            if label not in numbers:
                known = ", ".join(labels[:8]) + (", ..." if len(labels) > 8 else "")
                raise TruesparseError(
                    f"in the sentence that begins in line {sentence.line:,} of {sentences.name}, {token!r}"
                    f" has the label {label!r}, which no training token has (they have {known}); mend the"
                    " label, or add training sentences with it"
                )
    return Examples(
        Sequences.of([encoder.encode(sentence.tokens) for sentence in sentences.sentences]),
        Sequences.of(
            [
                np.array([numbers[label] for label in sentence.labels], np.int32)
                for sentence in sentences.sentences
            ]
        ),
    )


SENTENCES = Kind(
    *(ENDINGS, "file", "sentences", " (empty lines part them)", "sentences"),
    *(read, _read_part, _take, encode),
)


def load_data(
    path: Path,
    columns: TokenColumns,
    token_settings: Mapping[str, Any],
    valid_fraction: float,
    test_fraction: float,
    seed: int,
    word_rule: int = WORD_RULE,
    vocabulary: Vocabulary | None = None,
    labels: tuple[str, ...] = (),
) -> TaggingData:
    """Read sentences, and take labels and vocabulary from those to train on where they are not given.

    Parameters
    ----------
    path, columns, valid_fraction, test_fraction, seed
        See `truesparse.data.parts.Kind.read_parts`.
    token_settings : mapping
        What `TokenEncoder.build` takes besides the tokens.
    word_rule : int
        Of the vocabulary.
    vocabulary : Vocabulary, optional
    labels : tuple of str
        Those of a model that there is.

    Raises
    ------
    UsageError, TruesparseError
        As `Kind.read_parts` and `encode`; also if there is one label only.
    """
    sentences = SENTENCES.read_parts(path, columns, valid_fraction, test_fraction, seed)
    train = sentences["train"]
    labels = labels or tuple(sorted(set(train.labels())))
    if len(labels) == 1:
        raise TruesparseError(
            f"all training tokens of {train.name} have the label {labels[0]!r}; a tagger needs two labels or"
            " more; say with --tag-column which column has them"
        )
    if vocabulary is None:
        encoder = TokenEncoder.build(train.tokens(), **token_settings, word_rule=word_rule)
    else:
        encoder = TokenEncoder(vocabulary, token_settings["lower_case"])
    return TaggingData.of(path, SENTENCES, sentences, labels, encoder, sentences=sentences)


def lookup(train: Sentences, test: Sentences, labels: Sequence[str]) -> NDArray[np.int32]:
    """The number of the label that each token of `test` has most often in `train`, of equal ones the first;
    of a token that is not there, the most frequent label of all."""
    counts: dict[str, Counter[str]] = {}
    for token, label in zip(train.tokens(), train.labels(), strict=True):
        counts.setdefault(token, Counter())[label] += 1
    numbers = {label: number for number, label in enumerate(labels)}
    others = Counter(train.labels())

    def most_frequent(token: str) -> int:
        own = counts.get(token, others)
        return min(numbers[label] for label, count in own.items() if count == max(own.values()))

    known = {token: most_frequent(token) for token in set(test.tokens())}
    return np.array([known[token] for token in test.tokens()], np.int32)
