"""Pictures of topologies over time, with matplotlib (the extra `plot`)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from truesparse.training.pictures import drawable, new_figure, perplexity_scale, save
from truesparse.training.reporter import MEASURES, common_measure
from truesparse.training.rundir import read_metrics
from truesparse.training.trajectory import Courses


def draw_courses(path: Path, courses: Courses) -> None:
    """Draw distances over the epochs, and below them what the runs were chosen by. A bold line is a distance,
    a faint one that of the units in the order they have.

    Parameters
    ----------
    path : Path
        The file to write; its ending says of what kind.
    courses : Courses
    """
    evaluations = {
        run: [record for record in read_metrics(run) if record["kind"] == "eval"] for run in courses.runs
    }
    measure = common_measure(curve[0] for curve in evaluations.values() if curve)
    figure = new_figure((8, 6.6 if measure else 4.4))
    panels = figure.subplots(2 if measure else 1, 1, sharex=True, squeeze=False)[:, 0]
    figure.suptitle(drawable(" and ".join(map(str, courses.runs))), fontsize=10, parse_math=False)
    for number, (name, course) in enumerate(courses.distances.items()):
        look: dict[str, Any] = {"color": f"C{number}"}
        distances, unmatched = zip(*course, strict=True)
        panels[0].plot(courses.epochs, distances, "o-", markersize=4, label=name, **look)
        panels[0].plot(courses.epochs, unmatched, "--", linewidth=0.8, alpha=0.6, **look)
    panels[0].plot([], [], "--", linewidth=0.8, color="gray", label="without matching units")
    panels[0].set_ylabel("topology distance")
    panels[0].set_ylim(0, 1)
    panels[0].legend(fontsize=8)
    if measure:
        for number, (run, curve) in enumerate(evaluations.items()):
            values = [math.nan if r[measure] is None else r[measure] for r in curve]
            look = {"color": f"C{number + len(courses.distances)}", "label": drawable(run.name).lstrip("_")}
            panels[1].plot([r["epoch"] for r in curve], values, "o-", markersize=4, **look)
        if measure == "perplexity":
            perplexity_scale(panels[1])
        panels[1].set_ylabel(f"validation {MEASURES[measure]}")
        for text in panels[1].legend(fontsize=8).get_texts():
            text.set_parse_math(False)
    panels[-1].set_xlabel("epoch")
    for axes in panels:
        axes.grid(alpha=0.3)
    save(figure, path, 110)
