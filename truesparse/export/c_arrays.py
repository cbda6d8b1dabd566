"""Arrays and texts as C source, and templates of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import resources
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.errors import TruesparseError

_PER_LINE = 12
_LONGEST_STRING = 4095  # what C99 promises to read

C_TYPES = {
    "float32": "float",
    "int8": "int8_t",
    "uint8": "uint8_t",
    "uint16": "uint16_t",
    "uint32": "uint32_t",
}


def read_template(name: str, folder: str = "export/c") -> Template:
    """A file of C source of a folder of truesparse, with ``$`` before what is to be put in."""
    return Template((resources.files("truesparse") / folder / name).read_text(encoding="utf-8"))


def array(name: str, values: NDArray[Any]) -> str:
    """The definition of a constant array.

    Parameters
    ----------
    name : str
    values : ndarray, shape (n,)
        Of a type in `C_TYPES`, finite. C has no empty arrays; one becomes a single 0.

    Returns
    -------
    str
        Floats have nine digits, which make the same bits again.
    """
    values = values if values.size else np.zeros(1, values.dtype)
    body = ",\n".join(lines(numbers(values)))
    return f"static const {C_TYPES[values.dtype.name]} {name}[{values.size}] = {{\n{body}\n}};\n"


class Constants:
    """Definitions of constants, and the bytes of their numbers.

    Attributes
    ----------
    definitions : list of str
    bytes : int
    """

    __slots__ = ("bytes", "definitions")

    def __init__(self) -> None:
        self.definitions: list[str] = []
        self.bytes = 0

    def array(self, name: str, values: NDArray[Any]) -> None:
        """Define an array; see `array`."""
        self.bytes += values.nbytes
        self.definitions.append(array(name, values))

    def number(self, name: str, value: np.float32 | None) -> None:
        """Define a number, if there is one."""
        if value is not None:
            self.bytes += 4
            self.definitions.append(f"static const float {name} = {value:.8e}f;\n")

    def raw(self, definition: str) -> None:
        """Add a definition as it is."""
        self.definitions.append(definition)


def numbers(values: NDArray[Any]) -> Sequence[str]:
    """Each value as a constant of C."""
    if values.dtype.kind == "f":
        return [f"{value:.8e}f" for value in values.tolist()]
    return [str(value) for value in values.tolist()]


def lines(constants: Sequence[str]) -> Iterable[str]:
    """Constants with commas between, a few in each line."""
    for start in range(0, len(constants), _PER_LINE):
        yield "    " + ", ".join(constants[start : start + _PER_LINE])


def string(text: str) -> str:
    """A string constant.

    Raises
    ------
    TruesparseError
        The text is longer than compilers need to accept, or has a zero byte, which ends strings.
    """
    data = text.encode()
    if 0 in data:
        raise _no_string(text)
    return byte_string(data)


def byte_string(data: bytes) -> str:
    """A string constant of bytes, of which any may be zero; raises as `string` if there are too many."""
    if len(data) > _LONGEST_STRING:
        raise _no_string(data.decode("utf-8", "replace"))
    return '"' + "".join(_character(byte) for byte in data) + '"'


def _no_string(text: str) -> TruesparseError:
    return TruesparseError(
        f"the token {text[:20]!r} cannot be a string in C; train with a vocabulary that does not have it"
    )


def _character(byte: int) -> str:
    # Question marks could make trigraphs. Three digits, so that a digit behind does not belong to the number.
    plain = 32 <= byte < 127 and byte not in b'"\\?'
    return chr(byte) if plain else f"\\{byte:03o}"
