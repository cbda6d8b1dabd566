"""Cliffs: sizes at which what is meant to be faster is slower than something plainer.

Tiles are meant to be faster than none, a pattern of units than one of weights, and words that share their
connections than words that do not. A random sweep of sizes finds where one of them is not.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from truesparse.bench.contest import Contestant, measure
from truesparse.bench.environment import Record, environment
from truesparse.bench.memory import fits
from truesparse.bench.monitor import Monitor
from truesparse.bench.settings import Conditions
from truesparse.bench.timing import Timing
from truesparse.bench.workload import Workload
from truesparse.errors import TruesparseError
from truesparse.study.results import append

LIMIT = 1.1  # times as long as the plainer one
HIDDEN = 32, 2048  # bounds of the sizes, whose logarithms are drawn evenly
BATCH = 1, 128
DENSITY = 0.005, 1.0
GROUPS = 1, 4


def bench_cliffs(
    task: Workload, count: int, record: Path | None, conditions: Conditions, monitor: Monitor
) -> list[Record]:
    """Measure training steps of random sizes, each beside plainer ways to make them.

    Parameters
    ----------
    task : Workload
        What is not drawn, and the seed.
    count : int
        How many sizes.
    record : Path, optional
        A file with a JSON object a line: it gets each size as soon as that is measured, and sizes that it has
        of the same processor, caches and number of threads are not measured again.
    conditions : Conditions
    monitor : Monitor

    Returns
    -------
    list of dict
        For each size `ours_ms`, `ours_threads`, and of each plainer way in `rivals` the same and `ratio`, how
        many times as long as it ours takes; `slowdown`, the largest of these, and whether it is a `cliff`.

    Raises
    ------
    TruesparseError
        The file has a line that is no such record, or a model cannot be measured.
    """
    where = environment(conditions)
    known = {} if record is None else _read(record, where)
    tasks = draw(task, count)
    monitor.plan(len(tasks) * (conditions.repeats + 1))
    records = []
    with ExitStack() as stack:
        sides: dict[str, Contestant] = {}
        for number, sizes in enumerate(tasks):
            line = known.get(_key(asdict(sizes)))
            if line is None:
                rivals = plainer(sizes)
                needed = int(_OVERHEAD * sizes.dense_bytes() * (1 + len(rivals)))
                if not fits(f"size {number + 1}, hidden size {sizes.hidden_size},", needed, monitor):
                    continue
                line = _at(sizes, rivals, sides, stack, conditions, where, monitor)
                if record is not None:
                    append(record, line)
            else:
                monitor.done(conditions.repeats + 1)
            records.append(line)
    if not records:
        raise TruesparseError("there is not enough memory for any of the sizes")
    return records


_OVERHEAD = 1.5  # 24 bytes a weight at density 1 in place of the 16 of a dense model


def draw(task: Workload, count: int) -> list[Workload]:
    """Draw sizes; of the same seed, the first ones are the same whatever their number."""
    import numpy as np

    rng = np.random.default_rng(task.seed)

    def logarithmic(bounds: tuple[float, float]) -> float:
        low, high = bounds
        return math.exp(rng.uniform(math.log(low), math.log(high)))

    tasks = []
    for _ in range(count):
        hidden, batch, density = (logarithmic(bounds) for bounds in (HIDDEN, BATCH, DENSITY))
        tasks.append(
            replace(
                task,
                hidden_size=round(hidden),
                embedding_size=round(hidden),
                batch_size=round(batch),
                density=round(density, 4),
                pattern=str(rng.choice(("weight", "unit"))),
                output_group=int(rng.choice(GROUPS)),
            )
        )
    return tasks


def plainer(task: Workload) -> dict[str, Workload]:
    """What a size is measured beside, by name."""
    rivals = {"untiled": task}
    if task.pattern == "unit":
        rivals["weight pattern"] = replace(task, pattern="weight")
    if task.output_group > 1:
        rivals["no groups"] = replace(task, output_group=1)
    return rivals


def _at(
    task: Workload,
    rivals: Mapping[str, Workload],
    sides: dict[str, Contestant],
    stack: ExitStack,
    conditions: Conditions,
    where: Record,
    monitor: Monitor,
) -> Record:
    """Measure one size; what looks like a cliff is measured once more, and that counts."""
    text = (
        f"hidden size {task.hidden_size}, batch {task.batch_size}, density {task.density:g}, pattern"
        f" {task.pattern}, groups of {task.output_group}"
    )
    monitor.say(f"{text}: building, and compiling where kernels are new")
    here: dict[str, Contestant] = {}
    for name, sizes in {"ours": task, **rivals}.items():
        kind = "ours-untiled" if name == "untiled" else "ours"
        if name not in sides:
            sides[name] = stack.enter_context(Contestant(kind, conditions.threads))
        here[name] = sides[name]
        here[name].ask("model", kind="step", side=kind, task=asdict(sizes))
    monitor.done()
    monitor.say(text)
    timings = measure(here, "step", conditions, monitor)
    if _slowdown(timings) > LIMIT:
        timings = measure(here, "step", conditions, Monitor())
    threads = {name: side.ask("finish")["threads"] for name, side in here.items()}
    ours = timings.pop("ours")
    return {
        "ours_ms": ours.seconds.median * 1e3,
        "ours_threads": threads["ours"],
        "rivals": {
            name: {
                "ms": timing.seconds.median * 1e3,
                "threads": threads[name],
                "ratio": timing.times_faster_than(ours).median,
            }
            for name, timing in timings.items()
        },
        "slowdown": (slowdown := _slowdown({"ours": ours, **timings})),
        "cliff": slowdown > LIMIT,
        "sizes": asdict(task),
        "environment": where,
    }


def _slowdown(timings: Mapping[str, Timing]) -> float:
    """How many times as long ours takes as the fastest of the others."""
    ours = timings["ours"].seconds.median
    return max(ours / timing.seconds.median for name, timing in timings.items() if name != "ours")


_SAME = "cpu", "microarchitecture", "caches", "threads"  # of an environment; older lines do not name all


def _read(path: Path, where: Record) -> dict[str, Record]:
    """The lines of a file that were measured on this processor with as many threads, by their sizes."""
    lines = {}
    for text in path.read_bytes().split(b"\n")[:-1] if path.is_file() else []:
        try:
            line = json.loads(text)
            same = all(line["environment"].get(name) == where[name] for name in _SAME)
            key = _key(line["sizes"])
            complete = line.keys() >= {"ours_ms", "ours_threads", "rivals", "slowdown", "cliff"}
        except (ValueError, RecursionError, TypeError, KeyError):
            complete = False
        if not complete:
            raise TruesparseError(f"{path} is not as it was written: a line is no result of bench cliffs")
        if same:
            lines[key] = line
    return lines


def _key(sizes: Mapping[str, Any]) -> str:
    return json.dumps(sizes, sort_keys=True)
