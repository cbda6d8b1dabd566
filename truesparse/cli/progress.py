"""How a benchmark is shown while it runs: a bar with the time left, or lines."""

# ruff: noqa: D102  (the methods are documented in Monitor)

from __future__ import annotations

import sys

import click

from truesparse.bench.monitor import Monitor
from truesparse.errors import printable


class ProgressLines(Monitor):
    """Prints a line on standard error for each thing that is measured; a context manager.

    Attributes
    ----------
    notes : list of str
        What the reader of the results should know.
    """

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._total = self._count = 0

    def __enter__(self) -> ProgressLines:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def plan(self, rounds: int) -> None:
        self._total = rounds

    def say(self, text: str) -> None:
        click.echo(f"{self._count}/{self._total}  {printable(text)}", err=True)

    def note(self, text: str) -> None:
        if text not in self.notes:  # the same may be found again with other sizes
            self.notes.append(text)
            self._print(printable(text))

    def _print(self, text: str) -> None:
        click.echo(text, err=True)

    def done(self, rounds: int = 1) -> None:
        self._count += rounds


class Bar(ProgressLines):
    """Draws a bar on standard error, which is a terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        super().__init__()
        self._progress = Progress(
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.description}", markup=False),
            console=Console(stderr=True, markup=False, emoji=False, highlight=False),
            transient=True,
            speed_estimate_period=300,
        )
        self._task = self._progress.add_task("starting", total=None)

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def plan(self, rounds: int) -> None:
        self._progress.update(self._task, total=rounds)

    def say(self, text: str) -> None:
        self._progress.update(self._task, description=printable(text))

    def _print(self, text: str) -> None:
        self._progress.console.print(text)

    def done(self, rounds: int = 1) -> None:
        self._progress.advance(self._task, rounds)


def shown() -> ProgressLines:
    """Return what fits standard error."""
    return Bar() if sys.stderr.isatty() else ProgressLines()
