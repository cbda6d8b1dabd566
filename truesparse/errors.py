"""Errors that a user sees as one sentence."""

from __future__ import annotations


class TruesparseError(Exception):
    """Something the user can mend: one sentence that says what is wrong and what to do.

    The command line prints the message on stderr and exits with `exit_code`.
    """

    exit_code = 1


class UsageError(TruesparseError):
    """A flag, a configuration key or an argument that cannot be right."""

    exit_code = 2
