"""``truesparse report``."""

from __future__ import annotations

from pathlib import Path

import click

from truesparse.cli.help import Command
from truesparse.cli.options import path_option
from truesparse.errors import printable

_EXAMPLES = """
truesparse report RUN
truesparse report RUN RUN --out comparison.html
"""


@click.command(cls=Command, examples=_EXAMPLES)
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@path_option(
    "--out",
    "Page to write.  [default: report.html in the run's folder; of several runs report.html here]",
    dir_okay=False,
)
def report(runs: tuple[Path, ...], out: Path | None) -> None:
    """Write a page of HTML about a run, or one that compares runs.

    RUN is its folder; it may still be training. The page shows what was trained on what, results beside
    baselines, curves, which inputs are connected, what goes wrong on the test data if they are still where
    they were, size and speed on this machine, and how to use the model. It is one file that needs nothing
    else.
    """
    from truesparse.report.page import write_report
    from truesparse.training.outputs import check_folder

    distinct = tuple(dict.fromkeys(runs))
    path = out or (distinct[0] / "report.html" if len(distinct) == 1 else Path("report.html"))
    if out is not None:
        check_folder("--out", out)
    write_report(distinct, path)
    click.echo(printable(path))
