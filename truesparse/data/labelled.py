"""Labelled texts in CSV files: where they lie, how they are split, and what cannot be learned from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.data.encoder import TextEncoder
from truesparse.data.sequences import Sequences
from truesparse.data.tables import open_binary, read_columns
from truesparse.errors import TruesparseError, UsageError

_FILES = {"train": ("train",), "valid": ("valid", "val", "dev"), "test": ("test",)}
_ENDINGS = (".csv", ".csv.gz")


@dataclass(frozen=True)
class Columns:
    """The names of the columns of a CSV file."""

    label: str = "label"
    text: str = "text"


@dataclass(frozen=True)
class Table:
    """Labelled texts, some rows of a file.

    Attributes
    ----------
    name : str
        Of the file.
    rows : ndarray of int64, shape (n,)
        Their numbers in the file.
    labels, texts : list of str
    """

    name: str
    rows: NDArray[np.int64]
    labels: list[str]
    texts: list[str]

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, chosen: NDArray[np.int64]) -> Table:
        """Some of the rows."""
        return Table(
            self.name,
            self.rows[chosen],
            [self.labels[k] for k in chosen],
            [self.texts[k] for k in chosen],
        )


def read_table(path: Path, columns: Columns) -> Table:
    """Read labelled texts from a CSV file.

    Raises
    ------
    UsageError
        There is no such file or no such column.
    TruesparseError
        It cannot be read as UTF-8 CSV, a label is empty, or there are no rows.
    """
    rows, labels, texts = [], [], []
    name = str(path)
    with open_binary(path) as stream:
        for row, (label, text) in read_columns(stream, {"label": columns.label, "text": columns.text}, name):
            if not label.strip():
                raise TruesparseError(f"row {row:,} of {name} has no label; add it, or take the row out")
            rows.append(row)
            labels.append(label.strip())
            texts.append(text)
    if not rows:
        raise TruesparseError(f"{name} has no rows but the names of its columns")
    return Table(name, np.array(rows), labels, texts)


def read_parts(
    path: Path, columns: Columns, valid_fraction: float, test_fraction: float, seed: int
) -> dict[str, Table]:
    """Read what to train on, to choose by and to test on.

    A folder has ``train.csv``, and it may have ``valid.csv`` (or ``val.csv`` or ``dev.csv``) and
    ``test.csv``; each may be gzipped, with ``.gz`` behind its name. What it lacks, and for a single file both
    parts, is taken out of the training rows at random, the same fraction of every label.

    Parameters
    ----------
    path : Path
    columns : Columns
    valid_fraction, test_fraction : float
        Fractions of the training rows that are taken out where there is no file.
    seed : int
        Decides which.

    Returns
    -------
    dict of str to Table
        train, valid and test.

    Raises
    ------
    UsageError, TruesparseError
        As `read_table`; also if a folder has no ``train.csv`` or a part would be empty.
    """
    if path.is_dir():
        found = {part: file for part in _FILES if (file := find_part(path, part)) is not None}
        if "train" not in found:
            raise UsageError(
                f"the folder {path} has no train.csv or train.csv.gz; give --data another, or one CSV file"
            )
    else:
        found = {"train": path}
    parts = {part: read_table(file, columns) for part, file in found.items()}
    rng = np.random.default_rng(seed)
    fractions = {"test": test_fraction, "valid": valid_fraction}
    for part, fraction in fractions.items():
        if part not in parts:
            taken = _stratified(parts["train"].labels, fraction, rng)
            parts[part], parts["train"] = parts["train"].select(taken), _without(parts["train"], taken)
            if not len(parts[part]):
                raise TruesparseError(
                    f"{parts['train'].name} has too few rows of each label to take {fraction:g} of them for"
                    f" the {part} set; give more rows, a larger --{part}-fraction, or a {part}.csv as well"
                )
    return {part: parts[part] for part in _FILES}


def find_part(folder: Path, part: str) -> Path | None:
    """The file of a part in a folder; None if there is none."""
    names = [stem + ending for stem in _FILES[part] for ending in _ENDINGS]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _stratified(labels: Sequence[str], fraction: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """A fraction of the rows of every label, at random, in the order of the file."""
    everyone = np.array(labels)
    taken = [
        rng.permutation(np.flatnonzero(everyone == label))[: round(fraction * count)]
        for label, count in sorted(Counter(labels).items())
    ]
    return np.sort(np.concatenate(taken))


def _without(table: Table, taken: NDArray[np.int64]) -> Table:
    return table.select(np.setdiff1d(np.arange(len(table)), taken))


def label_names(train: Table) -> tuple[str, ...]:
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
    try:
        return tuple(sorted(counts, key=lambda label: (int(label), label)))
    except ValueError:
        return tuple(sorted(counts))


def numbers_of_labels(table: Table, labels: Sequence[str]) -> NDArray[np.int32]:
    """The number of each row's label.

    Raises
    ------
    TruesparseError
        A row has a label that is not among `labels`.
    """
    numbers = {label: number for number, label in enumerate(labels)}
    for row, label in zip(table.rows, table.labels, strict=True):
        if label not in numbers:
            known = ", ".join(labels[:8]) + (", ..." if len(labels) > 8 else "")
            raise TruesparseError(
                f"row {row:,} of {table.name} has the label {label!r}, which no training row has"
                f" (they have {known}); mend the label, or add training rows with it"
            )
    return np.array([numbers[label] for label in table.labels], np.int32)


@dataclass(frozen=True)
class LabelledText:
    """Texts and labels as numbers.

    Attributes
    ----------
    texts : Sequences
        Token numbers.
    labels : ndarray of int32, shape (n,)
    """

    texts: Sequences
    labels: NDArray[np.int32]


@dataclass(frozen=True)
class ClassificationData:
    """Texts to train a classifier on.

    Attributes
    ----------
    name : str
        Short, fit for a file name.
    description : str
        One line for people.
    labels : tuple of str
        By their numbers.
    encoder : TextEncoder
    train, valid, test : LabelledText
    """

    name: str
    description: str
    labels: tuple[str, ...]
    encoder: TextEncoder
    train: LabelledText
    valid: LabelledText
    test: LabelledText


def encode_text(encoder: TextEncoder, text: str, name: str, row: int, unit: str = "row") -> NDArray[np.int32]:
    """Numbers of a text's words.

    Parameters
    ----------
    encoder : TextEncoder
    text : str
    name, row, unit
        Where the text is from, for messages.

    Raises
    ------
    TruesparseError
        The text has no words.
    """
    ids = encoder.encode(text)
    if not ids.size:
        what = "has no words in its text" if text.strip() else "has an empty text"
        raise TruesparseError(f"{unit} {row:,} of {name} {what}; take the {unit} out")
    return ids


def encode_table(table: Table, labels: Sequence[str], encoder: TextEncoder) -> LabelledText:
    """A table in the numbers of a model; raises as `numbers_of_labels` and `encode_text`."""
    numbers = numbers_of_labels(table, labels)
    ids = [
        encode_text(encoder, text, table.name, row) for row, text in zip(table.rows, table.texts, strict=True)
    ]
    return LabelledText(Sequences.of(ids), numbers)


def load_classification_data(
    path: Path | str,
    columns: Columns,
    text_settings: Mapping[str, Any],
    valid_fraction: float = 0.1,
    test_fraction: float = 0.1,
    seed: int = 1,
) -> ClassificationData:
    """Read labelled texts, and take labels and vocabulary from those to train on.

    Parameters
    ----------
    path, columns, valid_fraction, test_fraction, seed
        See `read_parts`.
    text_settings : mapping
        What `TextEncoder.build` takes besides the texts.

    Raises
    ------
    UsageError, TruesparseError
        As `read_parts`, `label_names`, `numbers_of_labels` and `encode_text`.
    """
    path = Path(path)
    parts = read_parts(path, columns, valid_fraction, test_fraction, seed)
    labels = label_names(parts["train"])
    for table in parts.values():
        numbers_of_labels(table, labels)  # before the texts, which take longer
    encoder = TextEncoder.build(parts["train"].texts, **text_settings)
    encoded = {part: encode_table(table, labels, encoder) for part, table in parts.items()}
    sizes = " / ".join(f"{len(table):,}" for table in parts.values())
    name = path.resolve().name.removesuffix(".gz").removesuffix(".csv") or "texts"
    description = (
        f"{path}: {sizes} texts to train / validate / test, {len(labels)} labels"
        f", vocabulary {len(encoder.vocabulary):,}"
    )
    return ClassificationData(name, description, labels, encoder, **encoded)
