"""How products are cut best on this machine, measured for longer than training does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from truesparse.bench.ours import SparseTraining
from truesparse.bench.workload import Workload
from truesparse.kernels.threads import set_threads
from truesparse.sparse.plan import Cut, Kind, machine_plan

_GROUP = 4  # of words, for the unit pattern: the layout that its documentation advises


def tune(
    task: Workload,
    densities: Sequence[float],
    threads: Iterable[int],
    seconds: float,
    report: Callable[[Kind, Cut, float], None],
) -> None:
    """Measure the products of training steps of a model anew, in both patterns, and keep what is found.

    Parameters
    ----------
    task : Workload
        Its density and pattern do not matter.
    densities : sequence of float
    threads : iterable of int
        Each number on its own.
    seconds : float
        How long a kind of product is tried, about.
    report : callable
        See `truesparse.sparse.plan.Plan`.
    """
    plan = machine_plan()
    plan.measured.clear()  # of this process: what the file has stays until it is measured anew
    plan.seconds, plan.report, plan.measures = seconds, report, True
    words = -(-task.vocab_size // _GROUP) * _GROUP
    grouped = replace(task, pattern="unit", output_group=_GROUP, vocab_size=words)
    for count in threads:
        set_threads(count)
        for density in densities:
            for layout in (task, grouped):
                SparseTraining(replace(layout, density=density)).step()
