"""Pictures of runs, with matplotlib (the extra `plot`)."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from truesparse.errors import TruesparseError, printable
from truesparse.files import replacing
from truesparse.training.reporter import MEASURES, Record, common_measure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HIGHEST = 2.5  # times the best perplexity: above it runs hardly differ


def draw_run(path: Path, run: Path, records: Sequence[Record]) -> None:
    """Draw perplexity, or loss and accuracy or F1; the density of gates; the share of positions used.

    Parameters
    ----------
    path : Path
        The file to write; its ending says of what kind.
    run : Path
        The folder of the run.
    records : sequence of mapping
        Its metrics.

    Raises
    ------
    TruesparseError
        Nothing is recorded yet.
    """
    traced = [record for record in records if record["kind"] != "end"]
    training = [record for record in traced if record["kind"] == "train"]
    evaluations = [record for record in traced if record["kind"] == "eval"]
    if not training:
        raise TruesparseError(f"{run} has recorded nothing yet; draw it when it has trained for longer")
    counted = [record for record in traced if "positions_used" in record]
    heights = (2, 1, 1) if counted else (2, 1)
    figure = new_figure((8, 2.2 * sum(heights)))
    panels = figure.subplots(len(heights), 1, height_ratios=heights, sharex=True)
    figure.suptitle(drawable(run), fontsize=10, parse_math=False)
    if "perplexity" in training[0] and not any(map(_finite_perplexity, training + evaluations)):
        _loss(panels[0], training, evaluations)  # the run went astray
    elif "perplexity" in training[0]:
        _perplexity(panels[0], training, evaluations)
    else:
        _share(panels[0], training, evaluations)
    _gates(panels[1], traced)
    if counted:
        panels[2].plot(_epochs(counted), [record["positions_used"] for record in counted], color="tab:purple")
        panels[2].set_ylabel("positions ever used")
        panels[2].set_ylim(0, 1)
    panels[-1].set_xlabel("epoch")
    for axes in panels:
        axes.grid(alpha=0.3)
    save(figure, path, 110)


def draw_runs(path: Path, runs: Mapping[Path, Sequence[Record]], against: str) -> None:
    """Draw the validation perplexity, accuracy or F1 of several runs, the best first.

    Parameters
    ----------
    path : Path
        The file to write; its ending says of what kind.
    runs : dict of Path to sequence of mapping
        The folder and the metrics of each run.
    against : {"epoch", "time"}
        What they are drawn over.

    Raises
    ------
    TruesparseError
        A run has not been evaluated yet, or some are language models and others are not.
    """
    curves = {
        run: [record for record in records if record["kind"] == "eval"] for run, records in runs.items()
    }
    for run, evaluations in curves.items():
        if not evaluations:
            raise TruesparseError(f"{run} has not been evaluated yet; draw it when it has trained for longer")
    measure = common_measure(curve[0] for curve in curves.values())
    if measure is None:
        raise TruesparseError("language models and classifiers have no measure in common; draw them apart")
    figure = new_figure((9.5, 5))
    axes = figure.subplots()
    share = measure != "perplexity"
    best = {
        run: (max(x[measure] for x in curve) if share else min(map(_perplexity_of, curve)))
        for run, curve in curves.items()
    }
    lines, labels = [], []
    for number, run in enumerate(sorted(curves, key=lambda run: best[run], reverse=share)):
        values = [math.nan if record[measure] is None else record[measure] for record in curves[run]]
        minutes = [record["seconds"] / 60 for record in curves[run]]
        x = minutes if against == "time" else _epochs(curves[run])
        labels.append(f"{drawable(run.name)}  {best[run]:{'.1%' if share else '.1f'}}")
        style = "-" if number < 10 else "--"  # there are ten colors
        lines += axes.plot(x, values, style, marker="o", markersize=3, linewidth=1.2)
    if not share:
        perplexity_scale(axes)
        if math.isfinite(top := _HIGHEST * min(best.values())):
            axes.set_ylim(top=top)
    axes.set_xlabel("minutes" if against == "time" else "epoch")
    axes.set_ylabel(f"validation {MEASURES[measure]}")
    axes.grid(alpha=0.3)
    legend = figure.legend(lines, [str(line) for line in lines], loc="outside right upper", fontsize=8)
    for text, label in zip(legend.get_texts(), labels, strict=True):
        text.set_text(label)  # now, since labels that begin with an underscore are left out
        text.set_parse_math(False)
    save(figure, path, 110)


def draw_distances(path: Path, names: Sequence[str], distances: np.ndarray) -> None:
    """Draw the distances of all pairs of models as a heat map.

    Parameters
    ----------
    path : Path
        The file to write; its ending says of what kind.
    names : sequence of str
        What the models are called.
    distances : ndarray of float64, shape (models, models)
        In [0, 1].
    """
    count = len(names)
    figure = new_figure((3.5 + 0.6 * count, 2.5 + 0.5 * count))
    axes = figure.subplots()
    image = axes.imshow(distances, cmap="viridis", vmin=0, vmax=1)
    for row, column in np.ndindex(count, count):
        color = "white" if distances[row, column] < 0.6 else "black"
        axes.text(
            column, row, f"{distances[row, column]:.2f}", ha="center", va="center", color=color, fontsize=8
        )
    names = [drawable(name) for name in names]
    axes.set_xticks(range(count), names, rotation=40, ha="right", rotation_mode="anchor", parse_math=False)
    axes.set_yticks(range(count), names, parse_math=False)
    figure.colorbar(image, label="topology distance")
    save(figure, path, 110)


def save(figure: Figure, path: Path, dpi: int) -> None:
    """Write a figure to a file, whole or not at all; the file's ending decides the format."""
    picture = io.BytesIO()
    figure.savefig(picture, format=path.suffix[1:].lower(), dpi=dpi)
    with replacing(path) as partial:
        partial.write_bytes(picture.getvalue())


