"""The products of a sparse layer beside those of other libraries and the machine's roofs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

import numpy as np

from truesparse.bench.contest import LABELS, Contestant, ContestantError, measure, start
from truesparse.bench.environment import Record, environment
from truesparse.bench.monitor import Monitor
from truesparse.bench.products import PRODUCTS, Case
from truesparse.bench.roofs import level_of
from truesparse.bench.settings import Conditions, installed
from truesparse.bench.timing import Timing
from truesparse.sparse import narrow_index_dtype
from truesparse.sparse.panels import Panels

ROOF_SECONDS = 1.0  # for each roof

_PEERS = {"torch-csr": "torch", "torch-dense": "torch", "sparselab": "sparselab", "sparseprop": "sparseprop"}


def libraries() -> list[str]:
    """Return what is measured: truesparse, SciPy, a dense product, and what is installed of the others."""
    sides = ["ours", "scipy", *(side for side, package in _PEERS.items() if installed(package))]
    return sides if "torch-dense" in sides else [*sides, "numpy-dense"]


def bench_kernels(
    shapes: Sequence[tuple[int, int]],
    densities: Sequence[float],
    batches: Sequence[int],
    window: tuple[int, int],
    conditions: Conditions,
    monitor: Monitor,
) -> list[Record]:
    """Measure products at several shapes, densities and numbers of lanes.

    Parameters
    ----------
    shapes : sequence of (rows, columns)
    densities : sequence of float
    batches : sequence of int
        Lanes of a single step.
    window : (steps, batch)
        A full window, measured too; 0 steps for none.
    conditions : Conditions
    monitor : Monitor

    Returns
    -------
    list of dict
        For each product of each case: microseconds and ratio by side, GF/s on nonzeros, and the roof that
        binds with the fraction of it that is reached.
    """
    names = libraries()
    where = environment(conditions, sorted({_PEERS[name] for name in names if name in _PEERS}))
    lanes = [(batch, 1) for batch in batches] + ([(window[1], window[0])] if window[0] else [])
    cases = [
        Case(rows, columns, density, batch, steps)
        for rows, columns in shapes
        for density in densities
        for batch, steps in lanes
    ]
    monitor.plan(1 + len(cases) * (1 + len(PRODUCTS) * conditions.repeats))
    records = []
    with ExitStack() as stack:
        sides = start(stack, names, conditions.threads)
        monitor.say("roofs of the machine")
        roofs = sides["ours"].ask("roofs", seconds=ROOF_SECONDS)
        monitor.done()
        for case in cases:
            text = f"{case.rows} x {case.columns}, density {case.density:g}, {case.lanes} lanes"
            monitor.say(f"{text}: preparing")
            parts, tiles = _prepare(sides, case, monitor)
            monitor.done()
            for product in PRODUCTS:
                monitor.say(f"{text}: {product}")
                able = {name: side for name, side in sides.items() if product in parts[name]}
                timings = measure(able, product, conditions, monitor)
                record = _record(case, product, tiles, timings, roofs, where)
                # SciPy has no parallel products.
                threads = {name: 1 if name == "scipy" else conditions.threads for name in timings}
                records.append({**record, "threads": threads})
    return records


def _prepare(
    sides: dict[str, Contestant], case: Case, monitor: Monitor
) -> tuple[dict[str, list[str]], dict[str, int]]:
    """Let every side make its matrices; return the products each has, and the tiles of truesparse.

    A side that cannot is left out of the rest, with a note.
    """
    parts: dict[str, list[str]] = {}
    tiles: dict[str, int] = {}
    for name in list(sides):
        try:
            answer = sides[name].ask("product", side=name, case=asdict(case))
            parts[name] = answer["parts"]
            tiles |= answer["tiles"]
        except ContestantError as error:
            if name == "ours":
                raise
            sides.pop(name).close()
            monitor.note(f"{error}; {LABELS[name]} is left out from here on")
    return parts, tiles


def bound(case: Case, product: str, nnz: int, tiles: dict[str, int], roofs: Record) -> tuple[str, float]:
    """Return the roof that binds a product, and the seconds it would take there.

    For every nonzero a row of the panel is read, from the level of memory that holds what is read at a time
    of a panel, and multiplied and added; once for every panel the matrix streams by, from the level that
    holds a thread's share of it. "layer" is one product after the other, bound by the roof of the longest.

    Parameters
    ----------
    case : Case
    product : str
    nnz : int
    tiles : dict of str to int
        By product how many rows of a panel are read at a time.
    roofs : dict
        What `truesparse.bench.roofs.measure_roofs` returned.
    """
    if product == "layer":
        three = [bound(case, name, nnz, tiles, roofs) for name in PRODUCTS[:3]]
        return max(three, key=lambda roof: roof[1])[0], sum(seconds for _, seconds in three)
    panels = Panels(case.steps, case.batch)
    lanes, count = (panels.lanes, panels.panels) if case.steps > 1 else (case.batch, 1)
    index = np.dtype(narrow_index_dtype(case.rows if product == "transposed" else case.columns)).itemsize
    streamed = nnz * (index + (8 if product == "gradient" else 4))  # a gradient is read and written
    sizes, bandwidth = roofs["cache_bytes"], roofs["bytes_per_second"]
    panel, matrix = level_of(4 * tiles[product] * lanes, sizes), level_of(streamed // roofs["threads"], sizes)
    return max(
        ("FMA", 2 * nnz * case.lanes / roofs["flops"]),
        (panel, 4 * nnz * case.lanes / bandwidth[panel]),
        (matrix, streamed * count / bandwidth[matrix]),
        key=lambda roof: roof[1],
    )


def _record(
    case: Case,
    product: str,
    tiles: dict[str, int],
    timings: dict[str, Timing],
    roofs: Record,
    where: Record,
) -> Record:
    ours = timings["ours"]
    seconds = ours.seconds.median
    nnz = max(1, round(case.density * case.rows * case.columns))
    roof, limit = bound(case, product, nnz, tiles, roofs)
    flops = (6 if product == "layer" else 2) * nnz * case.lanes

    def microseconds(timing: Timing) -> dict[str, Any]:
        return {
            "median": timing.seconds.median * 1e6,
            "low": timing.seconds.low * 1e6,
            "high": timing.seconds.high * 1e6,
        }

    return {
        "product": product,
        **asdict(case),
        "lanes": case.lanes,
        "nnz": nnz,
        "ours_us": seconds * 1e6,
        "gflops": flops / seconds / 1e9,
        "microseconds": {name: microseconds(timing) for name, timing in timings.items()},
        "ratio": {
            name: ours.times_faster_than(timing).median for name, timing in timings.items() if name != "ours"
        },
        "roof": roof,
        "fraction_of_roof": limit / seconds,
        "roofs": roofs,
        "environment": where,
    }
