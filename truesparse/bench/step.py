"""A training step of the truly sparse model beside the same model dense, with masks and without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace

from truesparse.bench.contest import Field, title
from truesparse.bench.environment import Record, environment
from truesparse.bench.memory import fits
from truesparse.bench.monitor import Monitor
from truesparse.bench.settings import Conditions
from truesparse.bench.timing import Timing
from truesparse.bench.workload import Workload

# Relative difference of the first loss, above which the sides do not compute the same.
AGREEMENT = 1e-3
AGREEMENT_BF16 = 3e-2  # numbers of 8 bits

# Of what a side says when it finishes: what stands with its times, and what says nothing of the environment.
_OF_A_SIDE = ("threads", "peak_bytes", "torch_onednn", "bfloat16")
_NO_VERSIONS = (
    *("threads", "peak_bytes", "bfloat16", "weights", "parameter_bytes"),
    *("texts", "tokens", "batches", "nnz", "dense_parameters"),
)


def bench_step(
    task: Workload,
    densities: Sequence[float],
    baselines: Mapping[str, str],
    conditions: Conditions,
    monitor: Monitor,
) -> list[Record]:
    """Measure training steps at several densities.

    Parameters
    ----------
    task : Workload
        Its density is replaced.
    densities : sequence of float
    baselines : mapping of str to str
        As of `truesparse.bench.settings.baselines`.
    conditions : Conditions
    monitor : Monitor

    Returns
    -------
    list of dict
        For each density: `density`, `ours_ms`, `ours_threads`, `baselines` (see `compared`), `unavailable`
        (baselines that could not be measured, and why), `masked_torch_ms`, `masked_numpy_ms`, `ratio_torch`,
        `ratio_numpy`, `ours_peak_bytes`, `masked_peak_bytes` and more; None for what was not measured.

    Raises
    ------
    TruesparseError
        If the sparse model cannot be measured. A baseline that cannot is left out, with a note.
    """
    where = environment(conditions)
    there = [name for name, reason in baselines.items() if not reason]
    fitting = that_fit({name: title(name) for name in there}, task, monitor)
    too_large = {name: "there is not enough memory" for name in there if name not in fitting}
    baselines = {name: reason for name, reason in baselines.items() if name not in too_large}
    monitor.plan(len(densities) * (conditions.repeats + 1))
    records = []
    for density in densities:
        record = _at_density(replace(task, density=density), baselines, conditions, dict(where), monitor)
        record["unavailable"] |= too_large
        records.append(record)
    return records


def that_fit(baselines: Mapping[str, str], task: Workload, monitor: Monitor) -> list[str]:
    """Return the baselines, here with what to call them, for which there is memory, all at once; a note for
    each of the others."""
    fitting: list[str] = []
    for name, label in baselines.items():
        taken = len(fitting) * task.dense_bytes()
        if fits(f"the {label} model", task.dense_bytes(), monitor, taken):
            fitting.append(name)
    return fitting


def compared(timings: Mapping[str, Timing], facts: Mapping[str, Record], unit: str) -> dict[str, Record]:
    """Say how our side compares with each baseline.

    Parameters
    ----------
    timings : mapping of str to Timing
        Of all sides.
    facts : mapping of str to dict
        What the sides say when they finish.
    unit : {"ms", "seconds"}
        Of times.

    Returns
    -------
    dict of str to dict
        The fastest baseline first. Of each the time under the name of the unit, `quartiles`, `ratio` (how
        many times as long as ours it takes), `ratio_quartiles`, `threads`, `peak_bytes`, and of PyTorch
        `torch_onednn` and in bfloat16 whether the processor or software converts.
    """
    scale = {"ms": 1e3, "seconds": 1.0}[unit]
    rows = {}
    for name in sorted(timings, key=lambda name: timings[name].seconds.median):
        if name == "ours":
            continue
        median, *quartiles = (scale * value for value in timings[name].seconds)
        ratio, *ratio_quartiles = timings["ours"].times_faster_than(timings[name])
        rows[name] = {
            unit: median,
            "quartiles": quartiles,
            "ratio": ratio,
            "ratio_quartiles": ratio_quartiles,
            **{key: facts[name][key] for key in _OF_A_SIDE if key in facts[name]},
        }
    return rows


def note_difference(losses: Mapping[str, float], monitor: Monitor, where: str = "") -> float:
    """Return the largest relative difference from our first loss, and note one that is too large; that of a
    side in bfloat16 is noted only."""
    differences = {name: abs(loss / losses["ours"] - 1) for name, loss in losses.items()}
    for rough, most in ((False, AGREEMENT), (True, AGREEMENT_BF16)):
        largest = max((d for name, d in differences.items() if name.endswith("bf16") == rough), default=0.0)
        if largest > most:
            monitor.note(
                f"{where}the first losses differ by {largest:.1e}: the sides do not compute the same"
            )
    return max(difference for name, difference in differences.items() if not name.endswith("bf16"))


def _at_density(
    task: Workload, baselines: Mapping[str, str], conditions: Conditions, where: Record, monitor: Monitor
) -> Record:
    monitor.say(f"density {task.density:g}: building, and compiling where kernels are new")
    with ExitStack() as stack:
        field = Field(stack, baselines, conditions.threads, monitor)
        first = field.ask("model", kind="rows" if task.kind == "rows" else "step", task=asdict(task))
        monitor.done()
        monitor.say(f"density {task.density:g}: {field.names}")
        timings = field.measure("step", conditions)
        facts = {name: side.ask("finish") for name, side in field.sides.items()}
    losses = {name: first[name]["loss"] for name in timings}
    difference = note_difference(losses, monitor, f"at density {task.density:g} ")
    record = _record(task, timings, facts, where)
    return {**record, "loss_difference": difference, "unavailable": field.unavailable}


def _record(task: Workload, timings: dict[str, Timing], facts: dict[str, Record], where: Record) -> Record:
    """Everything there is to say about one density."""
    ours = timings["ours"]
    seconds = ours.seconds.median
    weights: dict[str, int] = facts["ours"]["weights"]
    nnz = sum(weights.values())
    ratios = {name: ours.times_faster_than(timings[name]) for name in ("torch", "numpy") if name in timings}
    peaks = {name: facts[name]["peak_bytes"] for name in timings}
    best = next((name for name in ("torch", "numpy") if name in ratios), None)

    record: Record = {
        "task": task.kind,
        "density": task.density,
        "ours_ms": seconds * 1e3,
        "ours_threads": facts["ours"]["threads"],
        "baselines": compared(timings, facts, "ms"),
    }
    for name in ("torch", "numpy"):
        record[f"masked_{name}_ms"] = timings[name].seconds.median * 1e3 if name in timings else None
    for name in ("torch", "numpy"):
        record[f"ratio_{name}"] = ratios[name].median if name in ratios else None
    record |= {
        "ours_peak_bytes": peaks["ours"],
        "masked_peak_bytes": peaks[best] if best else None,
        "masked_torch_peak_bytes": peaks.get("torch"),
        "masked_numpy_peak_bytes": peaks.get("numpy"),
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
    for name, key in (("ours", "ours"), ("torch", "masked_torch"), ("numpy", "masked_numpy")):
        if name in timings:
            record[f"{key}_quartiles_ms"] = [1e3 * value for value in timings[name].seconds[1:]]
    for name, ratio in ratios.items():
        record[f"ratio_{name}_quartiles"] = [ratio.low, ratio.high]
    return {**record, "sizes": asdict(task), "environment": where | versions(facts)}


def versions(facts: Mapping[str, Record]) -> Record:
    """What the sides say that is no matter of one of them; of PyTorch, what its side with masks says."""
    known: Record = {}
    for name in sorted(facts, key="torch".__eq__):
        known |= {key: value for key, value in facts[name].items() if key not in _NO_VERSIONS}
    return known
