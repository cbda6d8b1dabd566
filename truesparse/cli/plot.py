"""``truesparse plot``."""

from __future__ import annotations

from pathlib import Path

import click

from truesparse.cli.help import Command
from truesparse.cli.options import choice_option, path_option
from truesparse.errors import printable

_EXAMPLES = """
truesparse plot RUN
truesparse plot RUN RUN --out curves.png
"""


@click.command(cls=Command, examples=_EXAMPLES)
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@path_option(
    "--out",
    "Picture to write (PNG, SVG or PDF).  [default: curve.png in the run's folder; of several runs"
    " curves.png here]",
    dir_okay=False,
)
@choice_option("--against", ("epoch", "time"), "What several runs are drawn over.")
def plot(runs: tuple[Path, ...], out: Path | None, against: str) -> None:
    """Draw the learning curve of a run and the density of each gate, or compare runs.

    RUN is its folder; it may still be training. Of several runs the validation results are drawn together.
    Needs matplotlib.
    """
    from truesparse.training.outputs import check_picture
    from truesparse.training.pictures import draw_run, draw_runs
    from truesparse.training.rundir import read_metrics

    records = {run: read_metrics(run) for run in runs}
    path = out or (runs[0] / "curve.png" if len(records) == 1 else Path("curves.png"))
    check_picture("--out", path)
    if len(records) == 1:
        draw_run(path, runs[0], records[runs[0]])
    else:
        draw_runs(path, records, against)
    click.echo(printable(path))
