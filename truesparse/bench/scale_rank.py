"""One rank of ``truesparse bench scale``: ``mpiexec -n 2 python -m truesparse.bench.scale_rank JSON``.

Rank 0 prints what it measured as JSON.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle
from typing import Any

from truesparse.bench.network import DELAYED, NETWORKS
from truesparse.bench.ours import build
from truesparse.bench.workload import LEARNING_RATE, MAX_NORM, MOMENTUM, Workload
from truesparse.data import Batch
from truesparse.kernels.threads import set_threads
from truesparse.optim import SGD
from truesparse.training.communicator import Communicator, find_communicator
from truesparse.training.training import Training


def measure(task: Workload, threads: int, repeats: int, seconds: float) -> dict[str, Any]:
    """Time training steps of all ranks together, each with the batch of the task.

    Returns
    -------
    dict
        `ms`, a median; `bytes` and `reductions` of a step; `begun`, which of them begin how many milliseconds
        before the end of the backward pass, and their bytes; `weights` and `states` in bytes; `delayed_ms`,
        with so long a wait for each reduction as it would take on `DELAYED`, `blocking_ms`, the same when the
        backward pass waits too, and `wait_ms`, of a step in all.
    """
    set_threads(threads)
    communicator = find_communicator(mpi=True)
    model = build(task)
    training = Training(
        model, SGD(model.arena, LEARNING_RATE, MOMENTUM), clip=MAX_NORM, communicator=communicator
    )
    windows = replace(task, batch_size=task.batch_size * communicator.size).windows()
    batches = (Batch(ids, targets, carries=True, begins=False) for ids, targets in cycle(windows))

    def turn(steps: int) -> float:
        began = time.perf_counter()
        for _ in range(steps):
            training.step(next(batches))
        return (time.perf_counter() - began) / steps

    turn(2)  # compiles
    steps = communicator.broadcast(max(1, round(seconds / turn(1))))
    before = communicator.payload

    def median() -> float:
        return 1000 * statistics.median(turn(steps) for _ in range(repeats))

    found: dict[str, Any] = {"ms": median()}
    found["bytes"] = (communicator.payload - before) / (steps * repeats)
    found["begun"] = _begun(communicator, turn)
    waited, reductions, all_reduce, network = 0.0, 0, communicator.all_reduce, NETWORKS[DELAYED]

    def delayed(array: Any, exact: bool = False) -> None:
        nonlocal waited, reductions
        wait = network.seconds(communicator.size, array.nbytes)
        time.sleep(wait)
        waited, reductions = waited + wait, reductions + 1
        all_reduce(array, exact)

    communicator.all_reduce = delayed  # type: ignore[method-assign]
    found["delayed_ms"] = median()
    found["reductions"], found["wait_ms"] = (x / (steps * repeats) for x in (reductions, 1000 * waited))
    communicator.start = communicator.all_reduce  # type: ignore[method-assign]
    found["blocking_ms"] = median()
    arena = model.arena
    found["weights"] = arena.values.nbytes
    found["states"] = sum(state.nbytes for state in arena.states.values())
    return found if communicator.rank == 0 else {}


def _begun(communicator: Communicator, turn: Callable[[int], float]) -> list[tuple[float, int]]:
    """Milliseconds from when each sum of a step is begun to the end of its backward pass, and its bytes."""
    start, finish = communicator.start, communicator.finish
    begun, ends = [], []

    def noted(array: Any) -> None:
        begun.append((time.perf_counter(), array.nbytes))
        start(array)

    def ended() -> None:
        ends.append(time.perf_counter())
        finish()

    communicator.start, communicator.finish = noted, ended  # type: ignore[method-assign]
    turn(1)
    communicator.start, communicator.finish = start, finish  # type: ignore[method-assign]
    return [(1000 * (ends[0] - began), size) for began, size in begun]


if __name__ == "__main__":
    told = json.loads(sys.argv[1])
    results = measure(Workload(**told.pop("task")), **told)
    if results:
        print(json.dumps(results))
