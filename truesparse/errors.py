"""Errors that a user sees as one sentence, and text from outside as a terminal may show it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from difflib import get_close_matches

# What moves the cursor, sets colours or titles, breaks lines or turns the direction of writing: C0, DEL and
# C1, separators of lines and paragraphs, overrides and isolates of direction; and what no encoding can write:
# all surrogates but those that stand for bytes of a file name, of which those that stand for C1 go too.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udc9f\udd00-\udfff]")

_FLAG = re.compile(r"--([a-z0-9]+(?:-[a-z0-9]+)*)")


class TruesparseError(Exception):
    """Something the user can mend: one sentence that says what is wrong and what to do.

    The command line prints the message on stderr and exits with `exit_code`.
    """

    exit_code = 1


class UsageError(TruesparseError):
    """A flag, a configuration key or an argument that cannot be right."""

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
    return _FLAG.sub(lambda match: match[1].replace("-", "_"), message)


@contextmanager
def parameters_named() -> Iterator[None]:
    """Let the errors of a block name parameters, not flags."""
    try:
        yield
    except TruesparseError as error:
        error.args = (without_flags(str(error)),)
        raise


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
