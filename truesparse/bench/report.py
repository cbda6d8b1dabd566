"""Reports: tables for the terminal, sentences beneath them, and JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from truesparse.bench.contest import LABELS
from truesparse.bench.environment import Record
from truesparse.modelfile.files import replacing

MISSING = "–"
_VERSIONS = ("truesparse", "python", "numpy", "numba", "scipy")


def write_json(path: Path, records: Sequence[Record]) -> None:
    """Write records as a JSON list, one a line."""
    lines = ",\n".join(json.dumps(record) for record in records)
    with replacing(path) as partial:
        partial.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def environment_lines(record: Record) -> list[str]:
    """Say what a record was measured on."""
    where = record["environment"]
    versions = [f"{name} {where[name]}" for name in _VERSIONS]
    if "torch_onednn" in where:
        onednn = "with" if where["torch_onednn"] else "without"
        versions.append(f"torch {where['torch']} ({onednn} oneDNN)")
    elif "torch" in where:
        versions.append(f"torch {where['torch']}")
    versions += [f"{name} {where[name]}" for name in ("sparselab", "sparseprop") if name in where]
    if "numpy_blas" in where:
        versions.append(f"BLAS {where['numpy_blas']}")
    layer = f" ({where['threading_layer']})" if "threading_layer" in where else ""
    return [
        f"{where['cpu']}, {where['cores']} cores; every side with {where['threads']} threads{layer};"
        f" medians of {where['repeats']} turns each, taken in turn",
        ", ".join(versions),
    ]


def step_tables(records: Sequence[Record]) -> list[Table]:
    """Return time, and memory, of training steps by density."""
    names = [name for name in ("torch", "numpy") if any(record[f"masked_{name}_ms"] for record in records)]
    time = _table("Training step", ["density", "sparsity", "truesparse ms", "quartiles", "threads"])
    for name in names:
        _columns(time, [f"masked {LABELS[name]} ms", "quartiles", "ratio"])
    _columns(time, ["of ideal", "tokens/s", "GF/s"])
    memory = _table(
        "Memory of training, above that of the libraries",
        ["density", "truesparse MB", *(f"masked {LABELS[name]} MB" for name in names)],
    )
    _columns(memory, ["ratio", "weights", "bytes a weight"])
    for record in records:
        density, sparsity = f"{record['density']:g}", f"{100 * (1 - record['density']):.4g} %"
        row = [density, sparsity, _number(record["ours_ms"]), _range(record["ours_quartiles_ms"])]
        row.append(str(record["ours_threads"]))
        for name in names:
            row += [
                _number(record[f"masked_{name}_ms"]),
                _range(record.get(f"masked_{name}_quartiles_ms")),
                _times(record[f"ratio_{name}"]),
            ]
        time.add_row(
            *row,
            _share(record["fraction_of_ideal"]),
            f"{record['tokens_per_second']:,.0f}",
            _number(record["gflops"]),
        )
        memory.add_row(
            density,
            _megabytes(record["ours_peak_bytes"]),
            *(_megabytes(record[f"masked_{name}_peak_bytes"]) for name in names),
            _share(record["memory_ratio"]),
            f"{record['nnz']:,}",
            f"{record['bytes_per_nonzero']:.1f}",
        )
    return [time, memory]


def step_lines(records: Sequence[Record]) -> list[str]:
    """Name the sizes, and the cases in which dense is faster."""
    sizes = records[0]["sizes"]
    head = "" if sizes["kind"] == "lm" else f", the last state to {sizes['classes']} classes"
    lines = [
        f"{sizes['layers']} × {sizes['hidden_size']} LSTM{head}, vocabulary {sizes['vocab_size']:,}, batch"
        f" {sizes['batch_size']}, {sizes['bptt']} steps; forward, backward, clip, momentum SGD; threads:"
        " those of truesparse, one where that is faster; of ideal: ratio × density"
    ]
    return lines + _dense_wins(
        (f"density {record['density']:g}", name, record[f"ratio_{name}"])
        for record in records
        for name in ("torch", "numpy")
    )


def epoch_tables(records: Sequence[Record]) -> list[Table]:
    """Return the time of an epoch."""
    table = _table("Epoch of training", ["weights", "sparsity", "truesparse s", "quartiles", "threads"])
    _columns(table, ["masked PyTorch s", "quartiles", "ratio", "texts/s"])
    for record in records:
        table.add_row(
            f"{record['nnz']:,}",
            f"{100 * (1 - record['density']):.4g} %",
            _number(record["ours_seconds"]),
            _range(record["ours_quartiles_seconds"]),
            str(record["ours_threads"]),
            _number(record["masked_torch_seconds"]),
            _range(record["masked_torch_quartiles_seconds"]),
            _times(record["ratio_torch"]),
            f"{record['texts_per_second']:,.0f}",
        )
    return [table]


def epoch_lines(records: Sequence[Record]) -> list[str]:
    """Name the sizes, and that dense is faster if it is."""
    record = records[0]
    config = record["config"]
    lines = [
        f"{config['layers']} × {config['hidden_size']} LSTM, {record['texts']:,} texts of"
        f" {record['tokens'] / record['texts']:.0f} words on average, at most {config['length']}, batch"
        f" {config['batch_size']}; forward, backward, clip, Adam, and ours with the update of the topology"
    ]
    return lines + _dense_wins([("an epoch of these texts", "torch", record["ratio_torch"])])


def kernel_tables(records: Sequence[Record]) -> list[Table]:
    """Return one table for each product and shape, microseconds of each side."""
    sides = list(dict.fromkeys(name for record in records for name in record["microseconds"]))
    others = [name for name in sides if name != "ours"]
    tables: dict[tuple[str, int, int], Table] = {}
    for record in records:
        key = record["product"], record["rows"], record["columns"]
        if key not in tables:
            tables[key] = _table(
                f"{key[0]}, {key[1]} × {key[2]}",
                ["lanes", "density", "truesparse µs", "GF/s", "roof", "of roof"]
                + [heading for name in others for heading in (f"{LABELS[name]} µs", "ratio")],
            )
        cells = []
        for name in others:
            timing = record["microseconds"].get(name)
            cells += [_number(timing and timing["median"]), _times(record["ratio"].get(name))]
        tables[key].add_row(
            str(record["lanes"]),
            f"{record['density']:g}",
            _number(record["ours_us"]),
            _number(record["gflops"]),
            record["roof"],
            _share(record["fraction_of_roof"]),
            *cells,
        )
    return list(tables.values())


def kernel_lines(records: Sequence[Record]) -> list[str]:
    """Name the roofs, and the cases in which another library is faster."""
    roofs = records[0]["roofs"]
    speeds = [f"{level} {speed / 1e9:.0f} GB/s" for level, speed in roofs["bytes_per_second"].items()]
    lines = [
        f"roofs with {roofs['threads']} threads: multiply-add {roofs['flops'] / 1e9:.0f} GF/s, reading from "
        + ", ".join(speeds)
    ]
    return lines + _dense_wins(
        (
            f"{record['product']}, {record['rows']} × {record['columns']}, density {record['density']:g},"
            f" {record['lanes']} lanes",
            name,
            ratio,
        )
        for record in records
        for name, ratio in record["ratio"].items()
    )


def sweep_tables(records: Sequence[Record]) -> list[Table]:
    """Return the map: how many times as fast as dense, by size and density."""
    densities = list(dict.fromkeys(record["density"] for record in records))
    table = _table(
        "Times as fast as dense; below 1 dense wins",
        ["hidden size", "batch", *(f"density {density:g}" for density in densities), "crossover at density"],
    )
    rows: dict[tuple[int, int], dict[float, Record]] = {}
    for record in records:
        rows.setdefault((record["hidden_size"], record["batch_size"]), {})[record["density"]] = record
    for (hidden, batch), cells in rows.items():
        ratios = [cells[density]["ratio"] for density in densities]
        table.add_row(
            str(hidden),
            str(batch),
            *(_times(ratio, bold_below_one=True) for ratio in ratios),
            _crossover(cells[densities[0]]["crossover"], ratios),
        )
    return [table]


def sweep_lines(records: Sequence[Record]) -> list[str]:
    """Name what dense is, and the cases in which one thread was chosen."""
    sizes = records[0]["sizes"]
    lines = [
        f"training steps of a {sizes['layers']}-layer LSTM language model, vocabulary"
        f" {sizes['vocab_size']:,}, {sizes['bptt']} steps, against dense {LABELS[records[0]['baseline']]}"
        " without masks"
    ]
    return lines + [
        f"truesparse ran on {record['ours_threads']} of {record['environment']['threads']} threads at hidden"
        f" size {record['hidden_size']}, batch {record['batch_size']}, density {record['density']:g}"
        for record in records
        if record["ours_threads"] < record["environment"]["threads"]
    ]


def inference_tables(records: Sequence[Record]) -> list[Table]:
    """Return latency and throughput by density and batch."""
    names = [name for name in ("torch", "numpy") if any(record[f"masked_{name}_ms"] for record in records)]
    table = _table("Inference, a token of every sequence at a time", ["density", "batch", "truesparse ms"])
    _columns(table, ["threads", "tokens/s"])
    _columns(table, [f"{LABELS[name]} ms" for name in ("runtime", "c")])
    for name in names:
        _columns(table, [f"dense {LABELS[name]} ms", "tokens/s", "ratio"])
    for record in records:
        cells = [_number(record["runtime_ms"]), _number(record["c_ms"])]
        for name in names:
            speed = record[f"masked_{name}_tokens_per_second"]
            cells += [
                _number(record[f"masked_{name}_ms"]),
                MISSING if speed is None else f"{speed:,.0f}",
                _times(record[f"ratio_{name}"]),
            ]
        table.add_row(
            f"{record['density']:g}",
            str(record["batch_size"]),
            _number(record["ours_ms"]),
            str(record["ours_threads"]),
            f"{record['tokens_per_second']:,.0f}",
            *cells,
        )
    return [table]


def inference_lines(records: Sequence[Record]) -> list[str]:
    """Name the sizes, and the cases in which dense is faster."""
    sizes = records[0]["sizes"]
    lines = [f"{sizes['layers']} × {sizes['hidden_size']} LSTM, vocabulary {sizes['vocab_size']:,}"]
    lines += [
        f"{LABELS[side]} (1 thread) is {_times(ratio)} as fast as dense {LABELS[name]}"
        f" at density {record['density']:g}, batch {record['batch_size']}"
        for record in records
        for side in ("runtime", "c")
        for name in ("torch", "numpy")
        if (ratio := record[f"{side}_ratio_{name}"]) is not None
    ]
    return lines + _dense_wins(
        (f"density {record['density']:g}, batch {record['batch_size']}", name, record[f"ratio_{name}"])
        for record in records
        for name in ("torch", "numpy")
    )


def _dense_wins(cases: Any) -> list[str]:
    """A sentence for each case whose ratio is below 1."""
    return [
        f"{LABELS[name]} is faster at {text}: truesparse runs at {ratio:.2f} times its speed"
        for text, name, ratio in cases
        if ratio is not None and ratio < 1
    ]


def _crossover(density: float | None, ratios: Sequence[float | None]) -> str:
    if density is not None:
        return f"{density:.2g}"
    known = [ratio for ratio in ratios if ratio is not None]
    if not known:
        return MISSING
    return "sparse always wins" if min(known) >= 1 else "dense always wins"


def _table(title: str, headings: Sequence[str]) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    _columns(table, headings)
    return table


def _columns(table: Table, headings: Sequence[str]) -> None:
    for heading in headings:
        table.add_column(heading, justify="right")


def _number(value: float | None) -> str:
    """Three digits."""
    if value is None:
        return MISSING
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _range(bounds: Sequence[float] | None) -> str:
    return MISSING if bounds is None else f"{_number(bounds[0])}–{_number(bounds[1])}"


def _times(ratio: float | None, bold_below_one: bool = False) -> str:
    if ratio is None:
        return MISSING
    text = f"{ratio:.2f}×" if ratio < 10 else f"{ratio:.1f}×"
    return f"[bold]{text}[/bold]" if bold_below_one and ratio < 1 else text


def _share(value: float | None) -> str:
    return MISSING if value is None else f"{value:.2f}"


def _megabytes(value: float | None) -> str:
    return MISSING if value is None else f"{value / 1e6:,.0f}"


# What prints the records of a benchmark: its tables, and its sentences.
REPORTS = {
    "step": (step_tables, step_lines),
    "epoch": (epoch_tables, epoch_lines),
    "kernel": (kernel_tables, kernel_lines),
    "sweep": (sweep_tables, sweep_lines),
    "inference": (inference_tables, inference_lines),
}
