"""What training carries from step to step besides the arena: counters and random generators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

# Appended to, never reordered: the place decides a generator's numbers.
GENERATORS = ("initial", "dropout", "topology")


def make_generators(seed: int) -> dict[str, np.random.Generator]:
    """Independent random generators from one seed, by what they are for."""
    children = np.random.SeedSequence(seed).spawn(len(GENERATORS))
    return {
        name: np.random.Generator(np.random.PCG64(child))
        for name, child in zip(GENERATORS, children, strict=True)
    }


def part_generators(generators: Mapping[str, np.random.Generator], rank: int) -> None:
    """Let each rank but the first draw other dropout, far from where the first one does."""
    if rank:
        generator = generators["dropout"].bit_generator
        assert isinstance(generator, np.random.PCG64)
        generator.state = generator.jumped(rank).state


@dataclass
class TrainingState:
    """What changes from step to step, besides arrays and generators.

    Attributes
    ----------
    planned_steps : int
        Steps that the run had before it when it began; the drop fraction falls to 0 over them.
    lr : float
    step : int
        Steps done.
    settled : bool
        Whether evaluation and rewiring after `step` are done.
    best : dict or None
        What was measured of the best model on the validation data, since the model has as few weights as it
        has now.
    best_nnz : int or None
        How many weights that model has.
    stale : int
        Evaluations since that one.
    records : int
        Lines of the metrics so far.
    tokens : int
        Tokens trained on.
    seconds, step_seconds, update_seconds : float
        Wall time of the run, and of its training steps and its topology updates without compilation.
    net_seconds : float
        Wall time of the training steps, each times the density of the model in it: what training would take
        if time went with the number of weights.
    flops : float
        Multiplications and additions of all training steps, counted as in `truesparse.training.describe`, a
        backward pass as two forward passes.
    interval : dict
        Sums since the last record of the training loss: losses by their weights, weights, tokens, seconds.
    epoch : dict
        Seconds of steps and of topology updates in this epoch, without compilation.
    changed : dict
        For each matrix, how many weights were dropped and how many grown since the last record of that.
    """

    planned_steps: int
    lr: float
    step: int = 0
    settled: bool = True
    best: dict[str, Any] | None = None
    best_nnz: int | None = None
    stale: int = 0
    records: int = 0
    tokens: int = 0
    seconds: float = 0.0
    step_seconds: float = 0.0
    update_seconds: float = 0.0
    flops: float = 0.0
    interval: dict[str, float] = field(
        default_factory=lambda: {"loss": 0.0, "weight": 0, "tokens": 0, "seconds": 0.0}
    )
    epoch: dict[str, float] = field(default_factory=lambda: {"steps": 0.0, "updates": 0.0})
    changed: dict[str, tuple[int, int]] = field(default_factory=dict)
    net_seconds: float = 0.0

    def add_step(self, loss: float, weight: float, tokens: int, seconds: float, density: float) -> None:
        """Count a step of a model of that density, whose mean loss counts `weight`."""
        self.tokens += tokens
        self.step_seconds += seconds
        self.net_seconds += seconds * density
        self.epoch["steps"] += seconds
        added = {"loss": loss * weight, "weight": weight, "tokens": tokens, "seconds": seconds}
        self.interval = {name: total + added[name] for name, total in self.interval.items()}

    def add_changes(self, changed: Mapping[str, tuple[int, int]], seconds: float) -> None:
        """Count an update of the topology."""
        self.update_seconds += seconds
        self.epoch["updates"] += seconds
        for name, (dropped, grown) in changed.items():
            before = self.changed.get(name, (0, 0))
            self.changed[name] = before[0] + dropped, before[1] + grown
