"""A study drawn, with matplotlib (the extra `plot`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from truesparse.errors import TruesparseError
from truesparse.study.plan import words
from truesparse.study.results import Row, Table, lower_is_better
from truesparse.training.pictures import drawable, new_figure, perplexity_scale, save
from truesparse.training.reporter import MEASURES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HIGHEST = 1.5  # times the best value of a curve
_WIDE = 10  # times the smallest value: from there on the scale is logarithmic


def draw_study(path: Path, table: Table) -> None:
    """Draw the validation measure over the first setting that is a number.

    Each value of the next setting is a curve, and each of those that are left a panel. Bars are standard
    deviations over the seeds.

    Parameters
    ----------
    path : Path
        The file to write; its ending says of what kind.
    table : Table

    Raises
    ------
    TruesparseError
        No setting varies, or no run has ended yet.
    """
    rows = [row for row in table.rows if row.valid is not None and math.isfinite(row.valid.mean)]
    if not rows:
        raise TruesparseError("no run of the study has ended yet; draw it when one has")
    names = list(rows[0].point)
    if not names:
        raise TruesparseError("a picture needs a setting that varies; give the study a [grid]")
    over = next((name for name in names if _is_number(rows[0].point[name])), names[0])
    curve, *others = [*(name for name in names if name != over), ""]
    titles = list(dict.fromkeys(_words(row, others) for row in rows))
    across = min(len(titles), 3)
    down = -(-len(titles) // across)
    figure = new_figure((1.5 + 4.5 * across, 0.5 + 3.8 * down))
    panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).flat
    curves = dict.fromkeys(_words(row, [curve]) for row in rows)
    colors = {name: f"C{number % 10}" for number, name in enumerate(curves)}
    for axes, title in zip(panels, titles, strict=False):
        own = [row for row in rows if _words(row, others) == title]
        axes.set_title(drawable(title), fontsize=10, parse_math=False)
        for name, color in colors.items():
            _curve(axes, [row for row in own if _words(row, [curve]) == name], over, drawable(name), color)
        axes.grid(alpha=0.3)
        axes.set_xlabel(over)
    for axes in list(panels)[len(titles) :]:
        axes.remove()
    _scales(figure.axes[0], rows, over, table.measure)
    if lower_is_better(table.measure):
        _cut(figure.axes[0], rows, [name for name in names if name != over])
    if any(colors):
        lines, labels = figure.axes[0].get_legend_handles_labels()
        legend = figure.legend(lines, labels, loc="outside right upper", fontsize=8)
        for text in legend.get_texts():
            text.set_parse_math(False)
    save(figure, path, 110)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _words(row: Row, names: Sequence[str]) -> str:
    return words({name: row.point[name] for name in names if name})


def _curve(axes: Axes, rows: Sequence[Row], over: str, label: str, color: str) -> None:
    points = [(row.point[over], row.valid) for row in rows if row.valid is not None]
    ordered = all(_is_number(x) for x, _ in points)
    if ordered:
        points.sort(key=lambda point: float(point[0]))
    else:
        axes.tick_params("x", rotation=40)
    above = [spread.std or 0.0 for _, spread in points]
    below = [min(std, spread.mean / 2) for std, (_, spread) in zip(above, points, strict=True)]
    axes.errorbar(
        [x if ordered else drawable(x) for x, _ in points],
        [spread.mean for _, spread in points],
        yerr=[below, above],
        marker="o",
        markersize=4,
        linestyle="-" if ordered else "",
        linewidth=1.2,
        capsize=3,
        color=color,
        label=label,
    )


def _cut(axes: Axes, rows: Sequence[Row], names: Sequence[str]) -> None:
    """Leave out what is much worse than the best point of the worst curve: there runs hardly learn."""
    best: dict[str, float] = {}
    worst = 0.0
    for row in rows:
        if row.valid is not None:
            curve, mean = _words(row, names), row.valid.mean
            best[curve] = min(best.get(curve, mean), mean)
            worst = max(worst, mean + (row.valid.std or 0.0))
    if worst > (top := _HIGHEST * max(best.values())):
        axes.set_ylim(0.95 * min(best.values()), top)


def _scales(axes: Axes, rows: Sequence[Row], over: str, measure: str) -> None:
    """Scales and the name of the measure, for all panels, which share them."""
    from matplotlib.ticker import NullFormatter

    values = sorted({row.point[over] for row in rows if _is_number(row.point[over])})
    if values and values[0] > 0 and values[-1] >= _WIDE * values[0]:
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xticks(values, [f"{value:g}" for value in values])
    means = [row.valid.mean for row in rows if row.valid is not None]
    if measure == "perplexity" and max(means) > 1.5 * min(means):
        perplexity_scale(axes)
    axes.set_ylabel(f"validation {MEASURES.get(measure, measure)}")
