"""Who is told how a benchmark goes."""

from __future__ import annotations


class Monitor:
    """Shows nothing; the command line has others."""

    def plan(self, rounds: int) -> None:
        """Say how many rounds of turns there will be in all."""

    def say(self, text: str) -> None:
        """Say what is measured now."""

    def note(self, text: str) -> None:
        """Say something that the reader of the results should know."""

    def done(self, rounds: int = 1) -> None:
        """Say that rounds are over."""
