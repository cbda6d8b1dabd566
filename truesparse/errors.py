"""Errors that a user sees as one sentence."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches


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
