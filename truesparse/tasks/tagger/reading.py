"""Sentences in files: a token in each line (CoNLL), JSON lines, or lines of tokens; as they come.

CoNLL: columns are parted by tabs, or if the first line of a token has none by spaces. A line without anything
ends a sentence. A line that begins with ``-DOCSTART-`` parts documents (CoNLL-2003) and is no token. A line
that begins with ``#`` is a comment (CoNLL-U) if it stands before a sentence and has not as many columns as
others, or is ``# key = value``, ``# newpar`` or ``# newdoc``. In CoNLL-U, lines for several words (1-2) and
for words that are not there (1.1) are passed over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from truesparse.data.files import TextFile, without_packing
from truesparse.data.tables import as_they_come, read_lines
from truesparse.errors import TruesparseError, UsageError
from truesparse.settings import shown

ENDINGS = (
    *(".conll", ".conllu", ".iob", ".iob2", ".bio", ".tsv", ".txt"),
    *(".jsonl", ".ndjson", ".json", ""),
)
AUTO = "auto"

_LAYOUTS = {
    **{".conllu": "conllu", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl"},
    **dict.fromkeys((".conll", ".iob", ".iob2", ".bio", ".tsv"), "conll"),
}
_AUTO = {"conll": (0, -1), "conllu": (1, 3)}
_NO_WORD = re.compile(r"\d+[-.]\d+")  # the number of several words in CoNLL-U, or of one that is not there
_KEYS = ("labels", "tags", "ner_tags")


class TokenColumns(NamedTuple):
    """Where tokens and labels are, as the settings say it."""

    token: str = AUTO
    tag: str = AUTO


class Sentence(NamedTuple):
    """Tokens and their labels, of which there are none if nobody asked for them; and the line of the file in
    which it begins."""

    line: int
    tokens: list[str]
    labels: list[str]


def layout_of(name: str, default: str) -> str:
    """What a file has by its name."""
    name = without_packing(name).lower()
    return next((layout for ending, layout in _LAYOUTS.items() if name.endswith(ending)), default)


def read_sentences(
    file: TextFile, layout: str, columns: TokenColumns, labelled: bool
) -> Iterator[list[Sentence]]:
    """Read sentences as they arrive.

    Parameters
    ----------
    file : TextFile
    layout : {"conll", "conllu", "jsonl", "lines"}
    columns : TokenColumns
    labelled : bool
        Whether to read labels.

    Yields
    ------
    list of Sentence
        Those that have arrived together. One of a file of lines, or of JSON lines, may have no tokens.

    Raises
    ------
    UsageError, TruesparseError
        A column is no number, or a line is not as it must be; what was before has been given.
    """
    if layout == "jsonl":
        yield from _one_a_line(file, lambda text, where: _from_json(text, where, columns, labelled))
    elif layout == "lines":
        yield from _one_a_line(file, lambda text, where: (_fields(text.replace("\t", " "), False), []))
    else:
        yield from _Conll(layout, columns, labelled).read(file)


def _one_a_line(
    file: TextFile, parse: Callable[[str, str], tuple[list[str], list[str]] | None]
) -> Iterator[list[Sentence]]:
    def sentences(lines: Iterable[tuple[int, str]]) -> Iterator[Sentence]:
        for number, text in lines:
            parsed = parse(text, f"line {number:,} of {file.name}")
            if parsed is not None:
                yield Sentence(number, *parsed)

    return as_they_come(map(sentences, read_lines(file)))


def _from_json(
    text: str, where: str, columns: TokenColumns, labelled: bool
) -> tuple[list[str], list[str]] | None:
    """Tokens and labels of a line of JSON; None of an empty line."""
    if not text.strip():
        return None
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise TruesparseError(
            f'{where} is no JSON object; write one in each line, such as {{"tokens": ["a"], "labels": ["O"]}}'
        )
    key = "tokens" if columns.token == AUTO else columns.token
    tokens = _list(values, [key], where, "token")
    for token in tokens:
        if not isinstance(token, str) or not token:
            raise TruesparseError(f"{where} has {shown(token)} among its {key}, which is no token; mend it")
    labels: list[Any] = []
    if labelled:
        keys = _KEYS if columns.tag == AUTO else [columns.tag]
        labels = _list(values, keys, where, "tag")
        for number, label in enumerate(labels):
            labels[number] = label = str(label) if type(label) is int else label
            if not isinstance(label, str) or not label.strip():
                raise TruesparseError(f"{where} has the label {shown(label)}, which is none; mend it")
        if len(labels) != len(tokens):
            raise TruesparseError(
                f"{where} differs in its numbers of tokens, {len(tokens):,}, and labels, {len(labels):,}"
                "; give each token a label"
            )
    try:
        "".join([*tokens, *labels]).encode()
    except UnicodeEncodeError:
        raise TruesparseError(f"{where} has half a pair of surrogates, which is no text; mend it") from None
    return tokens, [label.strip() for label in labels]


def _list(values: dict[str, Any], keys: Sequence[str], where: str, what: str) -> list[Any]:
    key = next((key for key in keys if key in values), None)
    if key is None:
        there = ", ".join(list(values)[:8]) or "nothing"
        raise UsageError(
            f"{where} has no {' or '.join(keys)}, but {there}; say with --{what}-column which is the list"
        )
    if not isinstance(values[key], list):
        raise TruesparseError(f"{where} has {shown(values[key])} as {key}; it must be a list")
    return values[key]


def _fields(text: str, tabs: bool) -> list[str]:
    """The columns of a line."""
    if tabs:
        return [field.strip() for field in text.split("\t")]
    return [field for field in text.split(" ") if field]


class _Conll:
    """Sentences of a file with a token in each line."""

    def __init__(self, layout: str, columns: TokenColumns, labelled: bool) -> None:
        self._token, self._tag = (
            _place(column, name, automatic)
            for column, name, automatic in zip(columns, TokenColumns._fields, _AUTO[layout], strict=True)
        )
        self._universal = layout == "conllu"
        self._labelled = labelled
        self._tabs: bool | None = None  # whether they part columns, once there was a token
        self._width = 0
        self._sentence = Sentence(0, [], [])

    def read(self, file: TextFile) -> Iterator[list[Sentence]]:
        """See `read_sentences`."""
        held: list[tuple[int, str]] = []  # what may be comments, before the first line that is none

        def ended(lines: Iterable[tuple[int, str]]) -> Iterator[Sentence]:
            for number, text in lines:
                if self._tabs is None:
                    held.append((number, text))
                    if text.startswith("#") or _ends(text):
                        continue
                    self._tabs = "\t" in text
                    self._width = len(_fields(text, self._tabs))
                    yield from self._add(held, file.name)
                else:
                    yield from self._add([(number, text)], file.name)

        yield from as_they_come(map(ended, read_lines(file)))
        if self._sentence.tokens:
            yield [self._sentence]

    def _add(self, lines: Iterable[tuple[int, str]], name: str) -> Iterator[Sentence]:
        """Take lines; the sentences that they end."""
        for number, text in lines:
            if _ends(text):
                if self._sentence.tokens:
                    yield self._sentence
                    self._sentence = Sentence(0, [], [])
                continue
            fields = _fields(text, bool(self._tabs))
            if text.startswith("#") and not self._sentence.tokens and self._comments(text, fields):
                continue
            if self._universal and _NO_WORD.fullmatch(fields[0]):
                continue
            if not self._sentence.tokens:
                self._sentence = Sentence(number, [], [])
            self._sentence.tokens.append(self._field(fields, self._token, "token", number, name))
            if self._labelled:
                self._sentence.labels.append(self._field(fields, self._tag, "tag", number, name))

    def _comments(self, text: str, fields: list[str]) -> bool:
        """Whether a line before a sentence, which begins with #, is no token."""
        words = text.split()
        universal = words[0] == "#" and (words[2:3] == ["="] or words[1:] in (["newpar"], ["newdoc"]))
        return universal or len(fields) != self._width

    def _field(self, fields: list[str], place: int, what: str, number: int, name: str) -> str:
        """A column of a line."""
        word = {"token": "token", "tag": "label"}[what]
        inside = -len(fields) <= place < len(fields)
        if what == "tag" and inside and (place - self._token) % len(fields) == 0:
            inside = False  # the only column is the token
        if not inside or not fields[place]:
            parted = "a tab, as the first line has" if self._tabs else "spaces or a tab"
            raise TruesparseError(
                f"line {number:,} of {name} has no {word}, but {len(fields)} column"
                f"{'' if len(fields) == 1 else 's'}; part columns by {parted}, and say with --{what}-column"
                f" which has the {word}s"
            )
        return fields[place]


def _ends(text: str) -> bool:
    """Whether a line ends a sentence."""
    return not text.strip() or text.startswith("-DOCSTART-")


def _place(column: str, what: str, automatic: int) -> int:
    """Index of a column."""
    if column == AUTO:
        return automatic
    try:
        number = int(column)
    except ValueError:
        number = 0
    if not number:
        raise UsageError(
            f"--{what}-column is {column!r}; for a file with a token in each line it must be a number, 1 for"
            f" the first column or -1 for the last, or {AUTO}"
        )
    return number - 1 if number > 0 else number
