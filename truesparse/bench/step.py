"""A training step of the truly sparse model beside the same model dense and masked."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from typing import Any

from truesparse.bench.contest import LABELS, Contestant, ContestantError, measure, start
from truesparse.bench.environment import Record, environment
from truesparse.bench.memory import fits
from truesparse.bench.monitor import Monitor
from truesparse.bench.settings import Conditions
from truesparse.bench.timing import Timing
from truesparse.bench.workload import Workload

AGREEMENT = 1e-3  # relative difference of the first loss, above which the sides do not compute the same


def bench_step(
    task: Workload,
    densities: Sequence[float],
    baselines: Sequence[str],
    conditions: Conditions,
    monitor: Monitor,
) -> list[Record]:
    """Measure training steps at several densities.

    Parameters
    ----------
    task : Workload
        Its density is replaced.
    densities : sequence of float
    baselines : sequence of {"torch", "numpy"}
    conditions : Conditions
    monitor : Monitor

    Returns
    -------
    list of dict
        For each density: `density`, `ours_ms`, `ours_threads`, `masked_torch_ms`, `masked_numpy_ms`,
        `ratio_torch`, `ratio_numpy`, `ours_peak_bytes`, `masked_peak_bytes` and more; None for what was not
        measured.

    Raises
    ------
    TruesparseError
        If the sparse model cannot be measured. A baseline that cannot is left out, with a note.
    """
    where = environment(conditions)
    baselines = that_fit("masked", baselines, task, monitor)
    monitor.plan(len(densities) * (conditions.repeats + 1))
    return [
        _at_density(replace(task, density=density), baselines, conditions, dict(where), monitor)
        for density in densities
    ]


def that_fit(kind: str, baselines: Sequence[str], task: Workload, monitor: Monitor) -> list[str]:
    """Return the baselines for which there is memory, all at once; a note for each of the others."""
    fitting: list[str] = []
    for name in baselines:
        taken = len(fitting) * task.dense_bytes()
        if fits(f"the {kind} {LABELS[name]} model", task.dense_bytes(), monitor, taken):
            fitting.append(name)
    return fitting


def _at_density(
    task: Workload, baselines: Sequence[str], conditions: Conditions, where: Record, monitor: Monitor
) -> Record:
    monitor.say(f"density {task.density:g}: building, and compiling where kernels are new")
    with ExitStack() as stack:
        sides = start(stack, ["ours", *baselines], conditions.threads)
        losses: dict[str, float] = {}
        for name, contestant in list(sides.items()):
            try:
                losses[name] = contestant.ask("model", kind="step", side=name, task=asdict(task))["loss"]
            except ContestantError as error:
                _drop(sides, error, monitor)
        monitor.done()
        monitor.say(f"density {task.density:g}: " + ", ".join(LABELS[name] for name in sides))
        timings = _measure(sides, conditions, monitor)
        facts = {name: sides[name].ask("finish") for name in timings}
    losses = {name: losses[name] for name in timings}
    difference = note_difference(losses, monitor, f"at density {task.density:g} ")
    return {**_record(task, timings, facts, where), "loss_difference": difference}


def note_difference(losses: dict[str, float], monitor: Monitor, where: str = "") -> float:
    """Return the largest relative difference from our first loss, and note one that is too large."""
    difference = max(abs(loss / losses["ours"] - 1) for loss in losses.values())
    if difference > AGREEMENT:
        monitor.note(f"{where}the first losses differ by {difference:.1e}: the sides do not compute the same")
    return difference


def _measure(sides: dict[str, Contestant], conditions: Conditions, monitor: Monitor) -> dict[str, Timing]:
    """Let the sides take turns, without a baseline that fails."""
    while True:
        try:
            return measure(sides, "step", conditions, monitor)
        except ContestantError as error:
            _drop(sides, error, monitor)


def _drop(sides: dict[str, Contestant], error: ContestantError, monitor: Monitor) -> None:
    """Go on without a baseline; not without the sparse model."""
    if error.side not in ("torch", "numpy"):
        raise error
    sides.pop(error.side).close()
    monitor.note(f"{error}; its numbers are missing")


def _record(task: Workload, timings: dict[str, Timing], facts: dict[str, Record], where: Record) -> Record:
    """Everything there is to say about one density."""
    ours = timings["ours"]
    seconds = ours.seconds.median
    weights: dict[str, int] = facts["ours"]["weights"]
    nnz = sum(weights.values())
    ratios = {name: ours.times_faster_than(timings[name]) for name in timings if name != "ours"}
    peaks = {name: facts[name]["peak_bytes"] for name in timings}
    best = next((name for name in ("torch", "numpy") if name in ratios), None)

    def of(name: str, values: dict[str, Any]) -> Any:
        return values.get(name)

    record: Record = {
        "task": task.kind,
        "density": task.density,
        "ours_ms": seconds * 1e3,
        "ours_threads": facts["ours"]["threads"],
    }
    for name in ("torch", "numpy"):
        record[f"masked_{name}_ms"] = timings[name].seconds.median * 1e3 if name in timings else None
    for name in ("torch", "numpy"):
        record[f"ratio_{name}"] = ratios[name].median if name in ratios else None
    record |= {
        "ours_peak_bytes": peaks["ours"],
        "masked_peak_bytes": peaks[best] if best else None,
        "masked_torch_peak_bytes": of("torch", peaks),
        "masked_numpy_peak_bytes": of("numpy", peaks),
        # A model that fits into what the process had free already needs no memory that can be seen.
        "memory_ratio": peaks["ours"] / peaks[best] if best and peaks[best] else None,
        "fraction_of_ideal": ratios[best].median * task.density if best else None,
        "tokens_per_second": task.tokens / seconds,
        "flops": task.flops(weights),
        "gflops": task.flops(weights) / seconds / 1e9,
        "nnz": nnz,
        "dense_parameters": task.dense_parameters,
        "bytes_per_nonzero": facts["ours"]["parameter_bytes"] / nnz,
    }
    for name, timing in timings.items():
        key = "ours" if name == "ours" else f"masked_{name}"
        record[f"{key}_quartiles_ms"] = [timing.seconds.low * 1e3, timing.seconds.high * 1e3]
    for name, ratio in ratios.items():
        record[f"ratio_{name}_quartiles"] = [ratio.low, ratio.high]
    for name in timings:
        where |= {
            key: value
            for key, value in facts[name].items()
            if key not in ("peak_bytes", "weights", "parameter_bytes", "threads")
        }
    return {**record, "sizes": asdict(task), "environment": where}
