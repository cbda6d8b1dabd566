"""An epoch of a text classifier on texts of one's own, beside the same model dense and masked."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict

from truesparse.bench.contest import LABELS, measure, start
from truesparse.bench.environment import Record, environment
from truesparse.bench.monitor import Monitor
from truesparse.bench.settings import Conditions
from truesparse.bench.step import note_difference
from truesparse.tasks.classifier.settings import ClassifierConfig

_COUNTS = ("texts", "tokens", "batches", "nnz", "dense_parameters")


def bench_epoch(config: ClassifierConfig, conditions: Conditions, monitor: Monitor) -> list[Record]:
    """Measure training on every text once: all of a step, and the update of the topology.

    The masked model in PyTorch gets the same batches, as long as their longest text, and trains with Adam
    and dropout like the sparse one; its topology stays.

    Parameters
    ----------
    config : ClassifierConfig
        Filled in: one LSTM layer, its last state, Adam with its usual decays, and a method that is sparse
        from the start.
    conditions : Conditions
    monitor : Monitor

    Returns
    -------
    list of dict
        One: `ours_seconds`, `masked_torch_seconds`, `ratio_torch`, their quartiles, `texts_per_second`, `nnz`
        and more.

    Raises
    ------
    TruesparseError
        One of the sides cannot be measured.
    """
    where = environment(conditions)
    monitor.plan(conditions.repeats + 1)
    monitor.say("reading the texts, and compiling where kernels are new")
    with ExitStack() as stack:
        sides = start(stack, ["ours", "torch"], conditions.threads)
        first = {name: side.ask("epochs", side=name, config=asdict(config)) for name, side in sides.items()}
        monitor.done()
        monitor.say("an epoch in turn: " + ", ".join(LABELS[name] for name in sides))
        timings = measure(sides, "step", conditions, monitor)
        facts = {name: side.ask("finish") for name, side in sides.items()}
    difference = note_difference({name: answer["loss"] for name, answer in first.items()}, monitor)
    for known in facts.values():
        where |= {
            key: value for key, value in known.items() if key not in (*_COUNTS, "peak_bytes", "threads")
        }
    ours, masked = timings["ours"], timings["torch"]
    ratio = ours.times_faster_than(masked)
    mine = facts["ours"]
    return [
        {
            **{name: mine[name] for name in _COUNTS},
            "density": mine["nnz"] / mine["dense_parameters"],
            "ours_seconds": ours.seconds.median,
            "ours_quartiles_seconds": ours.seconds[1:],
            "ours_threads": mine["threads"],
            "masked_torch_seconds": masked.seconds.median,
            "masked_torch_quartiles_seconds": masked.seconds[1:],
            "ratio_torch": ratio.median,
            "ratio_torch_quartiles": ratio[1:],
            "texts_per_second": mine["texts"] / ours.seconds.median,
            "loss_difference": difference,
            "config": {**asdict(config), "data": None},
            "environment": where,
        }
    ]
