"""Where the crossover with dense lies: density by batch by hidden size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from itertools import pairwise

from truesparse.bench.contest import LABELS, Contestant, ContestantError, measure
from truesparse.bench.environment import Record, environment
from truesparse.bench.memory import fits
from truesparse.bench.monitor import Monitor
from truesparse.bench.settings import Conditions
from truesparse.bench.step import versions
from truesparse.bench.workload import Workload


def bench_sweep(
    task: Workload,
    densities: Sequence[float],
    batches: Sequence[int],
    hidden_sizes: Sequence[int],
    baseline: str,
    conditions: Conditions,
    monitor: Monitor,
) -> list[Record]:
    """Measure training steps against a plainly dense model, without masks.

    Parameters
    ----------
    task : Workload
        Density, batch and hidden size (also the embedding's) are replaced.
    densities : sequence of float
    batches, hidden_sizes : sequence of int
    baseline : {"torch", "numpy"}
    conditions : Conditions
    monitor : Monitor

    Returns
    -------
    list of dict
        For each density, batch and hidden size `ours_ms`, `ours_threads`, `dense_ms`, `dense_threads`,
        `ratio`, and `crossover`, the density below which the sparse model is faster at this batch and size;
        None where it was not measured or not crossed.
    """
    where = environment(conditions)
    monitor.plan(len(batches) * len(hidden_sizes) * (1 + conditions.repeats))
    records: list[Record] = []
    for hidden in hidden_sizes:
        for batch in batches:
            sizes = replace(task, hidden_size=hidden, embedding_size=hidden, batch_size=batch, masked=False)
            records += _at_size(sizes, sorted(densities), baseline, conditions, where, monitor)
    return records


def crossover(densities: Sequence[float], ratios: Sequence[float | None]) -> float | None:
    """Return the highest density at which the ratio falls through 1, or None if it does not.

    Between the densities measured it runs on a straight line in logarithms.

    Parameters
    ----------
    densities : sequence of float
        Increasing.
    ratios : sequence of float
        Time of dense over time of sparse at each.
    """
    points = [(density, ratio) for density, ratio in zip(densities, ratios, strict=True) if ratio is not None]
    for (low, before), (high, after) in reversed(list(pairwise(points))):
        if before >= 1 > after:
            share = math.log(before) / math.log(before / after)
            return low * (high / low) ** share
    return None


def _at_size(
    task: Workload,
    densities: Sequence[float],
    baseline: str,
    conditions: Conditions,
    where: Record,
    monitor: Monitor,
) -> list[Record]:
    """Measure one batch and hidden size: the dense model and a sparse one of each density, in turn."""
    text = f"hidden size {task.hidden_size}, batch {task.batch_size}"
    monitor.say(f"{text}: building")
    with ExitStack() as stack:
        contestants: dict[str, Contestant] = {}
        for density in densities:
            contestants[f"{density:g}"] = contestant = stack.enter_context(
                Contestant("ours", conditions.threads)
            )
            sizes = asdict(replace(task, density=density))
            contestant.ask("model", kind="step", side="ours", task=sizes)
        if fits(f"dense {LABELS[baseline]} at {text}", task.dense_bytes(), monitor):
            contestants["dense"] = stack.enter_context(Contestant(baseline, conditions.threads))
            try:
                contestants["dense"].ask("model", kind="step", side=baseline, task=asdict(task))
            except ContestantError as error:
                contestants.pop("dense")
                monitor.note(f"{error}; its numbers are missing at {text}")
        monitor.done()
        monitor.say(text)
        timings = measure(contestants, "step", conditions, monitor)
        facts = {name: contestant.ask("finish") for name, contestant in contestants.items()}
    dense = timings.get("dense")
    ratios = [
        timings[f"{density:g}"].times_faster_than(dense).median if dense else None for density in densities
    ]
    crossed = crossover(densities, ratios)
    known = versions({"dense": facts.get("dense", {})})
    return [
        {
            "hidden_size": task.hidden_size,
            "batch_size": task.batch_size,
            "density": density,
            "ours_ms": timings[f"{density:g}"].seconds.median * 1e3,
            "ours_threads": facts[f"{density:g}"]["threads"],
            "dense_ms": dense.seconds.median * 1e3 if dense else None,
            "dense_threads": facts["dense"]["threads"] if dense else None,
            "ratio": ratio,
            "crossover": crossed,
            "baseline": baseline,
            "sizes": asdict(replace(task, density=density)),
            "environment": where | known,
        }
        for density, ratio in zip(densities, ratios, strict=True)
    ]
