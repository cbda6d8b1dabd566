"""The files of public sets of labelled texts as they are published: what their columns are.

Their first row identifies them. A file that has the columns it is asked for, or any others than these, is
read as any CSV file.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from truesparse.data.files import TextFile, read_text
from truesparse.data.tables import LATIN, read_columns, read_lines
from truesparse.errors import TruesparseError
from truesparse.settings import shown

_HEAD = 1 << 16  # bytes that tell the first row
_UNLABELLED = "unsup"  # of aclImdb


class Layout(NamedTuple):
    """Where a set has its labels and its texts.

    Attributes
    ----------
    label : str
        A column.
    texts : tuple of str
        Columns, put one after the other with a space between.
    titles : tuple of str
        All columns of a file whose first row does not name them; none if it does.
    errors : str
        How to decode what is not UTF-8; as usual if empty.
    """

    label: str
    texts: tuple[str, ...]
    titles: tuple[str, ...] = ()
    errors: str = ""


NAMED = (
    Layout("stars", ("text",)),  # Yelp reviews
    Layout("Score", ("Text",)),  # Amazon fine food reviews
    Layout("Class Index", ("Title", "Description")),  # AG's News with names
    Layout("sentiment", ("review",)),  # IMDB in one file
    Layout("Sentiment", ("TweetText",)),  # Sanders' tweets
)
# Zhang, Zhao & LeCun's sets, such as AG's News and Yelp polarity
_TEXT = Layout("class", ("text",), ("class", "text"))
_TITLE_AND_TEXT = Layout("class", ("title", "text"), ("class", "title", "text"))
_SENTIMENT140 = Layout("polarity", ("text",), ("polarity", "id", "date", "query", "user", "text"), LATIN)


def rows_of(file: TextFile) -> Iterator[tuple[int, list[str]]] | None:
    """The rows of a public set: number, label and text; None if the file is of another layout.

    Raises
    ------
    TruesparseError
        As `read_columns`; also for JSON that is none or lacks a key. Both while rows are taken.
    """
    head = file.stream.peek(_HEAD)[:_HEAD].decode(file.encoding, "ignore")
    if head.startswith("{"):
        return _json_rows(file)
    layout = _recognised(head)
    return None if layout is None else _csv_rows(file, layout)


def _recognised(head: str) -> Layout | None:
    try:
        row = [title.strip() for title in next(csv.reader(head.splitlines(True)))]
    except (StopIteration, csv.Error):
        return None
    if {"label", "text"} <= {*row}:
        return None
    for layout in NAMED:
        if {layout.label, *layout.texts} <= {*row}:
            return layout
    if not (len(row[0]) == 1 and row[0] in "0123456789"):
        return None
    if len(row) == 6 and row[1].isdigit():
        return _SENTIMENT140
    return {2: _TEXT, 3: _TITLE_AND_TEXT}.get(len(row))


def _csv_rows(file: TextFile, layout: Layout) -> Iterator[tuple[int, list[str]]]:
    columns = {"label": layout.label, **{f"text {name}": name for name in layout.texts}}
    for row, (label, *texts) in read_columns(file, columns, layout.titles, layout.errors):
        text = " ".join(texts)
        yield row, [label, text.replace("\\n", " ") if layout.titles else text]


def _json_rows(file: TextFile) -> Iterator[tuple[int, list[str]]]:
    """Of Yelp's own file: an object a line, with `stars` and `text`."""
    for lines in read_lines(file):
        for row, line in lines:
            if not line.strip():
                continue
            try:
                values = json.loads(line)
                stars, text = values["stars"], values["text"]
                yield row, [f"{float(stars):g}", str(text)]
            except (ValueError, TypeError, KeyError, RecursionError):
                raise TruesparseError(
                    f"line {row:,} of {file.name} is no JSON object with stars and text, as Yelp's reviews"
                    " are; give a CSV file, or mend the line"
                ) from None


def has_label_folders(folder: Path) -> bool:
    """Whether a folder has a folder of text files for each label, as the parts of aclImdb have."""
    return bool(_label_folders(folder))


def folder_rows(folder: Path) -> Iterator[tuple[int, list[str]]]:
    """The texts of such a folder, with the names of their folders as labels; `unsup` has none.

    Raises
    ------
    TruesparseError
        A file cannot be read.
    """
    row = 0
    for inner in _label_folders(folder):
        for path in sorted(inner.glob("*.txt")):
            row += 1
            yield row, [inner.name, read_text(path)]


def _label_folders(folder: Path) -> list[Path]:
    try:
        return sorted(
            inner
            for inner in folder.iterdir()
            if inner.is_dir() and inner.name != _UNLABELLED and next(inner.glob("*.txt"), None) is not None
        )
    except OSError as error:
        raise TruesparseError(
            f"cannot read the folder {shown(str(folder))}: {error.strerror or error}"
        ) from None
