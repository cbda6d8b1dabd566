"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

_PARTIAL = ".partial"
# Names of `replacing`, and those that safetensors gives a file while it writes it.
_UNFINISHED = re.compile(rf".+\.(toml|json|safetensors){re.escape(_PARTIAL)}|\.tmp[0-9A-Za-z]{{6}}")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file so that an earlier one stays until the new one is on the disk.

    Parameters
    ----------
    path : Path

    Yields
    ------
    Path
        Where to write, in the same folder. It becomes `path` at the end, and is removed after an error.

    Raises
    ------
    OSError
        The file cannot be written; the earlier one is unharmed.
    """
    partial = path.with_name(path.name + _PARTIAL)
    try:
        yield partial
        _synchronise(partial)
        os.replace(partial, path)
        _synchronise(path.parent)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> None:
    """Remove what a process that was killed while it wrote has left in a folder."""
    for path in folder.iterdir():
        if _UNFINISHED.fullmatch(path.name) and path.is_file():
            path.unlink()


def _synchronise(path: Path) -> None:
    """Wait until a file or a folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
