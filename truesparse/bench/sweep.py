"""Where the crossover with dense lies: density by batch by hidden size."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from itertools import pairwise

from truesparse.bench.contest import LABELS, Contestant, ContestantError, measure, title
from truesparse.bench.environment import Record, environment
from truesparse.bench.monitor import Monitor
from truesparse.bench.settings import Conditions
from truesparse.bench.step import compared, that_fit, versions
from truesparse.bench.workload import Workload
from truesparse.settings import joined


def bench_sweep(
    task: Workload,
    densities: Sequence[float],
    batches: Sequence[int],
    hidden_sizes: Sequence[int],
    baselines: Mapping[str, str],
    conditions: Conditions,
    monitor: Monitor,
) -> list[Record]:
    """Measure training steps against plainly dense models, without masks.

    Parameters
    ----------
    task : Workload
        Density, batch and hidden size (also the embedding's) are replaced.
    densities : sequence of float
    batches, hidden_sizes : sequence of int
    baselines : mapping of str to str
        As of `truesparse.bench.settings.unmasked`; at each batch and size the fastest counts.
    conditions : Conditions
    monitor : Monitor

    Returns
    -------
    list of dict
        For each density, batch and hidden size `ours_ms`, `ours_threads`, `baselines` (see
        `truesparse.bench.step.compared`), of the fastest of them `baseline`, its name, `dense_ms`,
        `dense_threads` and `ratio`, and `crossover`, the density below which the sparse model is faster at
        this batch and size; None where it was not measured or not crossed.
    """
    where = environment(conditions)
    monitor.plan(len(batches) * len(hidden_sizes) * (1 + conditions.repeats))
    for name, reason in baselines.items():
        if reason:
            monitor.note(f"{title(name)} is not available: {reason}")
    there = [name for name, reason in baselines.items() if not reason]
    records: list[Record] = []
    for hidden in hidden_sizes:
        for batch in batches:
            sizes = replace(task, hidden_size=hidden, embedding_size=hidden, batch_size=batch, masked=False)
            records += _at_size(sizes, sorted(densities), there, conditions, where, monitor)
    return records


def rivals(records: Iterable[Record]) -> str:
    """Return what the sparse models are compared with, in words."""
    labels = sorted({LABELS[name] for record in records for name in record["baselines"]})
    if not labels:
        return "no dense model"
    return ("the fastest of " if len(labels) > 1 else "") + joined(labels, "and")


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
    baselines: Sequence[str],
    conditions: Conditions,
    where: Record,
    monitor: Monitor,
) -> list[Record]:
    """Measure one batch and hidden size: the dense models and a sparse one of each density, in turn."""
    text = f"hidden size {task.hidden_size}, batch {task.batch_size}"
    monitor.say(f"{text}: building")
    with ExitStack() as stack:
        contestants: dict[str, Contestant] = {}

        def leave_out(error: ContestantError) -> None:
            if error.side not in baselines:
                raise error
            contestants.pop(error.side).close()
            monitor.note(f"{error}; its numbers are missing at {text}")

        for density in densities:
            contestants[f"{density:g}"] = contestant = stack.enter_context(
                Contestant("ours", conditions.threads)
            )
            sizes = asdict(replace(task, density=density))
            contestant.ask("model", kind="step", side="ours", task=sizes)
        for name in that_fit({name: f"{title(name)} model at {text}" for name in baselines}, task, monitor):
            contestants[name] = stack.enter_context(Contestant(name, conditions.threads))
            try:
                contestants[name].ask("model", kind="step", side=name, task=asdict(task))
            except ContestantError as error:
                leave_out(error)
        monitor.done()
        monitor.say(text)
        timings = None
        while timings is None:
            try:
                timings = measure(contestants, "step", conditions, monitor)
            except ContestantError as error:
                leave_out(error)
        facts = {name: contestant.ask("finish") for name, contestant in contestants.items()}
    dense = {name: timings[name] for name in baselines if name in timings}
    rows = [compared({"ours": timings[f"{density:g}"], **dense}, facts, "ms") for density in densities]
    fastest = next(iter(rows[0]), None)
    ratios = [row[fastest]["ratio"] if fastest else None for row in rows]
    crossed = crossover(densities, ratios)
    known = versions({fastest: facts[fastest]} if fastest else {})
    return [
        {
            "hidden_size": task.hidden_size,
            "batch_size": task.batch_size,
            "density": density,
            "ours_ms": timings[f"{density:g}"].seconds.median * 1e3,
            "ours_threads": facts[f"{density:g}"]["threads"],
            "dense_ms": row[fastest]["ms"] if fastest else None,
            "dense_threads": row[fastest]["threads"] if fastest else None,
            "ratio": ratio,
            "crossover": crossed,
            "baseline": fastest,
            "baselines": row,
            "sizes": asdict(replace(task, density=density)),
            "environment": where | known,
        }
        for density, row, ratio in zip(densities, rows, ratios, strict=True)
    ]
