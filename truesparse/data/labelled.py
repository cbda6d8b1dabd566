"""Labelled texts in CSV files: where they lie, how they are split, and what cannot be learned from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.data.encoder import TextEncoder
from truesparse.data.files import open_text
from truesparse.data.parts import Examples, Kind, LabelledData
from truesparse.data.public_sets import folder_rows, has_label_folders, rows_of
from truesparse.data.sequences import Sequences
from truesparse.data.tables import ENDINGS, MissingColumn, read_columns
from truesparse.data.vocabulary import Vocabulary
from truesparse.data.words import WORD_RULE
from truesparse.errors import TruesparseError, UsageError
from truesparse.settings import shown

_FEW = 20  # rows, of which any may have a label of its own by mistake


@dataclass(frozen=True)
class Columns:
    """The names of the columns of a CSV file."""

    label: str = "label"
    text: str = "text"
    weight: str | None = None  # of rows to train on


@dataclass(frozen=True)
class Labels:
    """Labels of some rows of a file.

    Attributes
    ----------
    name : str
        Of the file.
    rows : ndarray of int64, shape (n,)
        Their numbers in the file.
    labels : list of str
    """

    name: str
    rows: NDArray[np.int64]
    labels: list[str]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Table(Labels):
    """Labelled texts, some rows of a file; see `Labels`.

    Attributes
    ----------
    texts : list of str
    weights : ndarray of float64, shape (n,), or None
        How much each row counts.
    """

    texts: list[str]
    weights: NDArray[np.float64] | None = None

    def select(self, chosen: NDArray[np.int64]) -> Table:
        """Some of the rows."""
        return Table(
            self.name,
            self.rows[chosen],
            [self.labels[k] for k in chosen],
            [self.texts[k] for k in chosen],
            None if self.weights is None else self.weights[chosen],
        )


def read_table(path: Path, columns: Columns) -> Table:
    """Read labelled texts from a CSV file, or from a folder that has one of texts for each label.

    Raises
    ------
    UsageError
        There is no such file or no such column.
    TruesparseError
        It cannot be read as CSV, a label is empty, or there are no rows.
    """
    rows, labels, texts, weights = [], [], [], []
    name, wanted = str(path), {"label": columns.label, "text": columns.text}
    if columns.weight is not None:
        wanted["weight"] = columns.weight
    with _rows(path, wanted) as found:
        for row, (label, text, *weight) in found:
            if not label.strip():
                raise TruesparseError(f"row {row:,} of {name} has no label; add it, or take the row out")
            rows.append(row)
            labels.append(label.strip())
            texts.append(text)
            weights += [read_weight(number, row, name) for number in weight]
    if not rows:
        raise TruesparseError(f"{name} has no rows but the names of its columns")
    if weights:
        check_weights(weights, name)
    return Table(name, np.array(rows), labels, texts, np.array(weights) if weights else None)


@contextmanager
def _rows(path: Path, wanted: Mapping[str, str]) -> Iterator[Iterator[tuple[int, list[str]]]]:
    """The rows of a CSV file, or of a public set as it is published unless columns are asked for."""
    if path.is_dir():
        yield folder_rows(path)
        return
    with open_text(path) as file:
        public = rows_of(file) if wanted == {"label": "label", "text": "text"} else None
        yield read_columns(file, wanted) if public is None else public


def check_weights(weights: Sequence[float] | NDArray[np.float64], name: str) -> None:
    """Raise TruesparseError if no row of a file counts."""
    if not any(weights):
        raise TruesparseError(f"every weight of {name} is zero; at least one must be above 0")


def read_weight(text: object, row: int, name: str) -> float:
    """How much a row of a file counts; TruesparseError if it is no number of 0 or more."""
    try:
        weight = float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        weight = -1.0
    if not 0 <= weight < np.inf:
        raise TruesparseError(
            f"row {row:,} of {name} has the weight {shown(text)}; it must be a number of 0 or more"
        )
    return weight


def _read_part(file: Path, columns: Columns, part: str) -> Table:
    """A part of a folder, which only to train on needs no hint that it may do without labels; raises as
    `read_table`, and if the labels to train on look like something else."""
    try:
        table = read_table(file, columns if part == "train" else replace(columns, weight=None))
    except MissingColumn as error:
        if part == "train" or error.what != "label" or error.near:
            raise
        raise UsageError(
            f"{file} has no column {columns.label!r}, so nothing can be measured on it; take it out of the"
            " folder (rows of the training file are used instead), and label it with truesparse predict"
        ) from None
    if part == "train":
        _check_labels(table, columns)
    return table


def _check_labels(train: Table, columns: Columns) -> None:
    """Raise TruesparseError if the labels look like something else, such as texts or numbers of rows."""
    different = len(set(train.labels))
    if len(train) > _FEW and different > len(train) / 2:
        raise TruesparseError(
            f"the column {columns.label!r} of {train.name} has {different:,} different values in"
            f" {len(train):,} rows, so they are no labels; say which are with --label-column"
        )


def _stratified(table: Table, fraction: float, rng: np.random.Generator) -> NDArray[np.int64]:
    return stratified(table.labels, fraction, rng)


def stratified(labels: Sequence[str], fraction: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """A fraction of the rows of every label, at random, in the order of the file."""
    rows: dict[str, list[int]] = {}
    for row, label in enumerate(labels):
        rows.setdefault(label, []).append(row)
    taken = [
        rng.permutation(np.array(rows[label]))[: round(fraction * len(rows[label]))] for label in sorted(rows)
    ]
    return np.sort(np.concatenate(taken))


def label_names(train: Labels) -> tuple[str, ...]:
    """The labels of the training rows, in the order of their numbers: as numbers if all are, else as text.

    Raises
    ------
    TruesparseError
        There is only one, or one has a single row.
    """
    counts = Counter(train.labels)
    if len(counts) == 1:
        raise TruesparseError(
            f"all {len(train):,} training rows of {train.name} have the label {train.labels[0]!r}"
            f"; a classifier needs two labels or more"
        )
    for label, count in counts.items():
        if count == 1:
            row = train.rows[train.labels.index(label)]
            raise TruesparseError(
                f"the label {label!r} has only one training row, row {row:,} of {train.name}"
                f"; add more of them, or take it out"
            )
    return in_order(counts)


def in_order(labels: Iterable[str]) -> tuple[str, ...]:
    """Labels in the order of their numbers: as numbers if all are, else as text."""
    try:
        return tuple(sorted(labels, key=lambda label: (int(label), label)))
    except ValueError:
        return tuple(sorted(labels))


def numbers_of_labels(table: Labels, labels: Sequence[str]) -> NDArray[np.int32]:
    """The number of each row's label; spaces around labels do not count, as in a file that is read.

    Raises
    ------
    TruesparseError
        A row has a label that is not among `labels`, or two of these differ only in spaces around them.
    """
    numbers = {label.strip(): number for number, label in enumerate(labels)}
    if len(numbers) < len(labels):
        raise TruesparseError(
            "the model has labels that differ only in spaces around them, which a CSV file cannot tell apart"
            "; train with other labels"
        )
    for row, label in zip(table.rows, table.labels, strict=True):
        if label not in numbers:
            known = ", ".join(labels[:8]) + (", ..." if len(labels) > 8 else "")
            raise TruesparseError(
                f"row {row:,} of {table.name} has the label {label!r}, which no training row has"
                f" (they have {known}); mend the label, or add training rows with it"
            )
    return np.array([numbers[label] for label in table.labels], np.int32)


def encode_text(encoder: TextEncoder, text: str, name: str, row: int) -> NDArray[np.int32]:
    """Numbers of a text's words.

    Parameters
    ----------
    encoder : TextEncoder
    text : str
    name, row
        Where the text is from, for messages.

    Raises
    ------
    TruesparseError
        The text has no words.
    """
    ids = encoder.encode(text)
    if not ids.size:
        what = "has no words in its text" if text.strip() else "has an empty text"
        raise TruesparseError(f"row {row:,} of {name} {what}; take the row out")
    return ids


def encode_table(table: Table, labels: Sequence[str], encoder: TextEncoder) -> Examples:
    """A table in the numbers of a model; raises as `numbers_of_labels` and `encode_text`."""
    numbers = numbers_of_labels(table, labels)
    ids = [
        encode_text(encoder, text, table.name, row) for row, text in zip(table.rows, table.texts, strict=True)
    ]
    return Examples(Sequences.of(ids), numbers, table.weights)


# Of what is taken out of the training rows it is the same fraction of every label.
CSV = Kind(
    *(ENDINGS, "CSV file", "rows", " of each label", "texts"),
    *(read_table, _read_part, _stratified, encode_table),
    has_label_folders,
)


def load_classification_data(
    path: Path | str,
    columns: Columns,
    text_settings: Mapping[str, Any],
    valid_fraction: float = 0.1,
    test_fraction: float = 0.1,
    seed: int = 1,
    word_rule: int = WORD_RULE,
    vocabulary: Vocabulary | None = None,
    labels: tuple[str, ...] = (),
) -> LabelledData:
    """Read labelled texts, and take labels and vocabulary from those to train on where they are not given.

    Parameters
    ----------
    path, columns, valid_fraction, test_fraction, seed
        See `Kind.read_parts`.
    text_settings : mapping
        What `TextEncoder.build` takes besides the texts.
    word_rule : int
        Version of the rule that says what a word is.
    vocabulary : Vocabulary, optional
    labels : tuple of str
        Those of a model that there is.

    Raises
    ------
    UsageError, TruesparseError
        As `Kind.read_parts`, `label_names`, `numbers_of_labels` and `encode_text`.
    """
    path = Path(path)
    tables = CSV.read_parts(path, columns, valid_fraction, test_fraction, seed)
    labels = labels or label_names(tables["train"])
    for table in tables.values():
        numbers_of_labels(table, labels)  # before the texts, which take longer
    if vocabulary is None:
        encoder = TextEncoder.build(tables["train"].texts, **text_settings, word_rule=word_rule)
    else:
        encoder = TextEncoder(vocabulary, **{name: text_settings[name] for name in TextEncoder.SETTINGS})
    return LabelledData.of(path, CSV, tables, labels, encoder)
