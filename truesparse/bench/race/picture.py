"""A race drawn, with matplotlib (the extra `plot`)."""

from __future__ import annotations

import math
from pathlib import Path

from truesparse.bench.race.plan import Race
from truesparse.bench.race.run import lane_of
from truesparse.bench.race.standings import Ranked, Standings
from truesparse.errors import TruesparseError
from truesparse.study.plan import words
from truesparse.training.pictures import drawable, new_figure, perplexity_scale, save
from truesparse.training.rundir import METRICS, read_metrics

_COLORS = {"sparse": "C0", "dense": "C1", "dense bf16": "C3"}
_HIGHEST = 2.0  # times the lowest perplexity
_ROOM = 1.15  # above the end of a curve


def draw_race(path: Path, race: Race, standings: Standings, folder: Path) -> None:
    """Draw the best validation perplexity so far of every candidate against its training time.

    Those that were chosen have bold lines, and horizontal ones for the test perplexity of their best models.
    Of several seeds the first is drawn.

    Parameters
    ----------
    path : Path
        The file to write; its ending says of what kind.
    race : Race
    standings : Standings
    folder : Path
        Of the race.

    Raises
    ------
    TruesparseError
        No candidate has been evaluated yet.
    """
    curves = [(place, _curve(folder, place)) for place in standings.places]
    lowest = [y for _, (_, values) in curves for y in values]
    if not lowest:
        raise TruesparseError("no candidate has been evaluated yet; draw the race when one has")
    figure = new_figure((9.5, 5))
    axes = figure.subplots()
    for place, (minutes, values) in sorted(curves, key=lambda of: of[0].chosen):
        color = _COLORS[place.entrant.name]
        if not place.chosen:
            axes.plot(minutes, values, color=color, linewidth=0.8, alpha=0.4)
            continue
        label = f"{place.entrant.name}: {words(place.row.point)}" if place.row.point else place.entrant.name
        axes.plot(minutes, values, "o-", color=color, markersize=3, linewidth=2, label=drawable(label))
        if place.row.test is not None:
            test = place.row.test.mean
            axes.axhline(
                test, color=color, linestyle="--", linewidth=1, label=f"its test perplexity {test:.1f}"
            )
    perplexity_scale(axes)
    tests = [place.row.test.mean for place, _ in curves if place.row.test is not None]
    ends = [values[-1] for place, (_, values) in curves if place.chosen and values]
    bottom = min(lowest + tests)
    axes.set_ylim(0.97 * bottom, max([_HIGHEST * bottom, *(_ROOM * end for end in ends + tests)]))
    axes.set_xlim(0, race.budget.minutes)
    axes.set_xlabel("minutes of training")
    axes.set_ylabel("best validation perplexity so far")
    axes.grid(alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        legend = axes.legend(fontsize=8)
        for text in legend.get_texts():
            text.set_parse_math(False)
    axes.set_title(drawable(standings.verdict()), fontsize=10, parse_math=False)
    save(figure, path, 110)


def _curve(folder: Path, place: Ranked) -> tuple[list[float], list[float]]:
    """Minutes, and the best perplexity up to then, of the first run of a candidate."""
    lane = lane_of(folder, place.entrant, place.runs[0])
    minutes: list[float] = []
    values: list[float] = []
    if (lane / METRICS).is_file():
        best = math.inf
        for record in read_metrics(lane):
            if record["perplexity"] is not None:
                best = record["perplexity"] if record["best"] else best
                minutes.append(record["seconds"] / 60)
                values.append(best)
    return minutes, values
