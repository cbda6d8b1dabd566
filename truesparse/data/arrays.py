"""Arrays in files: NPZ of NumPy, and IDX, which MNIST comes in."""

from __future__ import annotations

import gzip
import math
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.data.files import BytesFile, damaged, find_file, without_packing
from truesparse.errors import TruesparseError, UsageError

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_npz(file: BytesFile) -> dict[str, NDArray[Any]]:
    """The arrays of an NPZ file by their names in small letters; TruesparseError if it is none."""
    try:
        with np.load(file.stream, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("it has one array only")
            return {key.lower(): archive[key] for key in archive.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zipfile.LargeZipFile) as error:
        raise TruesparseError(
            f"{file.name} cannot be read as an NPZ file of numbers: {str(error).splitlines()[0]}; write it"
            " with numpy.savez(name, X=..., y=...), sequences of different lengths padded, with lengths=..."
        ) from None


def read_idx(file: BytesFile) -> NDArray[Any]:
    """The array of an IDX file, which may be packed with gzip.

    The first two bytes are 0, then come the type and the number of dimensions, their sizes, and the numbers,
    all of them with the highest byte first.

    Raises
    ------
    TruesparseError
        It is something else, or cut short.
    """
    data = file.stream.read()
    if data.startswith(b"\x1f\x8b"):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error):
            raise damaged(file.name) from None
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in _TYPES or not data[3]:
        raise TruesparseError(
            f"{file.name} is no IDX file, as its name says; give one like MNIST's, or NPZ with X and y"
        )
    kind, begin = np.dtype(_TYPES[data[2]]), 4 + 4 * data[3]
    shape = np.frombuffer(data[4:begin], ">u4").tolist() if len(data) >= begin else []
    if len(shape) != data[3] or len(data) != begin + math.prod(shape) * kind.itemsize:
        raise damaged(file.name)
    return np.frombuffer(data, kind, offset=begin).reshape(shape)


def labels_beside(path: Path) -> Path:
    """The file of labels for one of images, by MNIST's names; UsageError if there is none."""
    name = without_packing(path.name).replace("images", "labels").replace("idx3", "idx1")
    found = find_file(path.parent, [name]) if name != without_packing(path.name) else None
    if found is None:
        raise UsageError(
            f"{path} has no file of labels beside it; call them like train-images-idx3-ubyte and"
            " train-labels-idx1-ubyte"
        )
    return found
