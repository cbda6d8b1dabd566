"""The file that holds a model or a checkpoint: safetensors, with a JSON document in its metadata.

docs/file-format.md describes it. Written whole or not at all, and checked when read: a file that is cut short
or has a changed byte is refused.
"""

from __future__ import annotations

import json
import stat
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from truesparse.errors import TruesparseError
from truesparse.files import replacing

FORMAT_VERSION = 3  # the newest that is read
_USUAL_VERSION = 2  # of what a document does not say otherwise, so that earlier readers can read it

# Types of tensors and what safetensors calls them, in the order in which it has them in a file.
_TYPES = {
    np.dtype(name): code
    for name, code in (
        ("uint64", "U64"),
        ("int64", "I64"),
        ("float64", "F64"),
        ("float32", "F32"),
        ("uint32", "U32"),
        ("int32", "I32"),
        ("float16", "F16"),
        ("uint16", "U16"),
        ("int16", "I16"),
        ("int8", "I8"),
        ("uint8", "U8"),
        ("bool", "BOOL"),
    )
}


def write(path: Path, tensors: Mapping[str, np.ndarray], document: Mapping[str, Any]) -> None:
    """Write tensors and a document to a file, atomically: an earlier file stays until the new one is on disk.

    Parameters
    ----------
    path : Path
    tensors : mapping of str to ndarray
        C-contiguous arrays. They are not copied. The order does not matter.
    document : mapping
        What JSON can hold. `format_version`, if it needs more than the usual one.

    Raises
    ------
    TruesparseError
        The file cannot be written, for example because the disk is full. The earlier file is unharmed.

    Notes
    -----
    The same contents make the same bytes. `safetensors.numpy.save_file` draws the order of the metadata each
    time.
    """
    text = json.dumps({"format_version": _USUAL_VERSION, **document}, ensure_ascii=False, allow_nan=False)
    text = text.encode("utf-8", "backslashreplace").decode()  # JSON's own escapes of what is no UTF-8
    metadata = {"truesparse": text, "crc32": _checksum(text, tensors, tensors.__getitem__)}
    names, header = _header(tensors, metadata)
    try:
        with replacing(path) as partial, partial.open("wb") as file:
            file.write(header)
            for name in names:
                file.write(tensors[name].reshape(-1).view(np.uint8).data)
    except OSError as error:
        raise TruesparseError(
            f"cannot save {path}: {error.strerror}; make room or choose another place (an earlier file there"
            f" is unharmed)"
        ) from None


def _header(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> tuple[list[str], bytes]:
    """Names of the tensors in the order in which they follow, and what precedes them: a length, and JSON."""
    order = list(_TYPES)
    names = sorted(tensors, key=lambda name: (order.index(tensors[name].dtype), name))
    header: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name in names:
        start, end = end, end + tensors[name].nbytes
        header[name] = {
            "dtype": _TYPES[tensors[name].dtype],
            "shape": list(tensors[name].shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8 bytes
    return names, struct.pack("<Q", len(text)) + text


def _checksum(text: str, names: Iterable[str], get: Callable[[str], np.ndarray]) -> str:
    """CRC-32 of the document and then of the tensors in the order of their names, each after a line on it."""
    value = zlib.crc32(text.encode("utf-8"))
    for name in sorted(names):
        tensor = np.ascontiguousarray(get(name))
        value = zlib.crc32(f"{name} {tensor.dtype.name} {list(tensor.shape)}\n".encode(), value)
        value = zlib.crc32(tensor.reshape(-1).view(np.uint8).data, value)
    return f"{value:08x}"


class Reader:
    """An open file: its document, and its tensors one at a time.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    path : Path
    document : dict
    names : frozenset of str
        Names of the tensors.

    Raises
    ------
    TruesparseError
        The file is missing, cut short, corrupt, no file of truesparse, or of a newer version.
    """

    __slots__ = ("_file", "document", "names", "path")

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():
                raise TruesparseError(f"{path} is not a file; give a model.safetensors of a run")
            with path.open("rb"):  # for the operating system's own word on what is wrong
                pass
            self._file = safetensors.safe_open(path, framework="numpy")
        except OSError as error:
            raise TruesparseError(f"cannot read {path}: {error.strerror}") from None
        except safetensors.SafetensorError:
            raise TruesparseError(
                f"{path} is cut short, corrupt or no model file; use another checkpoint or train again"
            ) from None
        metadata = self._file.metadata() or {}
        if "truesparse" not in metadata:
            raise TruesparseError(f"{path} was not written by truesparse; give a model.safetensors of a run")
        try:
            self.document: dict[str, Any] = json.loads(metadata["truesparse"])
            version = self.document["format_version"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise self.corrupt() from None
        if type(version) is not int or version < 1:
            raise self.corrupt()
        if version > FORMAT_VERSION:
            raise TruesparseError(
                f"{path} has format version {version}, but this truesparse reads up to {FORMAT_VERSION}"
                f"; upgrade with pip install --upgrade truesparse"
            )
        self.names = frozenset(self._file.keys())
        try:
            checksum = _checksum(metadata["truesparse"], self.names, self._file.get_tensor)
        except (TypeError, ValueError, AttributeError, safetensors.SafetensorError):
            raise self.corrupt() from None  # a type that NumPy does not have
        if checksum != metadata.get("crc32"):
            raise self.corrupt()

    def corrupt(self) -> TruesparseError:
        """The error for a file whose contents are not as they were written."""
        return TruesparseError(f"{self.path} is corrupt; use another checkpoint or train again")

    def get(self, name: str) -> np.ndarray:
        """A copy of a tensor.

        Raises
        ------
        TruesparseError
            There is no tensor of that name.
        """
        if name not in self.names:
            raise TruesparseError(f"{self.path} is of another model: it has no {name}")
        return self._file.get_tensor(name)

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.__exit__(*error)
