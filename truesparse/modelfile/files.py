"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from truesparse.errors import UsageError
from truesparse.settings import check_kind

_PREFIX, _PARTIAL = ".truesparse-", ".partial"
_UNFINISHED = re.compile(rf"{re.escape(_PREFIX)}\w+{re.escape(_PARTIAL)}")
# What version 0.1 wrote the files of a run to, and the names that safetensors gave them before.
_UNFINISHED_BEFORE = re.compile(
    rf"(config\.toml|environment\.json|(checkpoint|model)\.safetensors){re.escape(_PARTIAL)}"
    r"|\.tmp[0-9A-Za-z]{6}"
)


def path_of(path: str | os.PathLike[str]) -> Path:
    """Return a path that is an argument.

    Raises
    ------
    UsageError
        It is none, or no file can have it.
    """
    check_kind("path", path, (str, os.PathLike), "a text or a Path")
    if "\0" in os.fspath(path):
        raise UsageError(f"path is {path!r}; it must be a text or a Path without null characters")
    return Path(path)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file so that an earlier one stays until the new one is on the disk.

    It is written in a new folder beside `path`, which has a name that nobody can foresee and that only this
    user can enter: no other process writes to the same file, and no link that somebody has put there is
    followed. A link at `path` itself is replaced.

    Parameters
    ----------
    path : Path
        What is neither file nor folder, such as a pipe or ``/dev/stdout``, is written to as it is.

    Yields
    ------
    Path
        Where to write. It becomes `path` at the end, and is removed after an error.

    Raises
    ------
    OSError
        The file cannot be written; the earlier one is unharmed.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if _is_device(path):
        yield path
        return
    try:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, suffix=_PARTIAL, dir=path.absolute().parent))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    partial = folder / path.name
    try:
        with locked(folder):
            yield partial
            synchronise(partial)
            os.replace(partial, path)
            synchronise(path.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_unfinished(folder: Path) -> None:
    """Remove what a process that was killed has left half written in a folder; not what one still writes."""
    for path in folder.iterdir():
        if _UNFINISHED.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
            with contextlib.suppress(OSError), locked(path):
                shutil.rmtree(path)
        elif _UNFINISHED_BEFORE.fullmatch(path.name) and path.is_file():
            path.unlink()


def is_unfinished(path: Path) -> bool:
    """Whether a path is what a process writes to before it gives a file its name, or has left there."""
    return _UNFINISHED.fullmatch(path.name) is not None


def synchronise(path: Path) -> None:
    """Wait until a file or a folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _is_device(path: Path) -> bool:
    """Whether there is something at a path that another file must not take the place of."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    of_system = path.is_symlink() and path.absolute().parts[1:2] in (("dev",), ("proc",))
    return of_system or not stat.S_ISREG(mode)


@contextlib.contextmanager
def locked(folder: Path, wait: bool = False) -> Iterator[None]:
    """Keep other processes from locking a folder, where the file system knows locks.

    Raises
    ------
    BlockingIOError
        Another process has locked it, and this one does not wait.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:
            pass
        yield
    finally:
        os.close(handle)
