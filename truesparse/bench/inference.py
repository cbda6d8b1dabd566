"""The next token: latency at batch 1 and throughput at larger batches, beside the dense model; also of the
runtime and of C."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace

from truesparse.bench.contest import LABELS, measure, start
from truesparse.bench.deployed import compiles
from truesparse.bench.environment import Record, environment
from truesparse.bench.monitor import Monitor
from truesparse.bench.settings import Conditions
from truesparse.bench.step import that_fit, versions
from truesparse.bench.timing import Timing
from truesparse.bench.workload import Workload

DEPLOYED = ("runtime", "c")  # the same model as it is used elsewhere, on one thread


def bench_inference(
    task: Workload,
    densities: Sequence[float],
    batches: Sequence[int],
    baselines: Sequence[str],
    conditions: Conditions,
    monitor: Monitor,
) -> list[Record]:
    """Measure one step of a language model: a token of every sequence in, log-probabilities out.

    The dense models have their masks applied already: there is nothing to multiply in inference.

    Parameters
    ----------
    task : Workload
        Density and batch are replaced.
    densities : sequence of float
    batches : sequence of int
    baselines : sequence of {"torch", "numpy"}
    conditions : Conditions
    monitor : Monitor

    Returns
    -------
    list of dict
        For each density and batch: `ours_ms`, `runtime_ms`, `c_ms`, `masked_torch_ms`, `masked_numpy_ms` (the
        latency of a token), `ratio_torch`, `ratio_numpy`, `runtime_ratio_torch` and so on (how many times as
        long the dense model takes), and tokens per second of each side; None for what was not measured.
    """
    where = environment(conditions)
    task = replace(task, masked=False, bptt=1)
    baselines = that_fit({name: f"dense {LABELS[name]}" for name in baselines}, task, monitor)
    monitor.plan(len(densities) * len(batches) * (1 + conditions.repeats))
    records = []
    with ExitStack() as stack:
        everyone = start(stack, ["ours", *DEPLOYED, *baselines], conditions.threads)
        for density in densities:
            for batch in batches:
                sizes = replace(task, density=density, batch_size=batch)
                text = f"density {density:g}, batch {batch}"
                sides = {name: side for name, side in everyone.items() if name != "c" or compiles(sizes)}
                monitor.say(f"{text}: building" + (", and compiling C" if "c" in sides else ""))
                for name, contestant in sides.items():
                    contestant.ask("model", kind="inference", side=name, task=asdict(sizes))
                monitor.done()
                monitor.say(f"{text}: " + ", ".join(LABELS[name] for name in sides))
                timings = measure(sides, "step", conditions, monitor)
                facts = {name: side.ask("finish") for name, side in sides.items()}
                record = _record(sizes, timings, where | versions(facts))
                record["ours_threads"] = facts["ours"]["threads"]
                for name in ("torch", "numpy"):
                    record[f"masked_{name}_threads"] = facts.get(name, {}).get("threads")
                records.append(record)
    return records


def _record(task: Workload, timings: dict[str, Timing], where: Record) -> Record:
    ours = timings["ours"]
    deployed = {name: timings.get(name) for name in DEPLOYED}
    record: Record = {
        "density": task.density,
        "batch_size": task.batch_size,
        "ours_ms": ours.seconds.median * 1e3,
        "tokens_per_second": task.batch_size / ours.seconds.median,
        "ours_quartiles_ms": [ours.seconds.low * 1e3, ours.seconds.high * 1e3],
    }
    for side, own in deployed.items():
        record[f"{side}_ms"] = own.seconds.median * 1e3 if own else None
    for name in ("torch", "numpy"):
        timing = timings.get(name)
        seconds = timing.seconds if timing else None
        record |= {
            f"masked_{name}_ms": seconds.median * 1e3 if seconds else None,
            f"masked_{name}_tokens_per_second": task.batch_size / seconds.median if seconds else None,
            f"ratio_{name}": ours.times_faster_than(timing).median if timing else None,
        }
        for side, own in deployed.items():
            record[f"{side}_ratio_{name}"] = own.times_faster_than(timing).median if own and timing else None
    return {**record, "sizes": asdict(task), "environment": where}
