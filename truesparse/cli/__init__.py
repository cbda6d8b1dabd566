"""What the user types and sees: one file for each command, and no numerics."""

from truesparse.cli.root import main

__all__ = ["main"]
