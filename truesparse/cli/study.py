"""``truesparse study``."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

import click

from truesparse.cli.help import Command
from truesparse.cli.options import json_option
from truesparse.errors import TruesparseError, UsageError, printable

if TYPE_CHECKING:
    from truesparse.study.plan import Study
    from truesparse.study.results import Row, Spread, Table
    from truesparse.training.communicator import Communicator


_LARGE = 10_000  # a perplexity of which nobody reads all digits


_EXAMPLES = """
truesparse study rates.toml --plot rates.png
truesparse study rates.toml --set lr=1,2 --set seed=1,2,3
"""


@click.command(cls=Command, examples=_EXAMPLES)
@click.argument("path", metavar="FILE_OR_DIR", type=click.Path(path_type=Path))
@click.option("--data", metavar="PATH", help="Data of all runs.  [default: as the file says]")
@click.option(
    "--set",
    "changes",
    metavar="NAME=VALUES",
    multiple=True,
    help="Give a setting other values than the file does, with commas between them, such as lr=1,2 or"
    " seed=1,2,3. May be given several times.",
)
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder of the study, new or begun earlier.  [default: runs/study-<name of the file>]",
)
@click.option("--keep", is_flag=True, help="Keep the models of all runs, not only their results.")
@click.option("--table", "only_table", is_flag=True, help="Show what results there are, and train nothing.")
@click.option(
    "--plot",
    "picture",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw a picture of the results (PNG, SVG or PDF); needs matplotlib.",
)
@click.option(
    "--jobs",
    metavar="N",
    type=click.IntRange(min=1, max=1000),
    default=1,
    show_default=True,
    help="Runs at a time, which share the threads. Processes that mpiexec has started share the runs too.",
)
@json_option
@click.option("--quiet", is_flag=True, help="Print nothing but the results.")
def study(
    path: Path,
    data: str | None,
    changes: tuple[str, ...],
    out: Path | None,
    keep: bool,
    only_table: bool,
    jobs: int,
    picture: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Train a grid of models, and compare them.

    FILE is TOML: the task, its settings, those that vary with their values, and seeds. Started again, with
    FILE or with the folder of the study, it does what is left. Ctrl-C saves and stops. docs/studies.md tells
    more.
    """
    from truesparse.study.plan import STUDY, Study
    from truesparse.study.results import make_table, read_results
    from truesparse.training.communicator import find_communicator
    from truesparse.training.outputs import check_picture

    begun = path.is_dir()
    if begun and out is not None:
        raise UsageError("--out does not go with the folder of a study; leave it out")
    if begun and not (path / STUDY).is_file():
        raise UsageError(f"{path} is not the folder of a study: it has no {STUDY}; give a study file")
    folder = path if begun else out or Path("runs", f"study-{path.stem}")
    if picture is not None:
        check_picture("--plot", picture)
    given = _changes(data, changes)
    ranks = find_communicator()
    if jobs > 1 and ranks.size > 1:
        raise UsageError("--jobs does not go with several ranks, each of which does one run at a time")
    if jobs > 1:
        given.setdefault("threads", [str(max(1, (os.cpu_count() or 1) // jobs))])
    elif ranks.size > 1:
        given.setdefault("threads", [str(ranks.threads)])
    plan = Study(path / STUDY if begun else path, given)
    lines = read_results(plan, folder) if only_table else _run(plan, folder, keep, quiet, jobs, ranks)
    if ranks.rank:
        return
    table = make_table(plan, lines)
    if as_json:
        import json

        click.echo(json.dumps(table.values()))
    else:
        _print(table)
    if picture is not None:
        from truesparse.study.picture import draw_study

        draw_study(picture, table)


def _changes(data: str | None, changes: tuple[str, ...]) -> dict[str, list[str]]:
    given = {} if data is None else {"data": [data]}
    for change in changes:
        name, sign, texts = change.partition("=")
        if not sign:
            raise UsageError(f"--set is {change!r}; it must be a name and values, such as lr=1,2")
        given[name.strip().replace("-", "_")] = [text.strip() for text in texts.split(",")]
    return given


def _run(
    plan: Study, folder: Path, keep: bool, quiet: bool, jobs: int, ranks: Communicator
) -> dict[str, Any]:
    """Do what is left of a study, on all ranks; the first one shows how it goes.

    Raises
    ------
    TruesparseError
        On all ranks, when all have ended: what the first of them has found wrong, or that it was stopped. Or
        at once: they have different studies.
    """
    from truesparse.cli.study_display import Display, Quiet
    from truesparse.cli.train_run import stop_on_signal
    from truesparse.study.results import read_results
    from truesparse.study.run import begin_study, run_study
    from truesparse.training.communicator import SAME_START, same_everywhere

    check = crc32("".join(run.key for run in plan.runs).encode())
    same_everywhere(ranks, [("command", "study", SAME_START), ("checksum of the study", check, SAME_START)])
    display = Quiet() if quiet or ranks.rank else Display(max(jobs, ranks.size))
    error: TruesparseError | None = None
    with stop_on_signal(display.stopping) as asked, display:
        if not ranks.rank:
            begin_study(plan, folder)
        ranks.broadcast(None)  # the folder is there
        try:
            with _others(folder, jobs - 1, keep, asked):
                run_study(plan, folder, display, asked, keep)
        except TruesparseError as found:
            error = found
        for wrong in filter(None, ranks.gather(error)):
            raise wrong
    return read_results(plan, folder)


@contextmanager
def _others(folder: Path, count: int, keep: bool, asked: Callable[[], bool]) -> Iterator[None]:
    """Processes that do runs of a study too; they end with this one.

    Raises
    ------
    TruesparseError
        One of them has ended with an error, which it has told, or as it was `asked` to.
    """
    from truesparse.training.loop import TrainingStopped

    command = [sys.executable, "-m", "truesparse", "study", str(folder), "--quiet", *["--keep"] * keep]
    others = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(count)]
    try:
        yield
        codes = [other.wait() for other in others]
    finally:
        for other in others:
            if other.poll() is None:
                other.terminate()
                other.wait()
    if any(codes):
        raise (TrainingStopped if asked() else TruesparseError)(
            f"{sum(map(bool, codes))} of {count + 1} processes ended before their runs"
            f"; go on with: truesparse study {folder}"
        )


def _print(table: Table) -> None:
    """A row for each point, with mean and standard deviation over its seeds."""
    from truesparse.cli.display import plain_table, print_table
    from truesparse.study.plan import word
    from truesparse.training.reporter import MEASURES

    measure = MEASURES.get(table.measure, table.measure)
    tested = any(row.test for row in table.rows)
    shown = plain_table()
    headings = [*table.rows[0].point, "runs", f"validation {measure}".strip()]
    headings += [f"test {measure}"] * tested + ["weights", "FLOPs", "tokens/s", "seconds", ""]
    for heading in headings:
        shown.add_column(heading, justify="right")
    for number, row in enumerate(table.rows):
        cells = [*map(word, row.point.values()), counted(row), _spread(row.valid, table.measure)]
        cells += [_spread(row.test, table.measure)] * tested
        cells += [*_costs(row), "best" if number == table.best else ""]
        shown.add_row(*map(printable, cells))
    print_table(shown)


def counted(row: Row) -> str:
    """How many runs have ended, where not all have, and how many diverged or failed."""
    count = str(row.runs) if row.done == row.runs else f"{row.done} of {row.runs}"
    lost = {"diverged": row.diverged, "failed": row.failed}
    return ", ".join([count, *(f"{number} {how}" for how, number in lost.items() if number)])


def _spread(spread: Spread | None, measure: str) -> str:
    if spread is None:
        return ""
    styles = {"perplexity": ".2f" if spread.mean < _LARGE else ".2e", "loss": ".4f"}
    style = styles.get(measure, ".2%")
    return f"{spread.mean:{style}} ± {spread.std:{style}}"


def _costs(row: Row) -> list[str]:
    """Means of what a run came to; nothing where none has ended."""
    if not row.costs:
        return [""] * 4
    of = row.costs
    numbers = f"{of['nnz']:,.0f}", f"{of['relative_flops']:.3f}", f"{of['tokens_per_second']:,.0f}"
    return [*numbers, f"{of['seconds']:,.0f}"]
