"""Configurations as TOML, which any path survives.

TOML is UTF-8, and the name of a file may be bytes that are not. Such a path is written as the URI of the
file (RFC 8089), ``file:///`` and percent-encoded bytes, and so is one that looks like a URI; any other as it
is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from truesparse.errors import TruesparseError, UsageError
from truesparse.settings import flag, shown

PATHS = ("data", "start_topology", "vectors")  # the fields that name files
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
        text = tomli_w.dumps(map_paths(given, _written))
        text.encode()
    except UnicodeEncodeError as error:
        lost = error.object[error.start]
        name = next((name for name, value in given.items() if lost in str(value)), PATHS[0])
        raise UsageError(
            f"{flag(name)} is {shown(values.get(name, error.object))}, which is not UTF-8; give it in UTF-8"
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
    paths: dict[str, Any] = map_paths(values, _read)
    return paths


def map_paths(value: Any, change: Callable[[str], str], name: str = "") -> Any:
    """What a configuration has, tables and lists in it too, with the paths changed."""
    if isinstance(value, dict):
        return {key: map_paths(of, change, key) for key, of in value.items()}
    if isinstance(value, list):
        return [map_paths(of, change, name) for of in value]
    return change(value) if name in PATHS and isinstance(value, str) else value


def _written(path: str) -> str:
    is_utf8 = path.encode(errors="ignore").decode() == path
    return path if is_utf8 and not path.startswith(f"{_SCHEME}/") else Path(path).absolute().as_uri()


def _read(path: str) -> str:
    from urllib.parse import unquote_to_bytes

    if not path.startswith(f"{_SCHEME}/"):
        return path
    return os.fsdecode(unquote_to_bytes(path.removeprefix(_SCHEME)))
