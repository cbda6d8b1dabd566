"""Pictures of reports, with matplotlib (the extra `plot`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, StrMethodFormatter

from truesparse.bench.contest import LABELS, title
from truesparse.bench.environment import Record
from truesparse.bench.network import MODELLED
from truesparse.bench.sweep import rivals
from truesparse.training.environment import processor_of
from truesparse.training.pictures import save

_COLORS = {"ours": "C0", "torch": "C1", "numpy": "C2", "runtime": "C3", "c": "C4"}
_COLORS |= {"torch-bf16": "C5", "torch-compile": "C6", "torch-dense": "C8", "torch-dense-bf16": "C9"}
_COLORS |= {"numpy-dense": "C3"}


def plot_step(path: Path, records: Sequence[Record]) -> None:
    """Draw time against density with the ideal line, and memory against density."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    time, memory = figure.subplots(1, 2)
    density = [record["density"] for record in records]
    best = next((name for name in ("torch", "numpy") if records[0][f"masked_{name}_ms"]), None)
    _line(time, density, [record["ours_ms"] for record in records], "ours", "truesparse")
    _line(memory, density, [_mega(record["ours_peak_bytes"]) for record in records], "ours", "truesparse")
    for name in dict.fromkeys(name for record in records for name in record["baselines"]):
        rows = [record["baselines"].get(name) for record in records]
        _line(time, density, [row and row["ms"] for row in rows], name, title(name))
        _line(memory, density, [row and _mega(row["peak_bytes"]) for row in rows], name, title(name))
    if best is not None:
        ideal = [
            record["density"] * record[f"masked_{best}_ms"] if record[f"masked_{best}_ms"] else None
            for record in records
        ]
        _line(time, density, ideal, "", f"ideal: density × masked {LABELS[best]}", linestyle="--", marker="")
    _axes(time, "density", "ms a training step")
    _axes(memory, "density", "MB of memory")
    _save(figure, path, records)


def plot_kernels(path: Path, records: Sequence[Record]) -> None:
    """Draw for each product and shape the speed on nonzeros against density, by number of lanes."""
    keys = list(dict.fromkeys((record["product"], record["rows"], record["columns"]) for record in records))
    shapes = list(dict.fromkeys(key[1:] for key in keys))
    products = list(dict.fromkeys(key[0] for key in keys))
    figure = Figure(figsize=(4 * len(products), 3.5 * len(shapes)), layout="constrained")
    grid = figure.subplots(len(shapes), len(products), squeeze=False)
    for row, shape in enumerate(shapes):
        for column, product in enumerate(products):
            axes = grid[row][column]
            here = [
                record
                for record in records
                if (record["product"], record["rows"], record["columns"]) == (product, *shape)
            ]
            for lanes in dict.fromkeys(record["lanes"] for record in here):
                points = [record for record in here if record["lanes"] == lanes]
                density = [record["density"] for record in points]
                axes.plot(
                    density, [record["gflops"] for record in points], marker="o", label=f"{lanes} lanes"
                )
            axes.set_title(f"{product}, {shape[0]} × {shape[1]}")
            _axes(axes, "density", "GF/s on nonzeros", logarithmic_y=False)
    _save(figure, path, records)


