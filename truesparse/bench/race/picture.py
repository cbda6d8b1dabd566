"""A race drawn, with matplotlib (the extra `plot`)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from truesparse.bench.race.plan import SIDES, Race
from truesparse.bench.race.run import lane_of
from truesparse.bench.race.standings import Standings
from truesparse.errors import TruesparseError
from truesparse.study.plan import words
from truesparse.training.pictures import drawable, new_figure, perplexity_scale, save
from truesparse.training.rundir import METRICS, read_metrics

_COLORS = {"sparse": "C0", "dense": "C1", "dense bf16": "C3"}
_NAMES = {"sparse": "sparse", "dense": "dense (PyTorch)"}
_CHOSEN: dict[str, Any] = {"linewidth": 2, "marker": "o", "markersize": 3}
_SEED: dict[str, Any] = {"linewidth": 1.2}
_LOSER: dict[str, Any] = {"linewidth": 0.8, "alpha": 0.4}
_HIGHEST = 2.0  # times the lowest perplexity
_ROOM = 1.15  # above the end of a curve


def draw_race(path: Path, race: Race, standings: Standings, folder: Path) -> None:
    """Draw the best validation perplexity so far of every candidate against its training time.

    Each seed has a line, a bold one if it is the only one of a chosen candidate. Horizontal lines show the
    mean test perplexity of those. Candidates that failed are left out.

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
    running = [place for place in standings.places if not place.row.failed]
    curves = [[_curve(lane_of(folder, place.entrant, run)) for run in place.runs] for place in running]
    lowest = [y for of in curves for _, values in of for y in values]
    if not lowest:
        raise TruesparseError("no candidate has been evaluated yet; draw the race when one has")
    figure = new_figure((9.5, 5))
    axes = figure.subplots()
    for place, of in sorted(zip(running, curves, strict=True), key=lambda pair: pair[0].chosen):
        color, row = _COLORS[place.entrant.name], place.row
        style = _LOSER if not place.chosen else _CHOSEN if len(of) == 1 else _SEED
        lines = [axes.plot(*curve, color=color, **style)[0] for curve in of]
        if not place.chosen:
            continue
        label = f"{place.entrant.name}: {words(row.point)}" if row.point else place.entrant.name
        lines[0].set_label(drawable(label if len(of) == 1 else f"{label}, {len(of)} seeds"))
        if row.test is not None:
            label = f"its test perplexity {row.test.words('.1f')}"
            axes.axhline(row.test.mean, color=color, linestyle="--", linewidth=1, label=label)
    perplexity_scale(axes)
    tests = [place.row.test.mean for place in running if place.row.test is not None]
    ends = [
        values[-1]
        for place, of in zip(running, curves, strict=True)
        for _, values in of
        if place.chosen and values
    ]
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


def draw_budgets(path: Path, races: Mapping[float, Standings]) -> None:
    """Draw the test perplexity of the best candidate of each side against the minutes of training.

    Bars show the standard deviation over the seeds, if there are several.

    Parameters
    ----------
    path : Path
        The file to write; its ending says of what kind.
    races : mapping of float to Standings
        As `truesparse.bench.race.comparison.read_races` gives them.
    """
    from matplotlib.ticker import NullLocator

    figure = new_figure((7.5, 4.2))
    axes = figure.subplots()
    minutes = list(races)
    both = [standings.perplexities() for standings in races.values()]
    pairs = [found[1:] for found in both if found is not None]
    for number, side in enumerate(SIDES):
        tests, color = [pair[number] for pair in pairs], _COLORS[side]
        means, stds = [test.mean for test in tests], [test.std or math.nan for test in tests]
        axes.errorbar(minutes, means, stds, marker="o", markersize=4, capsize=3, color=color)
        for x, test, pair in zip(minutes, tests, pairs, strict=True):
            above, shown = test is max(pair, key=lambda of: of.mean), test.words(".1f")
            bar = test.std or 0.0
            aside = 1 if x == minutes[-1] else -1 if x == minutes[0] else 0  # where no line is
            axes.annotate(
                f"{_NAMES[side]}\n{shown}" if aside == 1 else shown,
                (x, test.mean if aside else test.mean + (bar if above else -bar)),
                xytext=(8 * aside, 5 if above else -5),
                textcoords="offset points",
                ha={1: "left", 0: "center", -1: "right"}[aside],
                va="bottom" if above else "top",
                color=color,
                fontsize=9,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5},
            )
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(minutes, [f"{x:g}" for x in minutes])
    perplexity_scale(axes)
    axes.margins(x=0.2, y=0.15)
    axes.set_xlabel("minutes of training for each candidate")
    axes.set_ylabel("test perplexity of the best")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    save(figure, path, 110)


def _curve(lane: Path) -> tuple[list[float], list[float]]:
    """Minutes, and the best perplexity up to then, of a run."""
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
