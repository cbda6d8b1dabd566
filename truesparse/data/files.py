"""Files of text, whatever they were packed and encoded with; their first bytes say what they are."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, NamedTuple

from truesparse.errors import TruesparseError, UsageError

BINARY = ("npz", "idx", "parquet", "arrow")  # layouts that are no text
PACKED = (".gz", ".bz2", ".xz", ".lzma")

_PIECE = 1 << 16  # bytes that are waited for at most
_HEAD = 512  # bytes that tell what a file is
_MOST_UNPACKED = 1 << 24  # bytes that any file may unpack to
_MOST_TIMES = 250  # its packed size that a larger one may; text is packed to a tenth, at best to a fiftieth

_PACKERS: dict[bytes, Callable[[Any], Any]] = {
    b"\x1f\x8b": lambda stream: gzip.GzipFile(fileobj=stream, mode="rb"),
    **{b"BZh%d1AY&SY" % level: bz2.BZ2File for level in range(1, 10)},
    b"\xfd7zXZ\0": lzma.LZMAFile,
    b"\x5d\0\0\x80\0": lzma.LZMAFile,
}
_ENCODINGS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark is a part of it
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_UNPACK = "unpack it first"
_SAVE_AS_TEXT = "save what is in it as text or CSV"
_OTHERS = {
    b"PK\x03\x04": (
        "a zip archive or a spreadsheet (.xlsx, .ods)",
        "unpack it, or save the sheet as CSV in UTF-8",
    ),
    b"PK\x05\x06": ("an empty zip archive", "use another file"),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": (
        "an old Office document (.xls, .doc)",
        "save it as CSV or text in UTF-8",
    ),
    b"\x28\xb5\x2f\xfd": ("packed with zstd", _UNPACK),
    b"\x04\x22\x4d\x18": ("packed with lz4", _UNPACK),
    b"\x1f\x9d": ("packed with compress (.Z)", _UNPACK),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", _UNPACK),
    b"Rar!\x1a\x07": ("a RAR archive", _UNPACK),
    b"PAR1": ("a Parquet file", _SAVE_AS_TEXT),
    b"ARROW1": ("an Arrow file", _SAVE_AS_TEXT),
    b"%PDF-": ("a PDF document", _SAVE_AS_TEXT),
    b"{\\rtf": ("an RTF document", _SAVE_AS_TEXT),
    b"SQLite format 3\0": ("an SQLite database", _SAVE_AS_TEXT),
    b"\x89HDF\r\n\x1a\n": ("an HDF5 file", _SAVE_AS_TEXT),
    b"\x93NUMPY": ("a NumPy array", _SAVE_AS_TEXT),
}
_TAR = b"ustar", 257  # where an archive of tar says what it is


class TextFile(NamedTuple):
    """Text that is read as it comes.

    Attributes
    ----------
    name : str
        What it is called in messages.
    stream : io.BufferedReader
        Its bytes, unpacked.
    encoding : str
        Of the bytes: "utf-8-sig", "utf-16" or "utf-32".
    packed : bool
        Whether the file is packed.
    """

    name: str
    stream: io.BufferedReader
    encoding: str
    packed: bool

    @property
    def errors(self) -> str:
        """How to decode the bytes: what is not UTF-8 is kept, so that an error can name its place."""
        return "surrogateescape" if self.encoding == "utf-8-sig" else "strict"

    def pieces(self) -> Iterator[str]:
        """The text as it arrives.

        Raises
        ------
        TruesparseError
            The file is cut short or damaged.
        """
        decoder = codecs.getincrementaldecoder(self.encoding)(self.errors)
        try:
            while piece := self.stream.read1(_PIECE):
                yield decoder.decode(piece)
            yield decoder.decode(b"", True)
        except UnicodeDecodeError:
            raise damaged(self.name) from None


class BytesFile(NamedTuple):
    """A file that is no text: what it is called in messages, and its bytes, in which one can seek."""

    name: str
    stream: BinaryIO


@contextmanager
def open_text(source: Path | BinaryIO, name: str | None = None) -> Iterator[TextFile]:
    """Open a file of text, or take a stream that is open and stays so.

    Parameters
    ----------
    source : Path or binary file
        Plain, or packed with gzip, bzip2 or xz; UTF-8, or UTF-16 or UTF-32 with a byte order mark.
    name : str, optional
        What it is called in messages; its path if not given.

    Yields
    ------
    TextFile

    Raises
    ------
    UsageError
        There is no such file.
    TruesparseError
        It cannot be read, or is something else.
    """
    name = name or str(source)
    if not isinstance(source, Path):
        yield _recognised(source, name)
        return
    with _open(source, name) as stream:
        file = _recognised(stream, name)
        if source.suffix.lower() == ".gz" and not file.packed and file.stream.peek(1):
            raise TruesparseError(
                f"{name} is not a gzip file, as its name says; rename it, or compress it with gzip"
            )
        yield file


@contextmanager
def open_bytes(source: Path | BinaryIO, name: str | None = None) -> Iterator[BytesFile]:
    """Open a file that is no text, or take all of a stream; parameters and errors as `open_text`."""
    name = name or str(source)
    if not isinstance(source, Path):
        yield BytesFile(name, io.BytesIO(source.read()))
        return
    with _open(source, name) as stream:
        yield BytesFile(name, stream)


@contextmanager
def open_file(
    source: Path | BinaryIO, layout: str, name: str | None = None
) -> Iterator[TextFile | BytesFile]:
    """Open a file of a layout: text, or one of `BINARY`; see `open_text` and `open_bytes`."""
    with (open_bytes if layout in BINARY else open_text)(source, name) as file:
        yield file


def _open(path: Path, name: str) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise UsageError(f"there is no file {name}") from None
    except OSError as error:
        raise _unreadable(name, error) from None


def read_text(path: Path) -> str:
    """The whole text of a file, with a line feed at every line end.

    Raises
    ------
    UsageError, TruesparseError
        As `open_text`; also if the text is not UTF-8 or has zero bytes.
    """
    with open_text(path) as file:
        text = _utf8(file) if file.encoding == "utf-8-sig" else "".join(file.pieces())
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _utf8(file: TextFile) -> str:
    parts = []
    while part := file.stream.read1(_PIECE):
        if b"\0" in part:  # refused before there is no room for the rest
            raise not_utf8(file.name, "it has zero bytes")
        parts.append(part)
    try:
        return b"".join(parts).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise not_utf8(file.name, f"byte {error.start} (0x{byte:02x}) does not fit") from None


def not_utf8(what: str, why: str) -> TruesparseError:
    """The error for text in another encoding: where it is, and what shows that."""
    zero = ", and if it is UTF-16, with a byte order mark" if "zero" in why else ""
    return TruesparseError(
        f"{what} is not UTF-8 text: {why}; save it as UTF-8 in the program that wrote it{zero}"
    )


def _unreadable(name: str, error: OSError) -> TruesparseError:
    return TruesparseError(
        f"cannot read {name}: {error.strerror or error}; check the path and its permissions"
    )


def damaged(name: str) -> TruesparseError:
    """The error for a file that has only a part of what it should have."""
    return TruesparseError(f"{name} is cut short or damaged; get it anew")


def without_packing(name: str) -> str:
    """The name of a file without an ending that says how it is packed."""
    return next((name[: -len(ending)] for ending in PACKED if name.lower().endswith(ending)), name)


def find_file(folder: Path, names: Iterable[str]) -> Path | None:
    """The first of some files that a folder has, with capitals or without, packed or not.

    Raises
    ------
    TruesparseError
        The folder cannot be read.
    """
    try:
        files = sorted((file for file in folder.iterdir() if file.is_file()), reverse=True)
    except OSError as error:
        raise TruesparseError(f"cannot read the folder {folder}: {error.strerror or error}") from None
    found = {file.name.lower(): file for file in files} | {file.name: file for file in files}
    wanted = [name + ending for name in names for ending in ("", *PACKED)]
    return next((found[name] for name in wanted if name in found), None)


def _recognised(stream: IO[bytes], name: str) -> TextFile:
    """What a stream is, by its first bytes, which are not lost."""
    source = _Replayed(stream, name)
    packer = _kind(source, _PACKERS)
    if packer is None:
        return TextFile(name, io.BufferedReader(source, _PIECE), _encoding(source, name), False)
    unpacked = _Replayed(_Unpacked(packer(source), source, name), name)
    return TextFile(name, io.BufferedReader(unpacked, _PIECE), _encoding(unpacked, name), True)


def _encoding(source: _Replayed, name: str) -> str:
    encoding = _kind(source, _ENCODINGS)
    if encoding is not None:
        return encoding
    other = _kind(source, _OTHERS)
    tar, place = _TAR
    if other is None and source.head[place : place + len(tar)] == tar:
        other = "an archive of tar", _UNPACK
    if other is None and _kind(source, _PACKERS) is not None:
        other = "packed twice", "unpack it first"
    if other is not None:
        raise TruesparseError(f"{name} is {other[0]}, not text; {other[1]}")
    return "utf-8-sig"


def _kind(source: _Replayed, kinds: dict[bytes, Any]) -> Any:
    """Which of some kinds a stream is; None if none. Waits for no more bytes than it needs."""
    while any(first.startswith(source.head) and first != source.head for first in kinds) and source.look():
        pass
    return next((kind for first, kind in kinds.items() if source.head.startswith(first)), None)


class _Replayed(io.RawIOBase):
    """A stream whose first bytes have been looked at; counts the bytes that are read."""

    def __init__(self, stream: Any, name: str) -> None:
        self._stream = stream
        self._name = name
        self.head = b""
        self.count = 0

    def look(self) -> bool:
        """Look at more bytes; False if there are none."""
        more = self._read(_HEAD)
        self.head += more
        return bool(more)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.head:
            part, self.head = self.head[: len(buffer)], self.head[len(buffer) :]
        else:
            part = self._read(len(buffer))
        buffer[: len(part)] = part
        self.count += len(part)
        return len(part)

    def _read(self, size: int) -> bytes:
        try:
            return self._stream.read1(size) or b""
        except OSError as error:
            raise _unreadable(self._name, error) from None


class _Unpacked:
    """What a packed stream unpacks to, as long as it is in proportion."""

    def __init__(self, stream: Any, source: _Replayed, name: str) -> None:
        self._stream = stream
        self._source = source
        self._name = name
        self._count = 0

    def read1(self, size: int) -> bytes:
        try:
            part: bytes = self._stream.read1(size)
        except (OSError, EOFError, zlib.error, lzma.LZMAError):
            raise damaged(self._name) from None
        self._count += len(part)
        if self._count > max(_MOST_UNPACKED, _MOST_TIMES * self._source.count):
            raise TruesparseError(
                f"{self._name} unpacks to more than {_MOST_TIMES} times its size, which no text does"
                "; if it is right, unpack it first"
            )
        return part
