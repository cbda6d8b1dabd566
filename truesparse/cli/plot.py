"""``truesparse plot``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Picture to write (PNG, SVG or PDF).  [default: curve.png in the run's folder]",
)
def plot(run: Path, out: Path | None) -> None:
    """Draw the learning curve of a run and the density of each gate.

    RUN is its folder; it may still be training. Needs matplotlib.
    """
    from truesparse.training.outputs import check_picture
    from truesparse.training.pictures import draw_run
    from truesparse.training.rundir import read_metrics

    records = read_metrics(run)
    path = out or run / "curve.png"
    check_picture("--out", path)
    draw_run(path, run, records)
    click.echo(str(path))