def plot_sweep(path: Path, records: Sequence[Record]) -> None:
    """Draw the crossover map: how many times as fast as dense, by density and size."""
    densities = list(dict.fromkeys(record["density"] for record in records))
    sizes = list(dict.fromkeys((record["hidden_size"], record["batch_size"]) for record in records))
    ratios = np.full((len(sizes), len(densities)), np.nan)
    for record in records:
        if record["ratio"] is not None:
            place = (
                sizes.index((record["hidden_size"], record["batch_size"])),
                densities.index(record["density"]),
            )
            ratios[place] = record["ratio"]
    figure = Figure(figsize=(4 + 0.8 * len(densities), 2 + 0.4 * len(sizes)), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(np.log2(ratios), cmap="RdBu", vmin=-4, vmax=4, aspect="auto")
    for row, column in np.ndindex(*ratios.shape):
        ratio = ratios[row, column]
        if np.isfinite(ratio):
            color = "white" if abs(np.log2(ratio)) > 2.5 else "black"
            axes.text(column, row, f"{ratio:.3g}×", ha="center", va="center", fontsize=8, color=color)
    axes.set_xticks(range(len(densities)), [f"{density:g}" for density in densities])
    axes.set_yticks(range(len(sizes)), [f"hidden {hidden}, batch {batch}" for hidden, batch in sizes])
    axes.set_xlabel("density")
    axes.set_title(f"speed over {rivals(records)}", fontsize=9)
    figure.colorbar(image, label="log2: red where dense wins")
    _save(figure, path, records)


def plot_inference(path: Path, records: Sequence[Record]) -> None:
    """Draw for each batch the latency of a token against density."""
    batches = list(dict.fromkeys(record["batch_size"] for record in records))
    figure = Figure(figsize=(4 * len(batches), 4), layout="constrained")
    for axes, batch in zip(figure.subplots(1, len(batches), squeeze=False)[0], batches, strict=True):
        here = [record for record in records if record["batch_size"] == batch]
        density = [record["density"] for record in here]
        _line(axes, density, [record["ours_ms"] for record in here], "ours", "truesparse")
        for name in ("runtime", "c"):
            _line(axes, density, [record[f"{name}_ms"] for record in here], name, LABELS[name])
        for name in ("torch", "numpy"):
            _line(
                axes, density, [record[f"masked_{name}_ms"] for record in here], name, f"dense {LABELS[name]}"
            )
        axes.set_title(f"batch {batch}")
        _axes(axes, "density", "ms a token")
    _save(figure, path, records)


def plot_scale(path: Path, records: Sequence[Record]) -> None:
    """Draw for each density the modelled efficiency against ranks, by network and way to train."""
    ones = [record for record in records if "modelled" in record]
    figure = Figure(figsize=(5 * len(ones), 4.5), layout="constrained")
    parts = figure.subplots(1, len(ones), squeeze=False)[0]
    for axes, one in zip(parts, ones, strict=True):
        for color, (network, ways) in enumerate(one["modelled"].items()):
            for line, (way, values) in zip(("-", "--", ":"), ways.items(), strict=True):
                axes.plot(MODELLED, values, line, color=f"C{color}", marker=".", label=f"{network}, {way}")
        axes.set_title(f"density {one['density']:g}, bf16, machines {one['machine_speed']} times as fast")
        _axes(axes, "ranks, a machine each", "modelled efficiency", logarithmic_y=False)
        axes.set_xticks(MODELLED)
        axes.set_xticks([], minor=True)
        axes.get_legend().remove()
    figure.legend(*parts[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    _save(figure, path, records)


def _line(
    axes: Any,
    x: Sequence[float],
    y: Sequence[float | None],
    name: str,
    label: str,
    linestyle: str = "-",
    marker: str = "o",
) -> None:
    """A line through what was measured, if anything was."""
    values = [np.nan if value is None else value for value in y]
    if np.isfinite(values).any():
        axes.plot(x, values, label=label, color=_COLORS.get(name, "gray"), linestyle=linestyle, marker=marker)


def _axes(axes: Any, x: str, y: str, logarithmic_y: bool = True) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log" if logarithmic_y else "linear")
    for axis in (axes.xaxis, axes.yaxis) if logarithmic_y else (axes.xaxis,):
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(LogFormatter(labelOnlyBase=False, minor_thresholds=(1, 0.5)))
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(True, which="both", alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8)


def _mega(value: int | None) -> float | None:
    return value / 1e6 if value else None  # a logarithmic axis has no 0


def _save(figure: Figure, path: Path, records: Sequence[Record]) -> None:
    where = records[0]["environment"]
    figure.suptitle(
        f"{processor_of(where)}, {where['threads']} threads, truesparse {where['truesparse']}", fontsize=9
    )
    save(figure, path, 150)


PLOTS = {
    "step": plot_step,
    "kernel": plot_kernels,
    "sweep": plot_sweep,
    "inference": plot_inference,
    "scale": plot_scale,
}
