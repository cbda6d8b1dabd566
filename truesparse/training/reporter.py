"""Who gets the events of training."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

Record = Mapping[str, Any]


def to_json(record: Record) -> str:
    """A record as one line of JSON, where numbers that are not finite become null: JSON has none."""
    finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in record.items()}
    return json.dumps(finite, allow_nan=False)


# What models are chosen by, and what people call it: of those that an evaluation has, usually the first one.
MEASURES = {
    "f1": "F1",
    "accuracy": "accuracy",
    "r2": "R²",
    "perplexity": "perplexity",
    "macro_f1": "macro-F1",
}


def common_measure(evaluations: Iterable[Record]) -> str | None:
    """The measure of `MEASURES` by which models were chosen, or if that is none of them, or records of
    evaluations differ in it, the first one that all have; None if there is none."""
    every = list(evaluations)
    chosen = {record.get("chosen_by") for record in every}
    if len(chosen) == 1 and (name := chosen.pop()) in MEASURES:
        return name
    return next((name for name in MEASURES if all(name in record for record in every)), None)


@dataclass(frozen=True)
class RunInfo:
    """Describes a run that starts.

    Attributes
    ----------
    path : Path or None
        Its folder; None of training in memory.
    data : str
        Description of what it learns from; empty in memory.
    step, total_steps, steps_per_epoch : int
        `step` is above 0 when a run is resumed.
    nnz, dense_parameters : int
        Weights that exist, and positions there are.
    threads : int
    gates : dict of str to tuple of str
        For each matrix the names of its gates, in the order of the densities in records.
    """

    path: Path | None
    data: str
    step: int
    total_steps: int
    steps_per_epoch: int
    nnz: int
    dense_parameters: int
    threads: int
    gates: dict[str, tuple[str, ...]]


class Progress(NamedTuple):
    """One training step: how many are done, the epoch counted from 1, and its mean loss in nats."""

    step: int
    epoch: int
    loss: float


class Reporter:
    """Receives the events of training and ignores them; a subclass overrides the methods that it needs.

    `truesparse.fit`, the estimators and the commands call their reporters during training. Methods are
    called in the thread that trains and must not change the model. An error that one raises ends training:
    `fit` leaves the model as it is then, an estimator and the last checkpoint stay as they were.

    A record is a mapping with ``kind`` (the method's name), ``step`` (how many are done), ``epoch`` (as a
    fraction), ``seconds`` since training began, ``lr``, and ``density``, that of each matrix by its name.
    Those of a run are the lines of ``metrics.jsonl`` and have more than those of training in memory.

    Examples
    --------
    >>> class Best(Reporter):
    ...     def eval(self, record):
    ...         if record["best"]:
    ...             print(record["step"], record["loss"])
    """

    def start(self, info: RunInfo) -> None:
        """Training begins or goes on."""

    def compiling(self) -> None:
        """The first kernel is not in the cache and is being compiled; of runs only."""

    def compiled(self, seconds: float) -> None:
        """The first step is done; kernels compiled for so long. Of runs only."""

    def step(self, progress: Progress) -> None:
        """One step is done."""

    def train(self, record: Record) -> None:
        """Training loss of an interval, in memory of an epoch: ``loss``."""

    def eval(self, record: Record) -> None:
        """The model was measured on the validation data: ``loss``, of an estimator ``score``, and ``best``,
        whether it is the best so far."""

    def rewire(self, record: Record) -> None:
        """The topology has changed: ``dropped`` and ``replaced``, how many weights of each matrix; of runs
        only."""

    def epoch(self, record: Record) -> None:
        """An epoch is over: ``nnz``; of a run also what it cost."""

    def checkpoint(self, path: Path) -> None:
        """A checkpoint was written; of runs only."""

    def end(self, record: Record) -> None:
        """Training has ended; these are its results."""

    def close(self) -> None:
        """Training has ended, or was stopped or given up; what was opened can be closed."""


class Reporters(Reporter):
    """Passes all events on to several reporters, in their order."""

    def __init__(self, reporters: Iterable[Reporter]) -> None:
        every = list(reporters)
        for name in (name for name in vars(Reporter) if not name.startswith("_")):
            setattr(self, name, partial(_tell, [getattr(reporter, name) for reporter in every]))


def _tell(methods: Iterable[Callable[..., None]], *told: Any) -> None:
    for method in methods:
        method(*told)
