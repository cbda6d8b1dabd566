"""How training is shown: lines, a live display, or nothing."""

# ruff: noqa: D102  (the methods are documented in Reporter)

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, TextIO

import click

from truesparse.training.reporter import Progress, Record, Reporter, RunInfo

if TYPE_CHECKING:
    from rich.console import Group

COMPILING = "compiling kernels, once on this machine; they are kept for later runs ..."


class Silent(Reporter):
    """Shows nothing. A context manager, as every display is."""

    def __enter__(self) -> Silent:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None


class Lines(Silent):
    """Prints a line for each thing that happens.

    Parameters
    ----------
    stream : TextIO
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def start(self, info: RunInfo) -> None:
        for line in describe_run(info):
            self._print(line)

    def compiling(self) -> None:
        self._print(COMPILING)

    def compiled(self, seconds: float) -> None:
        self._print(f"compiled in {seconds:.0f} s")

    def train(self, record: Record) -> None:
        self._print(
            f"step {record['step']:>7,}  epoch {record['epoch']:6.2f}  loss {record['loss']:.3f}"
            f"  perplexity {record['perplexity']:9.2f}  lr {record['lr']:.3g}"
            f"  {record['tokens_per_second']:,.0f} tokens/s"
        )

    def eval(self, record: Record) -> None:
        best = "  (best)" if record["best"] else ""
        self._print(f"step {record['step']:>7,}  validation perplexity {record['perplexity']:.2f}{best}")

    def rewire(self, record: Record) -> None:
        self._print(f"step {record['step']:>7,}  {describe_rewiring(record)}")

    def _print(self, line: str) -> None:
        click.echo(line, file=self._stream)


class Live(Silent):
    """A display that is drawn anew in place: progress, the state of training, and a table of evaluations.

    Parameters
    ----------
    stream : TextIO
        A terminal.
    """

    _ROWS = 12  # evaluations shown; earlier ones scroll out of the table

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live as RichLive
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as Bars

        self._lines: dict[str, str] = {}
        self._evaluations: list[Record] = []
        self._total_epochs = 0
        self._done = 0
        self._console = Console(file=stream, highlight=False, markup=False)
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("steps"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            speed_estimate_period=120,
        )
        self._live = RichLive(console=self._console, get_renderable=self._render, refresh_per_second=4)

    def __enter__(self) -> Live:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()

    def start(self, info: RunInfo) -> None:
        for line in describe_run(info):
            self._console.print(line)
        self._total_epochs = -(-info.total_steps // info.steps_per_epoch)
        self._task = self._bars.add_task("training", total=info.total_steps, completed=info.step)
        self._live.start()

    def compiling(self) -> None:
        self._console.print(COMPILING)

    def compiled(self, seconds: float) -> None:
        self._console.print(f"compiled in {seconds:.0f} s")
        self._bars.reset(self._task, completed=self._done)  # time left without the compilation

    def step(self, progress: Progress) -> None:
        self._done = progress.step
        self._bars.update(
            self._task, completed=progress.step, description=f"epoch {progress.epoch} of {self._total_epochs}"
        )

    def train(self, record: Record) -> None:
        self._lines["train"] = (
            f"loss {record['loss']:.3f}   perplexity {record['perplexity']:.2f}   lr {record['lr']:.3g}"
            f"   {record['tokens_per_second']:,.0f} tokens/s   {record['peak_memory_bytes'] / 1e6:,.0f} MB"
        )

    def eval(self, record: Record) -> None:
        self._evaluations.append(record)

    def rewire(self, record: Record) -> None:
        self._lines["rewire"] = describe_rewiring(record)
        self._lines["density"] = "density " + "   ".join(
            f"{name} {density:.3f}" for name, density in record["density"].items()
        )
        for name, gates in record["density_per_gate"].items():
            self._lines[name] = f"{name} per gate i, f, g, o: " + " ".join(
                f"{density:.3f}" for density in gates
            )

    def _render(self) -> Group:
        from rich import box
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD)
        for heading in ("step", "epoch", "validation perplexity", "lr", ""):
            table.add_column(heading, justify="right")
        for record in self._evaluations[-self._ROWS :]:
            table.add_row(
                f"{record['step']:,}",
                f"{record['epoch']:.2f}",
                f"{record['perplexity']:.2f}",
                f"{record['lr']:.3g}",
                "best" if record["best"] else "",
            )
        lines = [Text(line) for line in self._lines.values()]
        return Group(self._bars, *lines, *([table] if self._evaluations else []))


def describe_run(info: RunInfo) -> list[str]:
    """What a run is, in lines."""
    density = info.nnz / info.dense_parameters
    resumed = f", from step {info.step:,}" if info.step else ""
    return [
        info.text,
        f"{info.nnz:,} weights of {info.dense_parameters:,} (density {density:.3f}), {info.threads} threads",
        f"{info.total_steps:,} steps, {info.steps_per_epoch:,} an epoch{resumed}; the run is in {info.path}",
    ]


def describe_rewiring(record: Record) -> str:
    """What a topology update did, in one line."""
    replaced = sum(record["replaced"].values())
    return f"topology update: {replaced:,} weights replaced (drop fraction {record['drop_fraction']:.3f})"
