"""How a study is shown while it runs: a line for each run, and on a terminal how far the present one is."""

# ruff: noqa: D102  (the methods are documented in StudyReporter)

from __future__ import annotations

import math
import sys
from datetime import timedelta
from typing import TextIO, cast

from rich.console import Console
from rich.text import Text

from truesparse.cli.display import Output, Silent, validation_measure
from truesparse.errors import printable
from truesparse.study.plan import Run, Study
from truesparse.study.results import Line, lost
from truesparse.study.run import StudyReporter
from truesparse.training.reporter import Progress, Record, RunInfo


class Quiet(Silent, StudyReporter):
    """Shows nothing but that it will stop."""


class Display(Quiet):
    """Prints on standard error; a context manager. `jobs` says how many processes do runs."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._console = Console(
            file=cast(TextIO, Output(sys.stderr)), markup=False, emoji=False, highlight=False, soft_wrap=True
        )
        self._status = self._console.status("")

    def __exit__(self, *error: object) -> None:
        self._status.stop()

    def plan(self, study: Study, done: dict[str, Line]) -> None:
        self._total = len(study.runs)
        if done:
            self._print(f"{len(done):,} of {self._total:,} runs are done")

    def run(self, run: Run, done: dict[str, Line]) -> None:
        self._number = len(done) + 1
        self._seconds = [line["seconds"] for line in done.values() if "valid" in line]
        self._what = f"run {self._number:,} of {self._total:,}: {run.name}"
        self._measured = ""
        self._steps = 1  # until it begins
        self._show("")
        self._status.start()

    def start(self, info: RunInfo) -> None:
        self._steps = info.total_steps

    def compiling(self) -> None:
        self._show(", compiling kernels")

    def step(self, progress: Progress) -> None:
        self._show(f", {progress.step / self._steps:.0%} done{self._measured}{self._left(progress.step)}")

    def eval(self, record: Record) -> None:
        measure, value = validation_measure(record)
        self._measured = f", validation {measure} {value}"

    def result(self, run: Run, line: Line) -> None:
        if reason := lost(line):
            came_to = f", {reason}"
        else:
            self._seconds.append(line["seconds"])
            finite = {name: math.inf if of is None else of for name, of in line["valid"].items()}
            measure, value = validation_measure(finite)
            came_to = f", validation {measure} {value}, {line['seconds']:,.0f} s"
        self._print(f"{self._what}{came_to}{self._left(self._steps)}")

    def _left(self, step: int) -> str:
        """How long the rest takes if its runs are like those that are done."""
        runs = self._total - self._number + 1 - step / self._steps
        if not self._seconds or not runs:
            return ""
        mean = sum(self._seconds) / len(self._seconds)
        return f", {timedelta(seconds=round(mean * runs / self._jobs))} left"

    def _show(self, text: str) -> None:
        self._status.update(Text(printable(self._what + text)))

    def _print(self, text: str) -> None:
        self._console.print(printable(text))
