"""Training on several ranks of this machine, and a model of what it would be on other networks."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from truesparse.bench.environment import Record, environment
from truesparse.bench.monitor import Monitor
from truesparse.bench.network import MODELLED, NETWORKS, Cost
from truesparse.bench.settings import Conditions, available_cores
from truesparse.bench.workload import Workload
from truesparse.errors import TruesparseError
from truesparse.training.communicator import counted
from truesparse.training.local_steps import FIRST

PHASES = (FIRST, 100)  # local steps at the first learning rate, and at most


def launcher() -> str:
    """The MPI launcher: that of this Python's environment, or of the system.

    Raises
    ------
    TruesparseError
        There is none.
    """
    found = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")
    if found is None:
        raise TruesparseError("there is no mpiexec; run pip install 'truesparse[mpi]'")
    return found


def bench_scale(
    task: Workload,
    densities: Sequence[float],
    ranks: Sequence[int],
    speed: int,
    conditions: Conditions,
    monitor: Monitor,
) -> list[Record]:
    """Measure training steps on several ranks of this machine, each with the batch of the task.

    Parameters
    ----------
    task : Workload
        Its density is replaced.
    densities : sequence of float
    ranks : sequence of int
        Increasing; 1 is measured in any case.
    speed : int
        How many times as fast as a rank here the machines of the model compute.
    conditions : Conditions
        Of its threads each rank has as many as there are cores for all.
    monitor : Monitor

    Returns
    -------
    list of dict
        For each density and number of ranks what `truesparse.bench.scale_rank.measure` gives, and
        `efficiency`, the time of one rank over that of these; of one rank also `modelled`, for each network
        the efficiencies of `MODELLED` ranks, with bf16, in step and with phases of so many local steps.

    Raises
    ------
    TruesparseError
        There is no launcher, or the ranks end with an error.
    """
    mpiexec, counts = launcher(), sorted({1, *ranks})
    threads = max(1, min(conditions.threads, available_cores() // counts[-1]))
    conditions = replace(conditions, threads=threads)
    where = environment(conditions)
    records: list[Record] = []
    monitor.plan(len(densities) * len(counts))
    for density in densities:
        costs: Cost | None = None
        for count in counts:
            monitor.say(f"density {density:g}, {counted(count)}")
            found = _measured(mpiexec, count, replace(task, density=density), conditions)
            monitor.done()
            record = {"density": density, "ranks": count, **found, "sizes": asdict(task)}
            first = records[-1]["one_rank_ms"] if count > 1 else found["ms"]
            records.append({**record, "one_rank_ms": first, "efficiency": first / found["ms"]})
            if count > 1 and costs is None:
                costs = cost(records[-1])
            records[-1]["environment"] = where
        if costs is not None:
            records[-len(counts)] |= {"modelled": modelled(costs.faster(speed)), "machine_speed": speed}
    return records


def cost(record: Record) -> Cost:
    """What a rank computes and sends, of a record of several ranks."""
    numbers = {name: record[name] for name in ("bytes", "reductions", "states", "weights")}
    begun = [(before / 1000, size) for before, size in record["begun"]]
    return Cost(record["one_rank_ms"] / 1000, **numbers, begun=begun)


def modelled(costs: Cost) -> dict[str, dict[str, list[float]]]:
    """For each network, and way to train, the efficiency of `MODELLED` ranks of a machine each."""
    ways = {"in step": 1} | {f"phases of {phase} steps": phase for phase in PHASES}
    return {
        name: {
            way: [costs.efficiency(network, ranks, phase) for ranks in MODELLED]
            for way, phase in ways.items()
        }
        for name, network in NETWORKS.items()
    }


def _measured(mpiexec: str, ranks: int, task: Workload, conditions: Conditions) -> dict[str, Any]:
    told = json.dumps({"task": asdict(task), **asdict(conditions)})
    command = [mpiexec, "-n", str(ranks), sys.executable, "-m", "truesparse.bench.scale_rank", told]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode or not done.stdout:
        lines = done.stderr.strip().splitlines() or ["it said nothing"]
        raise TruesparseError(
            f"{counted(ranks)} ended with an error: {lines[0]}; see whether {mpiexec} is that of mpi4py"
        )
    found: dict[str, Any] = json.loads(done.stdout)
    return found
