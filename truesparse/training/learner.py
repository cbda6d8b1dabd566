"""What one training step changes: the weights, and sometimes which of them there are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from truesparse.errors import TruesparseError
from truesparse.optim import GradientNorm, get_optimizer
from truesparse.training.config import Config
from truesparse.training.evolution import Evolution
from truesparse.training.task import Learning

if TYPE_CHECKING:
    from truesparse.model import Model


class Step(NamedTuple):
    """What a training step came to.

    Attributes
    ----------
    loss : float
        Mean of the batch, in nats.
    weight : float
    tokens : int
        See `truesparse.training.task.Learned`.
    gradient_norm : float
        Before clipping.
    dense : bool
        Whether the gradients of all positions were computed.
    rewire : bool
        Whether an update of the topology has to take the place of the optimizer's step, which was not made.
    """

    loss: float
    weight: float
    tokens: int
    gradient_norm: float
    dense: bool
    rewire: bool


class Learner:
    """A model that learns: gradients to zero, forward, backward, norm, clipped optimizer step.

    Parameters
    ----------
    config : Config
        Filled in.
    model : Model
    rngs : dict of str to Generator
        See `truesparse.training.state.make_generators`.
    steps_per_epoch : int

    Attributes
    ----------
    model, optimizer, evolution
    """

    def __init__(
        self, config: Config, model: Model, rngs: Mapping[str, np.random.Generator], steps_per_epoch: int
    ) -> None:
        self.model = model
        self._config = config
        self._dropout_rng = rngs["dropout"]
        choice = get_optimizer(self._config.optimizer)
        self.optimizer = choice.build(model.arena, self._config.weight_decay, vars(self._config))
        self.evolution = Evolution(self._config, model, rngs["topology"], steps_per_epoch)
        self._gradient_norm = GradientNorm(self._config.clip)

    def step(self, learning: Learning, epoch: int, k: int, number: int, planned: int) -> Step:
        """Learn from a batch.

        Parameters
        ----------
        learning : Learning
            Has begun with the model.
        epoch, k : int
            Which one, from 0; see `Learning.learn`.
        number, planned : int
            Of this step, from 1, and of all steps of the run.

        Raises
        ------
        TruesparseError
            The loss or the gradient is not finite any more.
        """
        arena, evolution = self.model.arena, self.evolution
        arena.zero_grad()
        loss, weight, tokens = learning.learn(epoch, k, self._dropout_rng)
        self.check_finite(loss, "loss", number)
        norm, scale = self._gradient_norm(arena)
        self.check_finite(norm, "norm of the gradient", number)
        evolution.observe(learning.dense_gradients, scale)
        dense = evolution.dense(number, planned)
        rewire = evolution.replaces(number, planned)
        if not rewire:
            self.optimizer.step(scale)
            evolution.disturb(self.optimizer.lr)
        return Step(loss, weight, tokens, norm, dense, rewire)

    def evolve(self, learning: Learning, number: int, planned: int) -> None:
        """Change the topology after a step, if it is time to; see `step`."""
        evolution = self.evolution
        if evolution.due(number, planned):
            evolution.update(evolution.fraction(number, planned), learning.dense_gradients)

    def check_finite(self, value: float, what: str, number: int) -> None:
        """Raise TruesparseError with advice if a value of a step is not finite."""
        if not math.isfinite(value):
            clip = self._config.clip
            advice = f"a lower --clip (it is {clip:g})" if clip else "a --clip above 0"
            raise TruesparseError(
                f"the {what} is {value} at step {number}"
                f"; try a lower --lr (it is {self.optimizer.lr:g}) or {advice}"
            )

    def counters(self) -> dict[str, Any]:
        """What JSON can hold and it takes to go on, besides the arena and the generators."""
        return {"optimizer": self.optimizer.counters(), "evolution": self.evolution.counters()}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays that it takes to go on, besides the arena; see `Evolution.arrays`."""
        return self.evolution.arrays()

    def restore(self, counters: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what `counters` and `arrays` gave."""
        self.optimizer.restore(counters.get("optimizer", {}))
        self.evolution.restore(counters.get("evolution", {}), arrays)
