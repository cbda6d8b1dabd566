"""Errors that a user sees as one sentence, and text from outside as a terminal may show it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

# What moves the cursor, sets colours or titles, breaks lines or turns the direction of writing: C0, DEL and
# C1, separators of lines and paragraphs, overrides and isolates of direction; and what no encoding can write:
# all surrogates but those that stand for bytes of a file name, of which those that stand for C1 go too.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udc9f\udd00-\udfff]")

# A flag; not one within a path or within a command that a message tells to type.
_FLAG = re.compile(r"\b((?:truesparse [a-z]|pip install)[^;]*)|(?<![^\s(])--([a-z0-9]+(?:-[a-z0-9]+)*)")
_flags_named = False


class TruesparseError(Exception):
    """Something the user can mend: one sentence that says what is wrong and what to do.

    Messages name flags, for people who type commands. For calls from Python, `str` puts parameters in their
    place for whoever calls from Python. See `flags_named`. The command line prints the message on stderr and
    exits with `exit_code`.
    """

    exit_code = 1

    def __str__(self) -> str:
        message = super().__str__()
        return message if _flags_named else without_flags(message)


class UsageError(TruesparseError):
    """A wrong flag, configuration key or argument."""

    exit_code = 2


def unknown_name(kind: str, name: str, known: Collection[str]) -> UsageError:
    """The error for a name that is not among the known ones; it offers the nearest, or else all.

    Parameters
    ----------
    kind : str
        What is named, such as "method".
    name : str
    known : collection of str
    """
    near = get_close_matches(name, known, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"the {kind}s are {', '.join(known)}"
    return UsageError(f"there is no {kind} {name!r}; {hint}")


def without_flags(message: str) -> str:
    """A message with the names of parameters in the place of flags: for whoever calls from Python."""
    return _FLAG.sub(lambda match: match[1] or match[2].replace("-", "_"), message)


@contextmanager
def flags_named() -> Iterator[None]:
    """Let errors name flags while a block runs, since a command asks; in all threads."""
    global _flags_named
    before, _flags_named = _flags_named, True
    try:
        yield
    finally:
        _flags_named = before


def typed(path: object) -> str:
    """A path as one types it in a command, where a shell reads it."""
    text = str(path)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)


def printable(text: object) -> str:
    """A text from a file, or a path, as it may be shown on a terminal.

    Parameters
    ----------
    text : object
        What `str` makes a text of.

    Returns
    -------
    str
        In one line: control characters are escaped as Python does it, such as ``\\x1b``.
    """
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), str(text))


def need(module: str, package: str) -> ModuleType:
    """Import a module that is not installed with truesparse.

    Raises
    ------
    TruesparseError
        It is not installed.
    """
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError:
        raise TruesparseError(f"{package} is not installed; run pip install {package}") from None