def drawable(name: object) -> str:
    """A name as fonts can draw it: as on a terminal, and of one that is no UTF-8 the bytes escaped."""
    return printable(name).encode(errors="backslashreplace").decode()


def _perplexity_of(record: Record) -> float:
    """The perplexity of a record, which has none if it is infinite."""
    return math.inf if record["perplexity"] is None else float(record["perplexity"])


def _finite_perplexity(record: Record) -> bool:
    return record["perplexity"] is not None


def new_figure(size: tuple[float, float]) -> Figure:
    """An empty figure of a width and a height in inches."""
    from matplotlib.figure import Figure  # not pyplot: nothing looks for a screen

    return Figure(figsize=size, layout="constrained")


def perplexity_scale(axes: Axes) -> None:
    """Let the vertical axis be logarithmic, with numbers that people read."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 1.2, 1.5, 2, 3, 5, 7)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _perplexity(axes: Axes, training: Sequence[Record], evaluations: Sequence[Record]) -> None:
    axes.plot(*_series(training, "perplexity"), color="tab:gray", linewidth=0.7, label="training")
    axes.plot(*_series(evaluations, "perplexity"), "o-", color="tab:blue", markersize=4, label="validation")
    if any(map(_finite_perplexity, evaluations)):
        best = min(evaluations, key=_perplexity_of)
        axes.annotate(
            f"{best['perplexity']:.1f}",
            (best["epoch"], best["perplexity"]),
            textcoords="offset points",
            xytext=(0, 8),
            ha="center",
        )
    perplexity_scale(axes)
    axes.set_ylabel("perplexity")
    axes.legend()


def _loss(axes: Axes, training: Sequence[Record], evaluations: Sequence[Record]) -> None:
    """What is left to see of a language model whose perplexity was never finite."""
    axes.plot(*_series(training, "loss"), color="tab:gray", linewidth=0.7, label="training")
    axes.plot(*_series(evaluations, "loss"), "o-", color="tab:blue", markersize=4, label="validation")
    axes.set_yscale("log")
    axes.set_ylabel("loss (the perplexity is infinite)")
    axes.legend()


def _share(axes: Axes, training: Sequence[Record], evaluations: Sequence[Record]) -> None:
    measure = common_measure(evaluations[:1]) or "accuracy"
    word = MEASURES[measure]
    axes.plot(*_series(training, "loss"), color="tab:gray", linewidth=0.7, label="training loss")
    axes.plot(*_series(evaluations, "loss"), "o-", color="tab:orange", markersize=4, label="validation loss")
    axes.set_ylim(bottom=0)
    axes.set_ylabel("loss")
    other = axes.twinx()
    other.plot(
        *_series(evaluations, measure), "o-", color="tab:blue", markersize=4, label=f"validation {word}"
    )
    if evaluations:
        best = max(evaluations, key=lambda record: (record[measure], -record["loss"]))
        other.annotate(
            f"{best[measure]:.1%}",
            (best["epoch"], best[measure]),
            textcoords="offset points",
            xytext=(0, 8),
            ha="center",
        )
    other.set_ylabel(word)
    lines = axes.get_lines() + other.get_lines()
    axes.legend(lines, [str(line.get_label()) for line in lines])


def gate_densities(records: Sequence[Record]) -> dict[str, list[np.ndarray]]:
    """The density of each gate in each matrix that has it, shape (records,), by the name of the gate."""
    from truesparse.layers.registry import cells

    names = {
        (spec.NAME or spec.TYPE, len(own)): own
        for spec in cells().values()
        for own in (spec.GATES, spec.MASTERS)
    }
    gates: dict[str, list[np.ndarray]] = {}
    for matrix in records[0]["density_per_gate"]:
        densities = np.array([record["density_per_gate"][matrix] for record in records]).T
        unnamed = tuple(f"gate {n}" for n, _ in enumerate(densities))
        own = names.get((matrix.partition(".")[0], len(densities)), unnamed)
        for gate, density in zip(own, densities, strict=True):
            gates.setdefault(gate, []).append(density)
    return gates


def _gates(axes: Axes, records: Sequence[Record]) -> None:
    """A bold line for the mean of a gate's matrices, and a faint one for each of them."""
    epochs = _epochs(records)
    gates = gate_densities(records)
    for number, (gate, of_matrices) in enumerate(gates.items()):
        color = f"C{number}"
        axes.plot(epochs, np.transpose(of_matrices), color=color, linewidth=0.6, alpha=0.4)
        axes.plot(epochs, np.mean(of_matrices, axis=0), color=color, linewidth=2, label=gate)
    axes.set_ylabel("density of the gates")
    axes.legend(ncols=len(gates))


def _series(records: Sequence[Record], key: str) -> tuple[list[float], list[Any]]:
    return _epochs(records), [math.nan if record[key] is None else record[key] for record in records]


def _epochs(records: Sequence[Mapping[str, Any]]) -> list[float]:
    return [record["epoch"] for record in records]
