"""An epoch of a text classifier on your own texts, beside the same model dense."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict

from truesparse.bench.contest import Field
from truesparse.bench.environment import Record, environment
from truesparse.bench.monitor import Monitor
from truesparse.bench.settings import Conditions
from truesparse.bench.step import compared, note_difference, versions
from truesparse.errors import TruesparseError
from truesparse.tasks.classifier.settings import ClassifierConfig

_COUNTS = ("texts", "tokens", "batches", "nnz", "dense_parameters")


def bench_epoch(
    config: ClassifierConfig, baselines: Mapping[str, str], conditions: Conditions, monitor: Monitor
) -> list[Record]:
    """Measure training on every text once: all of a step, and the update of the topology.

    Dense models get the same batches, as long as their longest text, and train with Adam and dropout like the
    sparse one; the topology of those with masks stays.

    Parameters
    ----------
    config : ClassifierConfig
        Filled in: one LSTM layer, its last state, Adam with its usual decays, and a method that is sparse
        from the start.
    baselines : mapping of str to str
        As of `truesparse.bench.settings.baselines`.
    conditions : Conditions
    monitor : Monitor

    Returns
    -------
    list of dict
        One: `ours_seconds`, `baselines` (see `compared`), `unavailable`, `masked_torch_seconds`,
        `ratio_torch`, their quartiles, `texts_per_second`, `nnz` and more; None for what was not measured.

    Raises
    ------
    TruesparseError
        Our side cannot be measured, or no baseline can.
    """
    where = environment(conditions)
    monitor.plan(conditions.repeats + 1)
    monitor.say("reading the texts, and compiling where kernels are new")
    with ExitStack() as stack:
        field = Field(stack, baselines, conditions.threads, monitor)
        first = field.ask("epochs", config=asdict(config))
        _check(field)
        monitor.done()
        monitor.say(f"an epoch in turn: {field.names}")
        timings = field.measure("step", conditions)
        _check(field)
        facts = {name: side.ask("finish") for name, side in field.sides.items()}
    difference = note_difference({name: first[name]["loss"] for name in timings}, monitor)
    rows, mine, ours = compared(timings, facts, "seconds"), facts["ours"], timings["ours"]
    masked = rows.get("torch", dict.fromkeys(("seconds", "quartiles", "ratio", "ratio_quartiles")))
    return [
        {
            **{name: mine[name] for name in _COUNTS},
            "density": mine["nnz"] / mine["dense_parameters"],
            "ours_seconds": ours.seconds.median,
            "ours_quartiles_seconds": ours.seconds[1:],
            "ours_threads": mine["threads"],
            "baselines": rows,
            "unavailable": field.unavailable,
            "masked_torch_seconds": masked["seconds"],
            "masked_torch_quartiles_seconds": masked["quartiles"],
            "ratio_torch": masked["ratio"],
            "ratio_torch_quartiles": masked["ratio_quartiles"],
            "texts_per_second": mine["texts"] / ours.seconds.median,
            "loss_difference": difference,
            "config": {**asdict(config), "data": None},
            "environment": where | versions(facts),
        }
    ]


def _check(field: Field) -> None:
    """There is something to compare with."""
    if len(field.sides) == 1:
        raise TruesparseError("; ".join(field.unavailable.values()))
