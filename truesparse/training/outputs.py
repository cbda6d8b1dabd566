"""Whether results can be written where a flag says, found out before they are worked out."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from truesparse.errors import UsageError

_ENDINGS = ("png", "svg", "pdf")


def check_folder(flag: str, path: Path) -> None:
    """Check that the folder of a file exists.

    Raises
    ------
    UsageError
        It does not.
    """
    if not path.absolute().parent.is_dir():
        raise UsageError(f"{flag}: there is no folder {path.absolute().parent}; make it first")


def check_picture(flag: str, path: Path) -> None:
    """Check that a picture can be drawn into a file.

    Raises
    ------
    UsageError
        Its folder does not exist, its ending is none that is known, or matplotlib is not installed.
    """
    check_folder(flag, path)
    if path.suffix[1:].lower() not in _ENDINGS:
        raise UsageError(f"{flag} is {path}; a picture's name must end in .png, .svg or .pdf")
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError('a picture needs matplotlib; install it with: pip install "truesparse[plot]"')
