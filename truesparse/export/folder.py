"""Folders that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from truesparse.errors import TruesparseError, UsageError


@contextlib.contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Fill a folder that gets its name at the end.

    Parameters
    ----------
    out : Path
        Where it will be: nothing, or an empty folder. Folders above it are made.

    Yields
    ------
    Path
        A folder beside it to write to. It is removed after an error.

    Raises
    ------
    UsageError
        There is something at `out` already.
    TruesparseError
        The folder cannot be made.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UsageError(f"{out} exists; choose another --out or remove it")
    try:
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.absolute().parent))
    except OSError as error:
        raise TruesparseError(f"cannot make {out}: {error.strerror}; choose another --out") from None
    try:
        yield partial
        partial.chmod(0o777 & ~_umask())  # mkdtemp makes folders that only their owner can read
        with contextlib.suppress(FileNotFoundError):
            out.rmdir()  # Windows puts no folder in the place of another
        os.replace(partial, out)
    except OSError as error:
        raise TruesparseError(
            f"cannot write {out}: {error.strerror}; make room or choose another --out"
        ) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
