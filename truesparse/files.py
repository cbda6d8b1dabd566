"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from truesparse.errors import UsageError
from truesparse.settings import check_kind


def _of_system(name: str) -> Any:
    """A module of the standard library that not every system has, or None."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


_fcntl = _of_system("fcntl")
_msvcrt = _of_system("msvcrt")  # of Windows
_OPENS_FOLDERS = hasattr(os, "O_DIRECTORY")  # Windows does not

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
            with contextlib.suppress(OSError):
                with locked(path):
                    pass  # whoever wrote to it has ended
                shutil.rmtree(path)
        elif _UNFINISHED_BEFORE.fullmatch(path.name) and path.is_file():
            path.unlink()


def is_unfinished(path: Path) -> bool:
    """Whether a path is what a process writes to before it gives a file its name, or has left there."""
    return _UNFINISHED.fullmatch(path.name) is not None


def synchronise(path: Path) -> None:
    """Wait until a file or a folder is on the disk."""
    folder = path.is_dir()
    if folder and not _OPENS_FOLDERS:
        return
    handle = os.open(path, os.O_RDONLY if folder else os.O_RDWR)  # Windows flushes what it may write to
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
def locked(path: Path, wait: bool = False) -> Iterator[None]:
    """Keep other processes from locking a file or a folder, where the file system knows locks.

    Windows locks no folders, and nobody can read a file that is locked there: a file with a name of its own
    is locked in the place of either, and stays.

    Raises
    ------
    BlockingIOError
        Another process has locked it, and this one does not wait.
    """
    if _fcntl is None:
        folder, name = (path, "lock") if path.is_dir() else (path.parent, path.stem)
        handle = os.open(folder / f"{_PREFIX}{name}{_PARTIAL}", os.O_RDWR | os.O_CREAT)
    else:
        # NFS locks only what may be written to
        handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        _lock(handle, wait)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, wait: bool) -> None:
    if _fcntl is not None:
        try:
            _fcntl.flock(handle, _fcntl.LOCK_EX if wait else _fcntl.LOCK_EX | _fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:
            pass
    while _fcntl is None and _msvcrt is not None:
        try:
            _msvcrt.locking(handle, _msvcrt.LK_NBLCK, 1)
            return
        except PermissionError as error:  # its own way to wait gives up after ten seconds
            if not wait:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from error
            time.sleep(0.05)
