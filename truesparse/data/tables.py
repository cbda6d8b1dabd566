"""Rows of CSV files and lines of text, read as they come; errors name their row.

The first row of a file has the names of its columns. It counts as row 1, as in a spreadsheet; a row may have
several lines.
"""

from __future__ import annotations

import codecs
import csv
import difflib
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import NamedTuple, TypeVar

from truesparse.data.files import TextFile, damaged, not_utf8, without_packing
from truesparse.errors import TruesparseError, UsageError

T = TypeVar("T")

ENDINGS = (".csv", ".tsv")

_LONGEST_TEXT = 1 << 27  # characters; of a field Python's own limit is 131,072
_NOT_UTF8 = re.compile("[\udc80-\udcff]")  # what "surrogateescape" makes of bytes that are no UTF-8
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_UNLABELLED = ", or if it has none, as the test file of a contest, only classify it, with truesparse predict"
LATIN = "truesparse.latin-1"  # how to decode what is not UTF-8 as Latin-1
codecs.register_error(LATIN, lambda error: _latin(error))
_LINE_END = re.compile("\r*\n|\r")


def _latin(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("latin-1"), error.end


class MissingColumn(UsageError):
    """A file has no column of a name."""

    def __init__(self, message: str, what: str, near: bool) -> None:
        super().__init__(message)
        self.what = what
        self.near = near  # whether another name is so much alike that it may be a slip


def is_table(name: str) -> bool:
    """Whether a file has columns, by its name."""
    return without_packing(name).lower().endswith(ENDINGS)


def _check_text(text: str, name: str, row: int, unit: str) -> None:
    """Raise TruesparseError if a text was not UTF-8 when it was decoded with "surrogateescape"."""
    wrong = _NOT_UTF8.search(text)
    if wrong:
        byte = f"0x{ord(wrong[0]) - 0xDC00:02x}"
        raise not_utf8(f"{unit} {row:,} of {name}", f"the byte {byte} does not fit")
    if "\0" in text:
        raise not_utf8(f"{unit} {row:,} of {name}", "it has a zero byte")


def read_columns(
    file: TextFile, columns: Mapping[str, str] | None, titles: Sequence[str] = (), errors: str = ""
) -> Iterator[tuple[int, list[str]]]:
    """Read some columns of a CSV file, whose fields are separated by commas, semicolons, tabs or bars.

    Parameters
    ----------
    file : TextFile
    columns : mapping of str to str or None
        Names of the columns by what they hold, "label" or "text". Spaces around a name do not count. None for
        all columns; then row 1, with their names, is given too.
    titles : sequence of str
        Names of the columns of a file whose first row is like the others.
    errors : str
        How to decode what is not UTF-8; an error if empty.

    Yields
    ------
    row : int
        Number of the row, from 2 on, or with `titles` from 1 on.
    values : list of str
        One for each column.

    Raises
    ------
    MissingColumn, UsageError
        There is no column of a name, or more than one.
    TruesparseError
        The file is empty, not UTF-8, cut short, or not CSV.
    """
    name, row = file.name, 0
    limit = csv.field_size_limit(_LONGEST_TEXT)
    lines = io.TextIOWrapper(file.stream, file.encoding, errors=errors or file.errors, newline="")
    try:
        if titles:
            places = [titles.index(column) for column in (columns or {}).values()]
            header = _Header(",", False, list(titles), places)
        else:
            header, row = _read_header(lines, columns or {}, name), 1
        width, first = len(header.titles), row + 1
        places = header.places if columns is not None else list(range(width))
        if columns is None:
            yield 1, header.titles
        for row, values in enumerate(header.reader(lines), first):
            for value in values:
                _check_text(value, name, row, "row")
            if not values:
                continue  # an empty line, as at the end of a file
            if len(values) != width:
                raise TruesparseError(
                    f"row {row:,} of {name} has {len(values)} columns, but its first row has {width}"
                    f'; put texts with {_SEPARATORS[header.separator]} into "quotes"'
                )
            yield row, [values[place] for place in places]
    except csv.Error as error:
        raise TruesparseError(f"row {row + 1:,} of {name} is not CSV: {error}; mend its quotes") from None
    except UnicodeDecodeError:
        raise damaged(name) from None
    finally:
        csv.field_size_limit(limit)


class _Header(NamedTuple):
    """The first row of a file: where its columns are, and how it parts them."""

    separator: str
    spaces: bool  # after separators, which are no part of a field
    titles: list[str]
    places: list[int]

    def reader(self, lines: Iterable[str]) -> Iterator[list[str]]:
        """The rows of the lines that follow."""
        return csv.reader(lines, delimiter=self.separator, strict=True, skipinitialspace=self.spaces)


def _read_header(lines: Iterable[str], columns: Mapping[str, str], name: str) -> _Header:
    """Read the first row; it parts fields by the first separator that gives the columns."""
    read: list[str] = []

    def remembered() -> Iterator[str]:
        for line in lines:
            read.append(line)
            yield line

    rows: dict[str, list[str]] = {}
    wrong = None
    for separator in _SEPARATORS:
        source = read if rows or wrong else remembered()
        try:
            rows[separator] = next(
                csv.reader(source, delimiter=separator, strict=True, skipinitialspace=True)
            )
        except StopIteration:
            raise TruesparseError(
                f"{name} is empty; its first row must have the names of its columns"
            ) from None
        except csv.Error as error:
            wrong = wrong or error
    if wrong and not rows:
        raise wrong

    def complete(separator: str) -> bool:
        titles = [title.strip() for title in rows[separator]]
        return bool(columns) and all(column.strip() in titles for column in columns.values())

    # The first that gives the columns; if none does, the one that gives most, for the message.
    separator = next(filter(complete, rows), max(rows, key=lambda separator: len(rows[separator])))
    titles = [title.strip() for title in rows[separator]]
    for title in titles:
        _check_text(title, name, 1, "row")
    places = [place_of(titles, what, column, name) for what, column in columns.items()]
    spaces = any(title.startswith(" ") for title in next(csv.reader(read, delimiter=separator))[1:])
    return _Header(separator, spaces, titles, places)


def place_of(header: list[str], what: str, column: str, name: str) -> int:
    """Where a column is."""
    wanted = column.strip()
    if header.count(wanted) > 1:
        raise UsageError(
            f"{name} has {header.count(wanted)} columns {wanted!r}; give those that do not have the {what}s"
            " another name"
        )
    if wanted in header:
        return header.index(wanted)
    near = next((title for title in header if title.casefold() == wanted.casefold()), None) or next(
        iter(difflib.get_close_matches(wanted, header, n=1)), None
    )
    if len(header) == 1 and near and wanted in re.split(r"\W", near):
        near = None
        hint = f"its first row has {header[0]}; part its columns with commas, semicolons, tabs or bars"
    elif near:
        hint = f"did you mean --{what}-column {near}?"
    else:
        listed = ", ".join(title if len(title) <= 30 else f"{title[:30]}..." for title in header[:8])
        hint = (
            f"its first row has {listed or 'nothing'}; say which one has the {what}s with --{what}-column"
            f"{_UNLABELLED if what == 'label' else ''}"
        )
    raise MissingColumn(f"{name} has no column {column!r}; {hint}", what, bool(near))


def csv_row(values: Iterable[str]) -> str:
    """A row of CSV, with its end."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(values)
    return out.getvalue()


def read_lines(file: TextFile) -> Iterator[list[tuple[int, str]]]:
    """Read lines of text as they arrive, for example through a pipe.

    Yields
    ------
    list of (int, str)
        Lines that have arrived together: number, from 1 on, and text without the line's end.

    Raises
    ------
    TruesparseError
        A line is not UTF-8 or too long, or the file is cut short; what was before has been given.
    """
    numbers = count(1)

    def checked(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
        for text in lines:
            number = next(numbers)
            _check_text(text, file.name, number, "line")
            yield number, text

    return as_they_come(map(checked, _lines(file.pieces(), file.name)))


def as_they_come(chunks: Iterable[Iterable[T]]) -> Iterator[list[T]]:
    """A list of what is in each of some chunks; what comes before a mistake is given before its error."""
    for chunk in chunks:
        good: list[T] = []
        try:
            good.extend(chunk)  # as far as it goes
        except TruesparseError:
            if good:
                yield good
            raise
        yield good


def _lines(pieces: Iterable[str], name: str) -> Iterator[list[str]]:
    """Lines that have arrived together, without their ends, in a time that goes with the length of the text.

    A line ends with LF or CR LF; with CR too if the first one does, as in files of old.
    """
    first_end, held = "", ""  # a CR may be half an end
    rest: list[str] = []
    length = 0  # of them together
    for piece in pieces:
        text = held + piece
        held = "\r" if text.endswith("\r") else ""
        text = text.removesuffix("\r")
        if not first_end and ("\n" in text or "\r" in text) and (found := _LINE_END.search(text)):
            first_end = found[0]
        if first_end == "\r":
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        *whole, last = text.split("\n")
        if whole:
            whole[0] = "".join([*rest, whole[0]])
            rest = []
            yield [line.removesuffix("\r") for line in whole]
            length = 0
        rest.append(last)
        length += len(last)
        if length > _LONGEST_TEXT:
            raise TruesparseError(f"{name} has a line of more than {_LONGEST_TEXT:,} characters; part it")
    line = "".join(rest)
    if line or held:
        yield [line]
