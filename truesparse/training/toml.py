"""Configurations as TOML, which any path survives.

TOML is UTF-8, and the name of a file may be bytes that are not. Such a path is written as the URI of the
file (RFC 8089), ``file:///`` and percent-encoded bytes, and so is one that looks like a URI; any other as it
is.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from truesparse.errors import TruesparseError, UsageError
from truesparse.settings import flag, shown

_PATH = "data"  # the one field that names a file
_SCHEME = "file://"


def to_toml(values: Mapping[str, Any]) -> str:
    """Field names and values as TOML; what is None is left out.

    Raises
    ------
    UsageError
        A text is neither UTF-8 nor the name of a file.
    """
    import tomli_w  # here: most commands write none

    given = {name: value for name, value in values.items() if value is not None}
    try:
        if _PATH in given:
            given[_PATH] = _written(given[_PATH])
        text = tomli_w.dumps(given)
        text.encode()
    except UnicodeEncodeError as error:
        name = next(name for name, value in given.items() if error.object[error.start] in str(value))
        raise UsageError(
            f"{flag(name)} is {shown(values[name])}, which is not UTF-8; give it in UTF-8"
        ) from None
    return text


def read_toml(path: Path) -> dict[str, Any]:
    """Field names and values of a TOML file, unchecked.

    Raises
    ------
    UsageError
        The file does not exist or is not TOML.
    """
    import tomllib  # here: a list of flags needs neither this nor NumPy

    from truesparse.data.files import read_text

    try:
        values = tomllib.loads(read_text(path))
    except UsageError:
        raise UsageError(f"cannot read the configuration {path}: there is no such file") from None
    except TruesparseError as error:
        raise UsageError(
            f"the configuration {path} is not TOML, which is text with lines such as density = 0.2: {error}"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not TOML: {error}; write lines such as density = 0.2") from None
    except (ValueError, RecursionError):  # what is TOML but Python does not read
        raise UsageError(
            f"{path} has a number or a nesting beyond all sizes; write lines such as density = 0.2"
        ) from None
    if isinstance(values.get(_PATH), str):
        values[_PATH] = _read(values[_PATH])
    return values


def _written(path: str) -> str:
    is_utf8 = path.encode(errors="ignore").decode() == path
    return path if is_utf8 and not path.startswith(f"{_SCHEME}/") else Path(path).absolute().as_uri()


def _read(path: str) -> str:
    from urllib.parse import unquote_to_bytes

    if not path.startswith(f"{_SCHEME}/"):
        return path
    return os.fsdecode(unquote_to_bytes(path.removeprefix(_SCHEME)))
