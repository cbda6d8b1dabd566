"""Who is told how training goes."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

Record = Mapping[str, Any]


def to_json(record: Record) -> str:
    """A record as one line of JSON, where numbers that are not finite become null: JSON has none."""
    finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in record.items()}
    return json.dumps(finite, allow_nan=False)


# What models are chosen by, and what people call it: of those that an evaluation has, the first one.
MEASURES = {"f1": "F1", "accuracy": "accuracy", "r2": "R²", "perplexity": "perplexity"}


def common_measure(evaluations: Iterable[Record]) -> str | None:
    """The first of `MEASURES` that all records of evaluations have; None if there is none."""
    every = list(evaluations)
    return next((name for name in MEASURES if all(name in record for record in every)), None)


@dataclass(frozen=True)
class RunInfo:
    """What a run is, as it starts.

    Attributes
    ----------
    path : Path
        Its folder.
    data : str
        Description of what it learns from.
    step, total_steps, steps_per_epoch : int
        `step` is above 0 when a run is resumed.
    nnz, dense_parameters : int
        Weights that exist, and positions there are.
    threads : int
    gates : dict of str to tuple of str
        Names of the gates whose densities records tell, by the matrix.
    """

    path: Path
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
    """Does nothing with what it is told; a display overrides what it shows.

    Records are those of ``metrics.jsonl``.
    """

    def start(self, info: RunInfo) -> None:
        """Training begins or goes on."""

    def compiling(self) -> None:
        """The first kernel is not in the cache and is being compiled."""

    def compiled(self, seconds: float) -> None:
        """The first step is done; kernels compiled for so long."""

    def step(self, progress: Progress) -> None:
        """One step is done."""

    def train(self, record: Record) -> None:
        """Training loss of an interval."""

    def eval(self, record: Record) -> None:
        """Validation loss."""

    def rewire(self, record: Record) -> None:
        """The topology has changed."""

    def epoch(self, record: Record) -> None:
        """An epoch is over; this is what it cost."""

    def checkpoint(self, path: Path) -> None:
        """A checkpoint was written."""

    def end(self, record: Record) -> None:
        """The run has ended; these are its results."""
