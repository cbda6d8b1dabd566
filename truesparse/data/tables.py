"""Rows of CSV files and lines of text, plain or gzipped, read as they come; mistakes are told with their row.

The first row of a file has the names of its columns. It counts as row 1, as in a spreadsheet; a row may have
several lines.
"""

from __future__ import annotations

import csv
import difflib
import gzip
import io
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

from truesparse.errors import TruesparseError, UsageError

_LONGEST_FIELD = (1 << 31) - 1  # characters; Python's own limit is 131,072
_PIECE = 1 << 16  # bytes that are waited for at most
_NOT_UTF8 = re.compile("[\udc80-\udcff]")  # what "surrogateescape" makes of bytes that are no UTF-8

T = TypeVar("T")


def open_binary(path: Path) -> BinaryIO:
    """Open a file that may be gzipped.

    Parameters
    ----------
    path : Path
        Gzipped if its name ends in ``.gz``.

    Raises
    ------
    UsageError
        There is no such file.
    TruesparseError
        It cannot be read.
    """
    try:
        return cast(BinaryIO, (gzip.open if path.suffix == ".gz" else open)(path, "rb"))
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}") from None
    except OSError as error:
        raise TruesparseError(f"cannot read {path}: {error.strerror or error}") from None


def _check_text(text: str, name: str, row: int, unit: str) -> None:
    """Raise TruesparseError if a text was not UTF-8 when it was decoded with "surrogateescape"."""
    wrong = _NOT_UTF8.search(text)
    if wrong:
        byte = f"0x{ord(wrong[0]) - 0xDC00:02x}"
        raise TruesparseError(
            f"{unit} {row:,} of {name} is not UTF-8 text: the byte {byte} does not fit"
            f"; convert the file, for example with iconv -f LATIN1 -t UTF-8"
        )
    if "\0" in text:
        raise TruesparseError(
            f"{unit} {row:,} of {name} is not UTF-8 text: it has a zero byte"
            f"; if the file is UTF-16, convert it, for example with iconv -f UTF-16 -t UTF-8"
        )


def read_columns(stream: BinaryIO, columns: Mapping[str, str], name: str) -> Iterator[tuple[int, list[str]]]:
    """Read some columns of a CSV file.

    Parameters
    ----------
    stream : binary file
    columns : mapping of str to str
        Names of the columns by what they hold, "label" or "text".
    name : str
        What the file is called in messages.

    Yields
    ------
    row : int
        Number of the row, from 2 on.
    values : list of str
        One for each of `columns`.

    Raises
    ------
    UsageError
        There is no column of a name.
    TruesparseError
        The file is empty, not UTF-8, not gzipped although its name says so, cut short, or not CSV.
    """
    row = 0
    limit = csv.field_size_limit(_LONGEST_FIELD)
    text = io.TextIOWrapper(stream, "utf-8-sig", errors="surrogateescape", newline="")
    try:
        for row, values in enumerate(_unpacked(csv.reader(text, strict=True), name), 1):
            for value in values:
                _check_text(value, name, row, "row")
            if row == 1:
                width = len(values)
                places = [_place(values, what, column, name) for what, column in columns.items()]
            elif not values:
                continue  # an empty line, as at the end of a file
            elif len(values) != width:
                raise TruesparseError(
                    f"row {row:,} of {name} has {len(values)} columns, but its first row has {width}"
                    f'; put texts with commas into "quotes"'
                )
            else:
                yield row, [values[place] for place in places]
    except csv.Error as error:
        raise TruesparseError(f"row {row + 1:,} of {name} is not CSV: {error}; mend its quotes") from None
    finally:
        csv.field_size_limit(limit)
    if row == 0:
        raise TruesparseError(f"{name} is empty; its first row must have the names of its columns")


def read_lines(stream: BinaryIO, name: str) -> Iterator[list[tuple[int, str]]]:
    """Read lines of text as they arrive, for example through a pipe.

    Parameters
    ----------
    stream : binary file
        With a method ``read1``.
    name : str
        What it is called in messages.

    Yields
    ------
    list of (int, str)
        Lines that have arrived together: number, from 1 on, and text without the line's end.

    Raises
    ------
    TruesparseError
        A line is not UTF-8; or the file is not gzipped although its name says so, or cut short.
    """
    count, rest = 0, b""

    def numbered(pieces: list[bytes]) -> Iterator[tuple[int, str]]:
        nonlocal count
        for piece in pieces:
            count += 1
            text = piece.decode("utf-8", "surrogateescape").removesuffix("\r")
            _check_text(text, name, count, "line")
            yield count, text.removeprefix("\ufeff") if count == 1 else text

    pieces = iter(lambda: stream.read1(_PIECE), b"")  # type: ignore[attr-defined]
    for piece in _unpacked(pieces, name):
        *whole, rest = (rest + piece).split(b"\n")
        if whole:
            yield list(numbered(whole))
    if rest:
        yield list(numbered([rest]))


def _unpacked(items: Iterable[T], name: str) -> Iterator[T]:
    """Items that are read from a file that may be gzipped."""
    try:
        yield from items
    except gzip.BadGzipFile:
        raise TruesparseError(
            f"{name} is not a gzip file, as its name says; rename it, or compress it with gzip"
        ) from None
    except (EOFError, zlib.error):
        raise TruesparseError(f"{name} is cut short or damaged; get it anew") from None


def _place(header: list[str], what: str, column: str, name: str) -> int:
    """Where a column is."""
    if column in header:
        return header.index(column)
    near = difflib.get_close_matches(column, header, n=1)
    listed = ", ".join(title if len(title) <= 30 else f"{title[:30]}..." for title in header[:8])
    hint = f"did you mean --{what}-column {near[0]}?" if near else f"its first row has {listed}"
    raise UsageError(
        f"{name} has no column {column!r}; {hint}"
        + ("" if near else f"; say which one has the {what}s with --{what}-column")
    )
