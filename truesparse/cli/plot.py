"""``truesparse plot``."""

from __future__ import annotations

from pathlib import Path

import click

from truesparse.cli.help import Command
from truesparse.cli.options import choice_option, path_option
from truesparse.errors import UsageError, printable

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
@click.option(
    "--inputs",
    metavar="HxW",
    help="Draw which inputs keep connections, as pixels of an image of so many rows and columns, such as"
    " 28x28; of a run with --keep-topologies.  [default picture: inputs.png in the run's folder]",
)
@choice_option("--against", ("epoch", "time"), "What several runs are drawn over.")
def plot(runs: tuple[Path, ...], out: Path | None, inputs: str | None, against: str) -> None:
    """Draw the learning curve of a run and the density of each gate, or compare runs.

    RUN is its folder; it may still be training. Of several runs the validation results are drawn together.
    Needs matplotlib.
    """
    from truesparse.training.outputs import check_picture
    from truesparse.training.pictures import draw_run, draw_runs
    from truesparse.training.rundir import read_metrics

    if inputs is not None:
        _plot_inputs(runs, out, inputs)
        return
    records = {run: read_metrics(run) for run in runs}
    path = out or (runs[0] / "curve.png" if len(records) == 1 else Path("curves.png"))
    check_picture("--out", path)
    if len(records) == 1:
        draw_run(path, runs[0], records[runs[0]])
    else:
        draw_runs(path, records, against)
    click.echo(printable(path))


def _plot_inputs(runs: tuple[Path, ...], out: Path | None, inputs: str) -> None:
    """Draw the connections of the inputs of one run."""
    from truesparse.training.input_pictures import draw_inputs, read_shape
    from truesparse.training.outputs import check_picture
    from truesparse.training.topologies import read_topologies

    shape = read_shape(inputs)
    if len(runs) > 1:
        raise UsageError("--inputs draws one run; give one")
    path = out or runs[0] / "inputs.png"
    check_picture("--out", path)
    draw_inputs(path, runs[0], read_topologies(runs[0]), shape)
    click.echo(printable(path))
