"""``truesparse distance``."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from truesparse.cli.help import Command
from truesparse.cli.options import json_option, path_option
from truesparse.errors import UsageError, printable

if TYPE_CHECKING:
    import numpy as np

    from truesparse.topology.distance import PartDistance, TopologyDistance
    from truesparse.training.trajectory import Courses


_EXAMPLES = """
truesparse distance RUN RUN --plot map.png
"""


@click.command(cls=Command, examples=_EXAMPLES)
@click.argument("paths", metavar="MODEL_OR_RUN...", nargs=-1, type=click.Path(path_type=Path))
@path_option(
    "--plot",
    "Draw the distances of all pairs as a heat map, or of runs with snapshots over time (PNG, SVG or PDF)."
    "  [default: topologies.png in the folder of a single run]",
    "picture",
    dir_okay=False,
)
@json_option
def distance(paths: tuple[Path, ...], picture: Path | None, as_json: bool) -> None:
    """Measure how far apart the topologies of two or more models are.

    0 says that they have the same connections, 1 that they share none. Hidden units are matched first, since
    their order means nothing. Of two models it shows every layer and matrix, of more the distance of each
    pair. Of one run with snapshots (--keep-topologies of truesparse train) it shows how far it is from its
    start and from its end over time, and of two such runs how far they are from each other.
    """
    from truesparse.training.outputs import check_picture
    from truesparse.training.trajectory import has_topologies, trajectories, trajectory

    if len(paths) == 1 and has_topologies(paths[0]):
        if picture is None and find_spec("matplotlib") is not None:
            picture = paths[0] / "topologies.png"
    elif len(paths) < 2:
        raise UsageError(
            "a distance needs two models; give two or more files or folders of runs, or one run that was"
            " trained with --keep-topologies"
        )
    if picture is not None:
        check_picture("--plot", picture)
    if len(paths) == 1:
        courses = trajectory(paths[0])
        if as_json:
            _echo_json({"models": [str(paths[0])], "over_time": _described(courses)})
        else:
            _print_courses(courses)
        if picture is not None:
            _draw(picture, courses, as_json)
        return
    import numpy as np

    from truesparse.training.compare import compare_files

    distances = np.zeros((len(paths), len(paths)))
    pairs = []
    for first, second, result in compare_files(paths):
        distances[first, second] = distances[second, first] = result.distance
        pairs.append((first, second, result))
    runs = None
    if len(paths) == 2 and all(map(has_topologies, paths)):
        try:
            runs = trajectories(*paths)
        except UsageError as error:  # the models can be compared, if not over time
            click.echo(f"no distance over time: {printable(error)}", err=True)
    if as_json:
        _print_json(paths, distances, pairs, runs)
    elif len(paths) == 2:
        _print_pair(pairs[0][2])
    else:
        _print_all(paths, distances)
    if runs is not None and not as_json:
        click.echo()
        _print_courses(runs)
    if picture is not None and runs is not None:
        _draw(picture, runs, as_json)
    elif picture is not None:
        from truesparse.training.pictures import draw_distances

        draw_distances(picture, [str(path) for path in paths], distances)


def _print_json(
    paths: Sequence[Path],
    distances: np.ndarray,
    pairs: Sequence[tuple[int, int, TopologyDistance]],
    courses: Courses | None,
) -> None:
    from dataclasses import asdict

    def described(first: int, second: int, result: TopologyDistance) -> dict[str, Any]:
        values = asdict(result)
        del values["orders"]
        return {"first": first, "second": second, **values}

    values = {
        "models": [str(path) for path in paths],
        "distances": distances.tolist(),
        "pairs": [described(*pair) for pair in pairs],
        **({} if courses is None else {"over_time": _described(courses)}),
    }
    _echo_json(values)


def _echo_json(values: dict[str, Any]) -> None:
    import json

    click.echo(json.dumps(values))


def _described(courses: Courses) -> dict[str, Any]:
    courses_of = courses.distances.items()
    return {
        "epochs": courses.epochs,
        "distances": {name: [apart._asdict() for apart in course] for name, course in courses_of},
    }


def _print_courses(courses: Courses) -> None:
    """A table with a row for each epoch."""
    from truesparse.cli.display import plain_table, print_table

    headings = [heading for name in courses.distances for heading in (name, "unmatched")]
    table = plain_table(numbers=("epoch", *headings))
    for epoch, *here in zip(courses.epochs, *courses.distances.values(), strict=True):
        table.add_row(f"{epoch:.2f}", *(f"{distance:.4f}" for apart in here for distance in apart))
    print_table(table)


def _draw(picture: Path, courses: Courses, as_json: bool) -> None:
    from truesparse.training.course_pictures import draw_courses

    draw_courses(picture, courses)
    if not as_json:
        click.echo(printable(picture))


def _print_pair(result: TopologyDistance) -> None:
    """A table of layers, and of the matrices of those that have several."""
    from truesparse.cli.display import plain_table, print_table

    names = list(dict.fromkeys(gate for layer in result.layers for gate in layer.per_gate))
    table = plain_table("layer", numbers=("distance", "unmatched", *names))
    for layer in result.layers:
        table.add_row(layer.name, *_numbers(layer, names))
        for matrix in layer.matrices if len(layer.matrices) > 1 else ():
            table.add_row(f"  {matrix.name.removeprefix(layer.name + '.')}", *_numbers(matrix, names))
    table.add_section()
    table.add_row("total", f"{result.distance:.4f}", f"{result.unmatched:.4f}")
    print_table(table)


def _numbers(part: PartDistance, names: Sequence[str]) -> tuple[str, ...]:
    gates = (f"{part.per_gate[gate]:.3f}" if gate in part.per_gate else "" for gate in names)
    return f"{part.distance:.4f}", f"{part.unmatched:.4f}", *gates


def _print_all(paths: Sequence[Path], distances: np.ndarray) -> None:
    """A table with a row and a column for each model."""
    from truesparse.cli.display import plain_table, print_table

    table = plain_table("", "model", numbers=(str(number + 1) for number in range(len(paths))))
    for number, (path, row) in enumerate(zip(paths, distances, strict=True)):
        table.add_row(str(number + 1), printable(path), *(f"{distance:.4f}" for distance in row))
    print_table(table)
