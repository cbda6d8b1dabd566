"""A lane of a race: how a candidate, sparse or dense, is trained within its budget."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from truesparse.modelfile import MODEL
from truesparse.settings import Settings, fraction, setting
from truesparse.training.evaluation import perplexity
from truesparse.training.reporter import to_json
from truesparse.training.rundir import METRICS
from truesparse.training.training import Diverged

_PLANNED = 0.5  # of the budget: from there on the plan stays, as methods that prune must come to an end


@dataclass(frozen=True, kw_only=True)
class Budget(Settings):
    """How long every candidate trains, and how its learning rate falls meanwhile."""

    minutes: float = setting(5.0, "Of training steps.", low=0, open_low=True, high=1e6)
    hold: float = fraction(0.4, "Part of the budget before the learning rate falls.", none=True)
    last_rate: float = fraction(0.03, "What it is multiplied by in the end.", all=True)
    evaluations: int = setting(20, "On the validation text, evenly spread.", low=1, high=10_000)

    @property
    def seconds(self) -> float:
        """The budget."""
        return 60 * self.minutes

    def rate(self, used: float) -> float:
        """What the learning rate is multiplied by after `used` seconds: 1, and then less by the same factor a
        second."""
        past = (used / self.seconds - self.hold) / (1 - self.hold)
        return float(self.last_rate ** min(max(past, 0.0), 1.0))


class Measured(NamedTuple):
    """The mean validation loss in nats, and whether the model was kept."""

    loss: float
    kept: bool


class Racer(Protocol):
    """A model that is trained, on either side.

    Attributes
    ----------
    steps_per_epoch : int
    """

    steps_per_epoch: int

    def warm_up(self) -> None:
        """Do everything once, so that no kernel is compiled or loaded later; then begin anew."""

    def plan(self, steps: int) -> None:
        """Take note of how many steps there will be in all."""

    def step(self, rate: float) -> tuple[float, int]:
        """Learn from the next window with `rate` times the learning rate; return its mean loss, in nats, and
        its tokens."""

    def evaluate(self, best: float, model: Path) -> Measured:
        """Measure the model on the validation text, and write it if its loss is below `best`."""

    def test(self, folder: Path) -> float:
        """The mean loss of the model in a folder, on the test text."""

    def facts(self) -> dict[str, Any]:
        """What the line of results says of it: `threads`, `nnz`, `dense_parameters`, `relative_flops` and
        more; `failed` is a sentence on why the model cannot win."""


def run_lane(racer: Racer, budget: Budget, folder: Path) -> dict[str, Any]:
    """Train until the budget is used up.

    Only steps count, with what they do to the topology; reading the text, warming up, evaluations and files
    do not. How many steps there will be is reckoned from the speed so far.

    Parameters
    ----------
    racer : Racer
    budget : Budget
    folder : Path
        Gets a record of each evaluation, and the best model.

    Returns
    -------
    dict
        `valid`, the measures of the best model; `steps`, `epochs`, `seconds`, `tokens_per_second`; and the
        racer's facts.

    Raises
    ------
    Diverged
        The loss is no longer finite.
    """
    racer.warm_up()
    used, best, losses = 0.0, math.inf, 0.0
    steps = tokens = evaluated = since = 0
    with (folder / METRICS).open("w", encoding="utf-8") as metrics:
        while used < budget.seconds:
            rate = budget.rate(used)
            began = time.perf_counter()
            loss, amount = racer.step(rate)
            used += time.perf_counter() - began
            _check(loss, "loss", steps + 1)
            steps, since = steps + 1, since + 1
            tokens, losses = tokens + amount, losses + loss
            done = used / budget.seconds
            if done < _PLANNED:
                racer.plan(max(round(steps / done), steps + 1))
            if done * budget.evaluations < evaluated + 1:
                continue
            evaluated = int(done * budget.evaluations)
            valid, kept = racer.evaluate(best, folder / MODEL)
            _check(valid, "validation loss", steps)
            best = valid if kept else best
            record = {
                "kind": "eval",
                "step": steps,
                "epoch": steps / racer.steps_per_epoch,
                "seconds": used,
                "loss": valid,
                "perplexity": perplexity(valid),
                "train_loss": losses / since,
                "rate": rate,
                "best": kept,
            }
            metrics.write(to_json(record) + "\n")
            metrics.flush()
            losses, since = 0.0, 0
    return {
        "valid": json.loads(to_json({"perplexity": perplexity(best), "loss": best})),
        "steps": steps,
        "epochs": steps / racer.steps_per_epoch,
        "seconds": used,
        "tokens_per_second": tokens / used,
        **racer.facts(),
    }


def _check(loss: float, what: str, step: int) -> None:
    if not math.isfinite(loss):
        raise Diverged(f"the {what} is {loss} at step {step}; try a lower lr or clip")
