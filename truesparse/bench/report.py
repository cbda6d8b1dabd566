"""Reports: tables for the terminal, sentences beneath them, and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.table import Table

from truesparse.bench.contest import LABELS, title
from truesparse.bench.environment import Record
from truesparse.bench.scale_report import scale_lines, scale_tables
from truesparse.bench.sweep import rivals
from truesparse.bench.tables import (
    MISSING,
    add_columns,
    as_many_times,
    in_megabytes,
    new_table,
    quartile_range,
    three_digits,
    two_places,
)
from truesparse.files import replacing
from truesparse.training.environment import machine_of

_WORST = 15  # sizes that are printed
_VERSIONS = ("truesparse", "python", "numpy", "numba", "scipy")


def write_json(path: Path, records: Sequence[Record]) -> None:
    """Write records as a JSON list, one a line."""
    lines = ",\n".join(json.dumps(record) for record in records)
    with replacing(path) as partial:
        partial.write_text(f"[\n{lines}\n]\n", encoding="utf-8", newline="\n")


def environment_lines(record: Record) -> list[str]:
    """Say what a record was measured on."""
    where = record["environment"]
    versions = [f"{name} {where[name]}" for name in _VERSIONS]
    if "torch_onednn" in where and "baselines" not in record:
        onednn = "with" if where["torch_onednn"] else "without"
        versions.append(f"torch {where['torch']} ({onednn} oneDNN)")
    elif "torch" in where:
        versions.append(f"torch {where['torch']}")
    further = ("keras", "tensorflow", "jax", "sparselab", "sparseprop")
    versions += [f"{name} {where[name]}" for name in further if name in where]
    if "numpy_blas" in where:
        versions.append(f"BLAS {where['numpy_blas']}")
    layer = f" ({where['threading_layer']})" if "threading_layer" in where else ""
    return [
        f"{machine_of(where)}; at most {where['threads']} threads a side{layer};"
        f" medians of {where['repeats']} turns each, taken in turn",
        ", ".join(versions),
    ]


def step_tables(records: Sequence[Record]) -> list[Table]:
    """Return time and memory of every side by density, and what else there is to say about ours."""
    sides = new_table("Training step", ["density", "side", "ms", "quartiles", "threads", "ratio", "MB"])
    mine = new_table("truesparse", ["density", "sparsity", "weights", "bytes a weight", "tokens/s", "GF/s"])
    add_columns(mine, ["of ideal", "memory"])
    for record in records:
        density = f"{record['density']:g}"
        _sides(sides, density, record, "ms", lambda of: [in_megabytes(of["peak_bytes"])])
        mine.add_row(
            density,
            f"{100 * (1 - record['density']):.4g} %",
            f"{record['nnz']:,}",
            f"{record['bytes_per_nonzero']:.1f}",
            f"{record['tokens_per_second']:,.0f}",
            three_digits(record["gflops"]),
            two_places(record["fraction_of_ideal"]),
            two_places(record["memory_ratio"]),
        )
    return [sides, mine]


def step_lines(records: Sequence[Record]) -> list[str]:
    """Name the sizes, and what a column is."""
    sizes = records[0]["sizes"]
    head = "" if sizes["kind"] == "lm" else f", the last state to {sizes['classes']} classes"
    return [
        f"{sizes['layers']} × {sizes['hidden_size']} LSTM{head}, vocabulary {sizes['vocab_size']:,}, batch"
        f" {sizes['batch_size']}, {sizes['bptt']} steps; forward, backward, clip, momentum SGD; threads: one"
        " where that is faster; MB: of memory, above that of the libraries; of ideal: ratio × density beside"
        " masked PyTorch, or else NumPy; memory: truesparse's by theirs",
        *_about_baselines(records),
    ]


def rows_lines(records: Sequence[Record]) -> list[str]:
    """Name the sizes."""
    sizes = records[0]["sizes"]
    return [
        f"{sizes['features']}-{sizes['hidden_sizes'].replace(',', '-')}-{sizes['classes']} with ReLU, batch"
        f" {sizes['batch_size']}, output layer dense; forward, backward, clip, momentum SGD; threads: one"
        " where that is faster",
        *_about_baselines(records),
    ]


def epoch_tables(records: Sequence[Record]) -> list[Table]:
    """Return the time of an epoch on every side."""
    table = new_table(
        "Epoch of training", ["weights", "side", "s", "quartiles", "threads", "ratio", "texts/s"]
    )
    for record in records:
        texts: int = record["texts"]
        speeds = partial(lambda texts, of: [f"{texts / of['seconds']:,.0f}"], texts)
        _sides(table, f"{record['nnz']:,}", record, "seconds", speeds)
    return [table]


def epoch_lines(records: Sequence[Record]) -> list[str]:
    """Name the sizes."""
    record = records[0]
    config = record["config"]
    return [
        f"{config['layers']} × {config['hidden_size']} LSTM, {record['texts']:,} texts of"
        f" {record['tokens'] / record['texts']:.0f} words on average, at most {config['length']}, batch"
        f" {config['batch_size']}, sparsity {100 * (1 - record['density']):.4g} %; forward, backward, clip,"
        " Adam, and ours with the update of the topology",
        *_about_baselines(records),
    ]


def _sides(
    table: Table, case: str, record: Record, unit: str, more: Callable[[Record], Sequence[str]]
) -> None:
    """A line for truesparse and for each baseline, the fastest first, and for those that are missing."""
    ours = {name: record[f"ours_{name}"] for name in (unit, f"quartiles_{unit}", "threads")}
    ours |= {"quartiles": ours[f"quartiles_{unit}"], "peak_bytes": record.get("ours_peak_bytes")}
    for name, of in {"ours": ours, **record["baselines"]}.items():
        times = as_many_times(of.get("ratio")) if name != "ours" else ""
        row = [
            case,
            title(name),
            three_digits(of[unit]),
            quartile_range(of["quartiles"]),
            str(of["threads"]),
            times,
        ]
        table.add_row(*row, *more(of))
        case = ""
    for name in record["unavailable"]:
        table.add_row("", title(name), "not available")


def _about_baselines(records: Sequence[Record]) -> list[str]:
    """What the baselines have in common that a reader should know."""
    rows = {name: of for record in records for name, of in record["baselines"].items()}
    lines = []
    onednn = [title(name) for name, of in rows.items() if of.get("torch_onednn")]
    if onednn:
        lines.append(f"with oneDNN, which was faster: {', '.join(onednn)}")
    software = [title(name) for name, of in rows.items() if of.get("bfloat16") == "software"]
    if software:
        lines.append(
            f"{', '.join(software)}: this processor does not multiply bfloat16, PyTorch converts in software"
        )
    return lines


def kernel_tables(records: Sequence[Record]) -> list[Table]:
    """Return one table for each product and shape, microseconds of each side."""
    sides = list(dict.fromkeys(name for record in records for name in record["microseconds"]))
    others = [name for name in sides if name != "ours"]
    tables: dict[tuple[str, int, int], Table] = {}
    for record in records:
        key = record["product"], record["rows"], record["columns"]
        if key not in tables:
            tables[key] = new_table(
                f"{key[0]}, {key[1]} × {key[2]}",
                ["lanes", "density", "truesparse µs", "GF/s", "roof", "of roof"]
                + [heading for name in others for heading in (f"{LABELS[name]} µs", "ratio")],
            )
        cells = []
        for name in others:
            timing = record["microseconds"].get(name)
            cells += [three_digits(timing and timing["median"]), as_many_times(record["ratio"].get(name))]
        tables[key].add_row(
            str(record["lanes"]),
            f"{record['density']:g}",
            three_digits(record["ours_us"]),
            three_digits(record["gflops"]),
            record["roof"],
            two_places(record["fraction_of_roof"]),
            *cells,
        )
    return list(tables.values())


def kernel_lines(records: Sequence[Record]) -> list[str]:
    """Name the roofs, and the threads of every side."""
    roofs = records[0]["roofs"]
    speeds = [f"{level} {speed / 1e9:.0f} GB/s" for level, speed in roofs["bytes_per_second"].items()]
    return [
        f"roofs with {roofs['threads']} threads: multiply-add {roofs['flops'] / 1e9:.0f} GF/s, reading from "
        + ", ".join(speeds),
        "threads: " + ", ".join(f"{LABELS[name]} {count}" for name, count in records[0]["threads"].items()),
    ]


def sweep_tables(records: Sequence[Record]) -> list[Table]:
    """Return the map: how many times as fast as dense, by size and density."""
    densities = list(dict.fromkeys(record["density"] for record in records))
    columns = [f"density {density:g}" for density in densities]
    table = new_table(
        "Times as fast as dense; below 1 dense wins",
        ["hidden size", "batch", *columns, "crossover at density", "fastest dense"],
    )
    rows: dict[tuple[int, int], dict[float, Record]] = {}
    for record in records:
        rows.setdefault((record["hidden_size"], record["batch_size"]), {})[record["density"]] = record
    for (hidden, batch), cells in rows.items():
        ratios = [cells[density]["ratio"] for density in densities]
        table.add_row(
            str(hidden),
            str(batch),
            *(as_many_times(ratio, bold_below_one=True) for ratio in ratios),
            _crossover(cells[densities[0]]["crossover"], ratios),
            LABELS.get(cells[densities[0]]["baseline"], MISSING),
        )
    return [table]


def sweep_lines(records: Sequence[Record]) -> list[str]:
    """Name what dense is, and the cases in which one thread was chosen."""
    sizes = records[0]["sizes"]
    lines = [
        f"training steps of a {sizes['layers']}-layer LSTM language model, vocabulary"
        f" {sizes['vocab_size']:,}, {sizes['bptt']} steps, against {rivals(records)}"
    ]
    for record in records:
        for side in ("ours", "dense"):
            most, threads = record["environment"]["threads"], record[f"{side}_threads"]
            if threads is not None and threads < most:
                name = "truesparse" if side == "ours" else LABELS[record["baseline"]]
                at = f" at hidden size {record['hidden_size']}, batch {record['batch_size']}"
                at += f", density {record['density']:g}" if side == "ours" else ""
                lines.append(f"{name} ran on {threads} of {most} threads{at}")
    return list(dict.fromkeys(lines))


def cliff_tables(records: Sequence[Record]) -> list[Table]:
    """Return the sizes at which truesparse is slowest beside a plainer way."""
    table = new_table("The worst sizes; above 1.10 a cliff", ["hidden size", "batch", "density", "pattern"])
    add_columns(table, ["groups of", "ms", "threads", "plainer", "ms", "threads", "ratio"])
    for record in sorted(records, key=lambda record: -record["slowdown"])[:_WORST]:
        sizes, rivals = record["sizes"], record["rivals"]
        name = max(rivals, key=lambda name: rivals[name]["ratio"])
        table.add_row(
            *(str(sizes[field]) for field in ("hidden_size", "batch_size")),
            f"{sizes['density']:g}",
            *(str(sizes[field]) for field in ("pattern", "output_group")),
            three_digits(record["ours_ms"]),
            str(record["ours_threads"]),
            name,
            three_digits(rivals[name]["ms"]),
            str(rivals[name]["threads"]),
            as_many_times(rivals[name]["ratio"]),
        )
    return [table]


def cliff_lines(records: Sequence[Record]) -> list[str]:
    """Count the cliffs."""
    sizes = records[0]["sizes"]
    cliffs = sum(record["cliff"] for record in records)
    return [
        f"{cliffs} of {len(records)} sizes are slower than a plainer way by more than 10 %",
        f"training steps of a {sizes['layers']}-layer LSTM language model, vocabulary"
        f" {sizes['vocab_size']:,}, in windows of {sizes['bptt']}; plainer: products without tiles, for a"
        " pattern of units one of weights, for groups of words none",
    ]


def inference_tables(records: Sequence[Record]) -> list[Table]:
    """Return latency and throughput by density and batch."""
    names = [name for name in ("torch", "numpy") if any(record[f"masked_{name}_ms"] for record in records)]
    table = new_table("Inference, a token of every sequence at a time", ["density", "batch", "truesparse ms"])
    add_columns(table, ["threads", "tokens/s"])
    add_columns(table, [f"{LABELS[name]} ms" for name in ("runtime", "c")])
    for name in names:
        add_columns(table, [f"dense {LABELS[name]} ms", "threads", "tokens/s", "ratio"])
    for record in records:
        cells = [three_digits(record["runtime_ms"]), three_digits(record["c_ms"])]
        for name in names:
            speed = record[f"masked_{name}_tokens_per_second"]
            cells += [
                three_digits(record[f"masked_{name}_ms"]),
                str(record[f"masked_{name}_threads"] or MISSING),
                MISSING if speed is None else f"{speed:,.0f}",
                as_many_times(record[f"ratio_{name}"]),
            ]
        table.add_row(
            f"{record['density']:g}",
            str(record["batch_size"]),
            three_digits(record["ours_ms"]),
            str(record["ours_threads"]),
            f"{record['tokens_per_second']:,.0f}",
            *cells,
        )
    return [table]


def inference_lines(records: Sequence[Record]) -> list[str]:
    """Name the sizes, and how fast the model is elsewhere."""
    sizes = records[0]["sizes"]
    lines = [f"{sizes['layers']} × {sizes['hidden_size']} LSTM, vocabulary {sizes['vocab_size']:,}"]
    lines += [
        f"{LABELS[side]} (1 thread) is {as_many_times(ratio)} as fast as dense {LABELS[name]}"
        f" at density {record['density']:g}, batch {record['batch_size']}"
        for record in records
        for side in ("runtime", "c")
        for name in ("torch", "numpy")
        if (ratio := record[f"{side}_ratio_{name}"]) is not None
    ]
    return lines


def others_win(kind: str, records: Sequence[Record]) -> list[str]:
    """A sentence for each case in which another library is faster: a report begins with them."""
    return [
        f"{LABELS[name]} is faster at {case}: truesparse runs at {ratio:.2f} times its speed"
        for record in records
        for case, ratios in [_CASES[kind](record)]
        for name, ratio in ratios.items()
        if ratio is not None and ratio < 1
    ]


def _ratios(record: Record) -> dict[str, float]:
    return {name: of["ratio"] for name, of in record["baselines"].items()}


# What a record of each benchmark is about, and how many times as long each other side takes.
_CASES: dict[str, Callable[[Record], tuple[str, dict[str, Any]]]] = {
    "step": lambda record: (f"density {record['density']:g}", _ratios(record)),
    "rows": lambda record: (f"density {record['density']:g}", _ratios(record)),
    "epoch": lambda record: ("an epoch of these texts", _ratios(record)),
    "kernel": lambda record: (
        f"{record['product']}, {record['rows']} × {record['columns']}, density {record['density']:g},"
        f" {record['lanes']} lanes",
        record["ratio"],
    ),
    "sweep": lambda record: ("", {}),  # its table says nothing else
    "cliffs": lambda record: ("", {}),
    "scale": lambda record: ("", {}),
    "inference": lambda record: (
        f"density {record['density']:g}, batch {record['batch_size']}",
        {name: record[f"ratio_{name}"] for name in ("torch", "numpy")},
    ),
}


def _crossover(density: float | None, ratios: Sequence[float | None]) -> str:
    if density is not None:
        return f"{density:.2g}"
    known = [ratio for ratio in ratios if ratio is not None]
    if not known:
        return MISSING
    return "sparse always wins" if min(known) >= 1 else "dense always wins"


# What prints the records of a benchmark: its tables, and its sentences.
REPORTS = {
    "step": (step_tables, step_lines),
    "rows": (step_tables, rows_lines),
    "epoch": (epoch_tables, epoch_lines),
    "kernel": (kernel_tables, kernel_lines),
    "sweep": (sweep_tables, sweep_lines),
    "cliffs": (cliff_tables, cliff_lines),
    "inference": (inference_tables, inference_lines),
    "scale": (scale_tables, scale_lines),
}
