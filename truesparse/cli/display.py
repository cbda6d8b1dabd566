"""How training is shown: lines, a live display, or nothing."""

# ruff: noqa: D102  (the methods are documented in Reporter)

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any, Self, TextIO, cast

import click

from truesparse.errors import printable
from truesparse.training.reporter import (
    MEASURES,
    Progress,
    Record,
    Reporter,
    RunInfo,
    common_measure,
)

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table

COMPILING = "compiling kernels, once on this machine; they are kept for later runs ..."
COMPILING_EACH_TIME = "compiling kernels ..."
STOPPING = "stopping after this step; Ctrl-C again stops without saving"


class Output:
    """A stream whose end does not end the training that is shown on it.

    If nobody reads it any more, as at the end of ``| head``, `unread` becomes True, and training stops as at
    Ctrl-C. Anything else, such as a full disk, is reported on standard error once, and what can be written
    later is.

    Parameters
    ----------
    stream : TextIO

    Attributes
    ----------
    unread : bool
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._told = False
        self.unread = False

    def write(self, text: str) -> int:
        """Write `text` if that can be; returns its length."""
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Flush the stream if that can be."""
        self._try(self._stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _try(self, action: Callable[[], object]) -> None:
        try:
            action()
        except BrokenPipeError:
            self.unread = True
            # What is still buffered goes there, not into an error at the end of the program.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
        except OSError as error:
            if not self._told:
                self._told = True
                say_now(f"truesparse: cannot show the progress: {error.strerror}; training goes on")


def say_now(line: str) -> None:
    """Write a line on standard error if that can be, without the buffered streams."""
    with contextlib.suppress(OSError):
        os.write(2, f"{line}\n".encode())


class Silent(Reporter):
    """Shows nothing but that it will stop. A context manager, as every display is.

    Attributes
    ----------
    unread : bool
        Whether nobody reads what is shown any more.
    """

    unread = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def stopping(self) -> None:
        """Training is to stop. Called by a signal handler, which must not use buffered streams."""
        say_now(f"\n{STOPPING}")


class Lines(Silent):
    """Prints a line for each thing that happens.

    Parameters
    ----------
    stream : TextIO
    """

    def __init__(self, stream: TextIO) -> None:
        self._output = Output(stream)
        self._began: tuple[int, float] | None = None  # a step, and when it was done

    @property
    def unread(self) -> bool:  # type: ignore[override]
        return self._output.unread

    def start(self, info: RunInfo) -> None:
        self._total_steps = info.total_steps
        self._gates = info.gates
        for line in describe_run(info):
            self._print(line)

    def compiling(self) -> None:
        self._print(_compiling())

    def compiled(self, seconds: float) -> None:
        self._print(f"compiled in {seconds:.0f} s")
        self._began = None  # time left without the compilation

    def step(self, progress: Progress) -> None:
        self._began = self._began or (progress.step, time.monotonic())

    def train(self, record: Record) -> None:
        self._print(
            f"step {record['step']:>7,}  epoch {record['epoch']:6.2f}  {describe_loss(record)}"
            f"  lr {record['lr']:.3g}"
            f"  {record['tokens_per_second']:,.0f} tokens/s  {self._time_left(record['step'])} left"
        )

    def eval(self, record: Record) -> None:
        notes = "".join(f"  ({note})" for note in ("averaged", "best") if record[note])
        measure, value = validation_measure(record)
        self._print(f"step {record['step']:>7,}  validation {measure} {value}{notes}")

    def rewire(self, record: Record) -> None:
        self._print(f"step {record['step']:>7,}  {describe_rewiring(record)}")
        of_matrices = record["density_per_gate"].items()
        for gates, matrices in groupby(of_matrices, lambda item: self._gates[item[0]]):
            densities = "; ".join(
                " ".join([name, *(f"{density:.3f}" for density in of)]) for name, of in matrices
            )
            self._print(f"              density of {' '.join(gates)}: {densities}")

    def epoch(self, record: Record) -> None:
        self._print(f"step {record['step']:>7,}  {describe_cost(record)}")

    def _time_left(self, step: int) -> str:
        first, began = self._began or (step, 0.0)
        if step == first:
            return "-:--:--"
        seconds = (time.monotonic() - began) / (step - first) * (self._total_steps - step)
        return str(timedelta(seconds=round(seconds)))

    def _print(self, line: str) -> None:
        click.echo(line, file=cast(TextIO, self._output))


class Live(Silent):
    """A display that is drawn anew in place: progress, the state of training, densities, evaluations.

    Parameters
    ----------
    stream : TextIO
        A terminal.
    """

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

        self._notice = self._training = self._rewiring = ""
        self._last: Record | None = None
        self._evaluations: list[Record] = []
        self._total_epochs = 0
        self._done = 0
        self._ended = False
        self._output = Output(stream)
        self._console = Console(file=cast(TextIO, self._output), highlight=False, markup=False, emoji=False)
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
        # Training waits while a frame is drawn, which takes milliseconds.
        self._live = RichLive(console=self._console, get_renderable=self._render, refresh_per_second=2)

    def __exit__(self, *error: object) -> None:
        self._notice = ""
        self._ended = True
        self._live.stop()

    @property
    def unread(self) -> bool:  # type: ignore[override]
        return self._output.unread

    def start(self, info: RunInfo) -> None:
        for line in describe_run(info):
            self._console.print(line)
        self._gates = info.gates
        self._total_epochs = -(-info.total_steps // info.steps_per_epoch)
        self._task = self._bars.add_task("training", total=info.total_steps, completed=info.step)
        self._live.start()

    def compiling(self) -> None:
        self._console.print(_compiling())

    def compiled(self, seconds: float) -> None:
        self._console.print(f"compiled in {seconds:.0f} s")
        self._bars.reset(self._task, completed=self._done)  # time left without the compilation

    def step(self, progress: Progress) -> None:
        self._done = progress.step
        self._bars.update(
            self._task, completed=progress.step, description=f"epoch {progress.epoch} of {self._total_epochs}"
        )
        if self._last is None:
            self._training = f"loss {progress.loss:.3f}"

    def train(self, record: Record) -> None:
        self._last = record
        memory = record["peak_memory_bytes"]
        self._training = (
            f"{describe_loss(record)}   lr {record['lr']:.3g}   {record['tokens_per_second']:,.0f} tokens/s"
        ) + (f"   {memory / 1e6:,.0f} MB" if memory else "")

    def eval(self, record: Record) -> None:
        self._last = record
        self._evaluations.append(record)

    def rewire(self, record: Record) -> None:
        self._last = record
        self._rewiring = describe_rewiring(record)

    def stopping(self) -> None:
        if self._live.is_started:
            self._notice = STOPPING  # printed, it would be in the way of what is drawn
        else:
            super().stopping()

    def _render(self) -> Group:
        from rich.console import Group, RenderableType
        from rich.text import Text

        parts: list[RenderableType] = [self._bars]
        parts += [Text(line) for line in (self._training, self._rewiring, self._notice) if line]
        height = len(parts)
        if self._last is not None:
            densities, of_gates = self._last["density"], self._last["density_per_gate"]
            matrices = (
                (name, density, dict(zip(self._gates.get(name, ()), of_gates.get(name, ()), strict=True)))
                for name, density in densities.items()
            )
            parts += ["", density_table(matrices)]
            height += 3 + len(densities)
        if self._evaluations:
            room = self._console.height - height - 4  # blank line, heading, rule, cursor
            rows = len(self._evaluations) if self._ended else max(room, 1)
            parts += ["", self._evaluation_table(rows)]
        return Group(*parts)

    def _evaluation_table(self, rows: int) -> Table:
        """The last evaluations."""
        measure, _ = validation_measure(self._evaluations[0])
        table = plain_table(numbers=("step", "epoch", f"validation {measure}", "lr", ""))
        for record in self._evaluations[-rows:]:
            table.add_row(
                f"{record['step']:,}",
                f"{record['epoch']:.2f}",
                validation_measure(record)[1],
                f"{record['lr']:.3g}",
                " ".join(note for note in ("averaged", "best") if record[note]),
            )
        return table


def _compiling() -> str:
    from truesparse.kernels.cache import code_is_kept  # here: with it comes Numba

    return COMPILING if code_is_kept() else COMPILING_EACH_TIME


def describe_loss(record: Record) -> str:
    """A mean training loss, and the perplexity of a language model."""
    perplexity = f"  perplexity {record['perplexity']:9.2f}" if "perplexity" in record else ""
    return f"loss {record['loss']:.3f}{perplexity}"


def validation_measure(record: Record) -> tuple[str, str]:
    """What a model is chosen by, and its value: perplexity, or a share such as the accuracy."""
    measure = common_measure([record])
    assert measure is not None
    return MEASURES[measure], f"{record[measure]:{'.2f' if measure == 'perplexity' else '.2%'}}"


def plain_table(*names: str, numbers: Iterable[str] = ()) -> Table:
    """A table with a rule under its heading: columns of names, then of numbers."""
    from rich import box
    from rich.table import Table

    table = Table(*names, box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in numbers:
        table.add_column(heading, justify="right")
    return table


def density_table(rows: Iterable[tuple[str, float, Mapping[str, float]]]) -> Table:
    """A table of matrices: name, density, and densities of its gates if it has any."""
    rows = list(rows)
    gates = dict.fromkeys(gate for _, _, of_gates in rows for gate in of_gates)
    table = plain_table("matrix", numbers=("density", *gates))
    for name, density, of_gates in rows:
        table.add_row(
            name, f"{density:.4f}", *(f"{of_gates[gate]:.3f}" if gate in of_gates else "" for gate in gates)
        )
    return table


def print_table(table: Table, **look: bool) -> None:
    """Print a table in its full width: numbers that are cut off say nothing. Brackets and colons in it are
    those of names, no markup, unless `look` says how the console is to be instead."""
    from rich.console import Console
    from rich.measure import Measurement

    look = look or {"markup": False, "emoji": False}
    wide = Console(width=1000, **look)  # type: ignore[arg-type]
    width = Measurement.get(wide, wide.options, table).maximum
    Console(width=max(Console().width, width), **look).print(table)  # type: ignore[arg-type]


def describe_run(info: RunInfo) -> list[str]:
    """What a run is, in lines."""
    density = info.nnz / info.dense_parameters
    resumed = f", from step {info.step:,}" if info.step else ""
    lines = [
        info.data,
        f"{info.nnz:,} weights of {info.dense_parameters:,} (density {density:.3g}), {info.threads} threads",
        f"{info.total_steps:,} steps, {info.steps_per_epoch:,} an epoch{resumed}; the run is in {info.path}",
    ]
    return [printable(line) for line in lines]


def describe_cost(record: Record) -> str:
    """What an epoch cost, in one line."""
    return (
        f"epoch {record['epoch']:.0f} took {record['epoch_seconds']:.1f} s"
        f", {record['update_seconds']:.2f} of them topology updates"
        f"; training FLOPs so far {record['relative_flops']:.3f} of a dense model's"
    )


def describe_rewiring(record: Record) -> str:
    """What a topology update did, in one line."""
    dropped, grown = sum(record["dropped"].values()), sum(record["replaced"].values())
    change = f"{grown:,} weights replaced" if grown == dropped else f"{dropped:,} dropped, {grown:,} grown"
    line = f"topology update: {change} (drop fraction {record['drop_fraction']:.3f})"
    if "positions_used" in record:
        line += f", {100 * record['positions_used']:.1f} % of positions used so far"
    return line
