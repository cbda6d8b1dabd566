"""``truesparse race``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from truesparse.cli.help import Command
from truesparse.cli.options import json_option, path_option
from truesparse.errors import TruesparseError, UsageError, printable

if TYPE_CHECKING:
    from truesparse.bench.race.plan import Race
    from truesparse.bench.race.standings import Standings


_EXAMPLES = """
truesparse race --data DIR --minutes 5 --plot race.png
truesparse race --compare RACE_DIR OTHER_RACE_DIR --plot budgets.png
"""


@click.command(cls=Command, examples=_EXAMPLES)
@click.argument("paths", metavar="[FILE_OR_DIR]", nargs=-1, type=click.Path(path_type=Path))
@click.option("--data", metavar="PATH", help="Text of both sides.  [default: as the file says]")
@click.option(
    "--minutes",
    metavar="X",
    type=float,
    help="Training time of every candidate.  [default: as the file says; 5]",
)
@click.option(
    "--seeds",
    metavar="N",
    type=click.IntRange(min=1),
    help="Runs of every candidate.  [default: as the file says; 1]",
)
@path_option(
    "--out",
    "Folder of the race, new or begun earlier.  [default: runs/race-<name>-<minutes>min]",
    metavar="DIR",
)
@click.option("--table", "only_table", is_flag=True, help="Show what results there are, and train nothing.")
@path_option(
    "--plot",
    "Draw the perplexity against the training time (PNG, SVG or PDF); needs matplotlib.",
    "picture",
    dir_okay=False,
)
@click.option(
    "--compare",
    is_flag=True,
    help="Show what the finished races in several folders came to, each of another budget; --plot draws them"
    " into one picture. Train nothing.",
)
@json_option
@click.option("--quiet", is_flag=True, help="Print nothing but the results.")
def race(
    paths: tuple[Path, ...],
    data: str | None,
    minutes: float | None,
    seeds: int | None,
    out: Path | None,
    only_table: bool,
    picture: Path | None,
    compare: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Let sparse and dense language models race, for as many minutes each.

    The best of some sparse models, by validation text, stands against the best of some dense ones, trained by
    PyTorch on the same machine and text. FILE is TOML and says which; without it there is a small grid.
    Started again, with FILE or with the folder of the race, it does what is left. docs/studies.md tells more.
    """
    from truesparse.bench.race.comparison import check_race
    from truesparse.bench.race.plan import RACE, Race
    from truesparse.bench.race.standings import Standings, read_lines
    from truesparse.settings import joined
    from truesparse.training.outputs import check_picture

    if compare:
        given = {"--data": data, "--minutes": minutes, "--seeds": seeds, "--out": out}
        if only := [name for name, value in given.items() if value is not None]:
            raise UsageError(f"{only[0]} does not go with --compare, which trains nothing; leave it out")
        _compare(paths, picture, as_json)
        return
    if len(paths) > 1:
        raise UsageError(
            "there is one race at a time; give one file or folder, or --compare with several folders"
        )
    path = paths[0] if paths else None
    begun = path is not None and path.is_dir()
    if path is not None and begun:
        if out is not None:
            raise UsageError("--out does not go with the folder of a race; leave it out")
        check_race(path)
    if picture is not None:
        check_picture("--plot", picture)
    plan = Race(path / RACE if path is not None and begun else path, data, minutes, seeds)
    folder = path if path is not None and begun else out or _default(path, plan)
    if not only_table:
        _run(plan, folder, quiet)
    standings = Standings(plan, read_lines(plan, folder))
    if as_json:
        import json

        click.echo(json.dumps(standings.values()))
    else:
        _print(standings)
    if picture is not None:
        from truesparse.bench.race.picture import draw_race

        draw_race(picture, plan, standings, folder)
    if standings.beaten and not only_table:
        raise TruesparseError(f"the {joined(standings.beaten, 'and')} side has no candidate left")


def _compare(folders: tuple[Path, ...], picture: Path | None, as_json: bool) -> None:
    """A sentence for each finished race, the shortest first."""
    from truesparse.bench.race.comparison import read_races
    from truesparse.training.outputs import check_picture

    if not folders:
        raise UsageError("--compare needs the folders of finished races")
    if picture is not None:
        check_picture("--plot", picture)
    races = read_races(folders)
    if as_json:
        import json

        click.echo(json.dumps({"races": [standings.values() for standings in races.values()]}))
    else:
        for minutes, standings in races.items():
            click.echo(printable(f"{minutes:g} minutes: {standings.verdict()}"))
    if picture is not None:
        from truesparse.bench.race.picture import draw_budgets

        draw_budgets(picture, races)


def _default(path: Path | None, plan: Race) -> Path:
    name = path.stem if path is not None else Path(plan.data).stem if plan.data is not None else "demo"
    return Path("runs", f"race-{name}-{plan.budget.minutes:g}min")


def _run(plan: Race, folder: Path, quiet: bool) -> None:
    from contextlib import nullcontext

    from truesparse.bench.monitor import Monitor
    from truesparse.bench.race.run import run_race
    from truesparse.bench.settings import INSTALL_TORCH, available_cores, installed
    from truesparse.cli.progress import shown

    if not installed("torch"):
        raise UsageError(f"the dense side of a race is PyTorch's; install it with: {INSTALL_TORCH}")
    with nullcontext(Monitor()) if quiet else shown() as monitor:
        run_race(plan, folder, available_cores(), monitor)


def _print(standings: Standings) -> None:
    """A row for each candidate, and the verdict."""
    from truesparse.cli.display import plain_table, print_table
    from truesparse.cli.study import counted
    from truesparse.study.plan import words

    shown = plain_table()
    several = any(place.row.runs > 1 for place in standings.places)
    headings = ["side", "candidate", *["runs"] * several, "epochs", "tokens/s", "weights"]
    for heading in [*headings, "validation perplexity", "test perplexity", ""]:
        shown.add_column(heading, justify="left" if heading in ("side", "candidate") else "right")
    for place in standings.places:
        row, of = place.row, place.row.costs
        costs = (
            [f"{of['epochs']:.1f}", f"{of['tokens_per_second']:,.0f}", f"{of['nnz']:,.0f}"]
            if of
            else [""] * 3
        )
        cells = [place.entrant.name, words(row.point), *[counted(row)] * several, *costs]
        spreads = ["" if spread is None else spread.words() for spread in (row.valid, row.test)]
        mark = "chosen" if place.chosen else "failed" if row.failed else "diverged" if row.diverged else ""
        shown.add_row(*map(printable, [*cells, *spreads, mark]))
    print_table(shown)
    for line in [*standings.failures, *standings.conditions(), standings.verdict()]:
        click.echo(printable(line))
