"""One step of training: gradients, clipping, the optimizer's step, and the change of topology that is due."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from truesparse.data.batches import Batch
from truesparse.errors import TruesparseError, UsageError
from truesparse.optim import GradientNorm, Optimizer
from truesparse.training.evolution import Evolution, TopologyChange

if TYPE_CHECKING:
    from truesparse.model import Model, State, Workspace


class StepMeasures(NamedTuple):
    """What a training step came to.

    Attributes
    ----------
    loss : float
        Mean of the batch before the step, in nats.
    gradient_norm : float
        Before clipping.
    dense : bool
        Whether the gradients of all positions were computed.
    """

    loss: float
    gradient_norm: float
    dense: bool


class Training:
    """The one owner of a training step: a model, what changes its numbers, and what changes its topology.

    Parameters
    ----------
    model : Model
    optimizer : Optimizer
        On the model's arena.
    evolution : Evolution, optional
        Without it the topology stays.
    clip : float
        Largest norm of the whole gradient; 0 for no limit.
    rng : numpy.random.Generator, optional
        Draws what dropout drops; without it nothing is dropped.
    clock : callable
        Gives seconds, for `TopologyChange.seconds`.

    Attributes
    ----------
    model, optimizer, evolution
        As given.
    steps : int
        Steps done; updates of the topology go by it.
    state : State or None
        The hidden state that is carried from batch to batch, once there was a batch that carries it.
    """

    def __init__(
        self,
        model: Model,
        optimizer: Optimizer,
        evolution: Evolution | None = None,
        clip: float = 0.0,
        rng: np.random.Generator | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        if getattr(optimizer, "arena", None) is not model.arena:
            raise UsageError("the optimizer is not this model's; make one with build(model.arena)")
        self.model = model
        self.optimizer = optimizer
        self.evolution = evolution
        self.steps = 0
        self.state: State | None = None
        self._gradient_norm = GradientNorm(clip)
        self._rng = rng
        self._clock = clock
        self._workspace: Workspace | None = None
        self._owed = False  # whether an update of the topology is due that was not made yet

    def step(self, batch: Batch) -> StepMeasures:
        """Learn from a batch.

        An update of the topology that is due afterwards is made by `evolve`, or else when the next step
        begins: until then the model can be measured as the optimizer left it.

        Raises
        ------
        UsageError
            The model cannot read the batch; see `truesparse.model.checks.check_batch`.
        TruesparseError
            The loss or the gradient is not finite any more.
        """
        self.evolve()
        arena, evolution, number = self.model.arena, self.evolution, self.steps + 1
        arena.zero_grad()
        loss = self.add_gradients(batch)
        self.check_finite(loss, "loss", number)
        norm, scale = self._gradient_norm(arena)
        self.check_finite(norm, "norm of the gradient", number)
        self.steps = number
        if evolution is None:
            self._change(scale, batch.rate)
            return StepMeasures(loss, norm, dense=False)
        hooks = evolution.hooks
        hooks.observe(self._dense_gradients, scale)
        self._owed = evolution.due(number)
        if not evolution.replaces(number):
            self._change(scale, batch.rate)
            hooks.after_step(self.optimizer.lr * batch.rate)
        return StepMeasures(loss, norm, evolution.dense(number))

    def _change(self, scale: float, rate: float) -> None:
        """Let the optimizer make a step, with `rate` times its learning rate."""
        lr = self.optimizer.lr
        self.optimizer.lr = lr * rate
        try:
            self.optimizer.step(scale)
        finally:
            self.optimizer.lr = lr

    def add_gradients(self, batch: Batch) -> float:
        """Add the gradients of a batch to those in the arena; returns the mean loss."""
        from truesparse.model.checks import check_batch  # which the list of flags does not need

        check_batch(self.model.chain, batch)
        inputs = batch.inputs
        if batch.carries:
            if self.state is None:
                self.state = self.model.zero_state(inputs.shape[-1])
            elif batch.begins:
                self.state.reset()
        return self.model.loss_and_gradients(
            inputs,
            batch.targets,
            self.workspace(inputs.shape[0], inputs.shape[-1]),
            self.state if batch.carries else None,
            lengths=batch.lengths,
            rng=self._rng,
            weights=batch.weights,
        )

    def evolve(self) -> TopologyChange | None:
        """Make the update of the topology that is due after the last step; None if none is."""
        if not self._owed or self.evolution is None:
            return None
        self._owed = False
        began = self._clock()
        fraction = self.evolution.fraction(self.steps)
        changed = self.evolution.update(self.steps, self._dense_gradients)
        return TopologyChange(fraction, changed, self._clock() - began)

    def workspace(self, steps: int, batch: int) -> Workspace:
        """The buffers for windows of up to so many steps: those of the training steps, if they are large
        enough.

        They must not be used between a step and the update of a topology that goes by its gradients.
        """
        mine = self._workspace
        if mine is None or mine.window.panels.steps < steps or mine.window.panels.batch != batch:
            self._workspace = mine = self.model.workspace(steps, batch)
        return mine

    def free_workspace(self) -> None:
        """Let go of the buffers; the next step makes new ones."""
        self._workspace = None

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: without the buffers."""
        return {**vars(self), "_workspace": None}

    def check_finite(self, value: float, what: str, number: int) -> None:
        """Raise TruesparseError with advice if a value of a step is not finite."""
        if not math.isfinite(value):
            clip = self._gradient_norm.max_norm
            advice = f"a lower --clip (it is {clip:g})" if clip else "a --clip above 0"
            raise TruesparseError(
                f"the {what} is {value} at step {number}"
                f"; try a lower --lr (it is {self.optimizer.lr:g}) or {advice}"
            )

    def counters(self) -> dict[str, Any]:
        """What JSON can hold and it takes to go on, besides the arena and random generators."""
        evolution = {} if self.evolution is None else self.evolution.counters()
        return {"optimizer": self.optimizer.counters(), "evolution": evolution}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays that it takes to go on, besides the arena; see `Evolution.arrays`."""
        return {} if self.evolution is None else self.evolution.arrays()

    def restore(
        self, steps: int, settled: bool, counters: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
    ) -> None:
        """Go on after `steps` steps, with what `counters` and `arrays` gave then.

        `settled` says whether the update of the topology was made that was due after the last step.
        """
        self.steps = steps
        self.optimizer.restore(counters.get("optimizer", {}))
        if self.evolution is not None:
            self.evolution.restore(counters.get("evolution", {}), arrays)
            # One that takes the place of a step is made with it
            self._owed = not settled and self.evolution.due(steps) and not self.evolution.replaces(steps)

    def _dense_gradients(self) -> dict[str, Any]:
        assert self._workspace is not None
        return self.model.dense_gradients(self._workspace)
