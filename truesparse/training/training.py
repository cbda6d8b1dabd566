"""A step of training, an epoch of them, and what is due after these."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from types import NoneType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from truesparse.data.batches import Batch, Batches
from truesparse.errors import TruesparseError, UsageError
from truesparse.optim import GradientNorm, Optimizer
from truesparse.settings import check_kind
from truesparse.topology import schedules
from truesparse.training.communicator import SERIAL, Communicator
from truesparse.training.evolution import Evolution, TopologyChange
from truesparse.training.local_steps import OuterStep
from truesparse.training.lockstep import CHECK_STEPS, GradientSum, check_equal, reduced

if TYPE_CHECKING:
    from truesparse.model import Model, State, Workspace


class Diverged(TruesparseError):
    """A loss or a gradient that is not finite."""


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
    """Makes training steps: owns a model, its optimizer, and the changes of its topology.

    `step` and `epoch` train. You may then measure the model, within `optimizer.averaged`, and compare it with
    `is_best`. After that, `settle` lowers the learning rate or changes the topology, if that is due.

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
    decay : (float, int)
        What the learning rate is divided by whenever `settle` lowers it, and after how many epochs it falls
        in any case; 0 for none. See `OptimizerSettings.decay`.
    communicator : Communicator, optional
        The ranks that share each batch; each makes all calls of `step`, with the whole batch, and of all that
        follows.
    local_steps : int
        Above 1, ranks learn from their own lanes only, and come together after so many steps, and before the
        topology changes. While the learning rate is high they come together sooner; see
        `truesparse.training.local_steps`.
    outer_momentum : float
        Of these meetings; see `truesparse.training.local_steps`.
    cosine : int
        Above 0, the learning rate falls after each epoch along half a cosine, to 0 after so many steps, and
        `decay` does nothing.

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
        decay: tuple[float, int] = (1.0, 0),
        communicator: Communicator = SERIAL,
        local_steps: int = 1,
        outer_momentum: float = 0.0,
        cosine: int = 0,
    ) -> None:
        from truesparse.model.checks import check_model  # which the list of flags does not need

        check_model(model)
        if getattr(optimizer, "arena", None) is not model.arena:
            raise UsageError("the optimizer is not this model's; make one with build(model.arena)")
        check_kind("clip", clip, Real, "a number")
        if not clip >= 0:
            raise UsageError(f"clip is {clip}; it must be at least 0")
        check_kind(
            "evolution", evolution, (Evolution, NoneType), "an Evolution or None; a method goes to fit"
        )
        check_kind("rng", rng, (np.random.Generator, NoneType), "a numpy.random.Generator or None")
        self.model = model
        self.optimizer = optimizer
        self.evolution = evolution
        self.steps = 0
        self.state: State | None = None
        self._gradient_norm = GradientNorm(clip)
        self._rng = rng
        self._clock = clock
        self._decay = decay
        self._cosine = cosine
        self._first_lr = optimizer.lr
        self._communicator = communicator
        meetings = communicator, model.arena, local_steps, outer_momentum
        self._outer = OuterStep(*meetings) if local_steps > 1 else None
        self._checked = -CHECK_STEPS
        self._lookups = model.chain.lookups
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
            The loss or the gradient is no longer finite.
        """
        self.evolve()
        arena, evolution, number = self.model.arena, self.evolution, self.steps + 1
        local = self._outer is not None
        if evolution is not None and evolution.replaces(number):
            local = False  # positions are chosen by a gradient of common weights
            self.come_together()
        if self.together and number - self._checked > CHECK_STEPS:
            self._checked = self.steps
            check_equal(self._communicator, arena, self.steps, evolution)
        if self._outer is not None and local:
            self._outer.begin()
        arena.zero_grad()
        loss = self._summed_gradients(batch, local)
        arena.drop_frozen_gradients()
        self.check_finite(loss, "loss", number, batch)
        norm, scale = self._gradient_norm(arena)
        self.check_finite(norm, "norm of the gradient", number, batch)
        self.steps = number
        if evolution is None:
            self._change(scale, batch.rate)
            self._count()
            return StepMeasures(loss, norm, dense=False)
        hooks = evolution.hooks
        hooks.observe(self._dense_gradients, 1 / self._communicator.size if local else scale)
        self._owed = evolution.due(number)
        if not evolution.replaces(number):
            self._change(scale, batch.rate)
            hooks.penalize(lambda name: self.optimizer.lasting_rate(name) * batch.rate)
            hooks.after_step(self.optimizer.lr * batch.rate)
            self._count()
        return StepMeasures(loss, norm, evolution.dense(number))

    def epoch(
        self, batches: Batches, number: int, last: Callable[[StepMeasures], bool] = lambda done: False
    ) -> float:
        """Learn from each batch of an epoch, counted from 0, as `step` does; returns the mean loss. `last` is
        asked after each step whether it was the last one."""
        loss = counted = 0.0
        for k in range(len(batches)):
            batch = batches.batch(number, k)
            done = self.step(batch)
            loss += done.loss * batch.counted
            counted += batch.counted
            if last(done):
                break
        if self.evolution is not None and self.evolution.replaces(self.steps):
            self.evolve()  # before an evaluation uses the buffers of the step
        return loss / counted

    def is_best(self, better: bool, nnz: int | None) -> bool:
        """Whether a model that was just measured is the best so far.

        Parameters
        ----------
        better : bool
            Whether it is by what was measured.
        nnz : int or None
            Weights of the best model before. One that was pruned since takes its place.
        """
        shrinks = self.evolution is not None and self.evolution.method.shrinks
        return better or (shrinks and nnz is not None and self.model.arena.nnz < nnz)

    def settle(self, epoch: int, best: bool = True, loss: float | None = None) -> TopologyChange | None:
        """Do what is due after an epoch or a measurement: lower the learning rate, and change the topology.

        Parameters
        ----------
        epoch : int
            How many epochs have just ended; 0 within one.
        best : bool
            Whether the model is the best so far, if it was measured.
        loss : float, optional
            Of the validation data, if that was measured.

        Returns
        -------
        TopologyChange or None
            See `evolve`.
        """
        if loss is not None:
            self.optimizer.evaluated(loss)
        divisor, start = self._decay
        if self._cosine:
            if epoch and self.steps < self._cosine:
                self.optimizer.lr = schedules.cosine(self._first_lr, 0.0, self.steps, self._cosine)
        elif not self.optimizer.averaging and (not best or 0 < start <= epoch):
            self.optimizer.lr /= divisor
        return self.evolve()

    def replan(self, steps: int, planned: int, steps_per_epoch: int) -> None:
        """Go on as after `steps` steps of a run of `planned`, in epochs of so many."""
        self.steps = steps
        self._cosine = planned if self._cosine else 0
        if self.evolution is not None:
            self.evolution.replan(planned, steps_per_epoch)

    @property
    def together(self) -> bool:
        """Whether all ranks have the same weights, as they do between two phases of local steps."""
        return self._outer is None or not self._outer.pending

    def come_together(self) -> None:
        """End a phase of local steps."""
        if self._outer is not None:
            self._outer.step()

    def _change(self, scale: float, rate: float) -> None:
        """Let the optimizer make a step, with `rate` times its learning rate."""
        lr = self.optimizer.lr
        self.optimizer.lr = lr * rate
        try:
            self.optimizer.step(scale)
        finally:
            self.optimizer.lr = lr

    def _count(self) -> None:
        if self._outer is not None:
            self._outer.count(self.steps, self.optimizer.lr / self._first_lr)

    def add_gradients(
        self, batch: Batch, local: bool = False, final: Callable[[Sequence[str]], None] | None = None
    ) -> float:
        """Add the gradients of a batch to those in the arena; returns the mean loss. Of several ranks each
        has its part of both, which the others do not know yet, or with `local` those of its lanes alone.
        `final` is as in `Model.loss_and_gradients`."""
        from truesparse.model.checks import check_batch  # which the list of flags does not need

        batch, share = self._communicator.cut(batch)
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
            share=1.0 if local else share,
            final=final,
        )

    def _summed_gradients(self, batch: Batch, local: bool) -> float:
        """Leave the gradients of a batch in the arena, and return its mean loss, both of all ranks together;
        with `local` the gradients of the lanes of this rank alone."""
        communicator = self._communicator
        if communicator.size == 1:
            return self.add_gradients(batch)
        if local:
            return communicator.sums(self.add_gradients(batch, local) * communicator.cut(batch)[1])[0]
        gradients = GradientSum(communicator, self.model.arena, self._lookups, batch.inputs)
        loss = self.add_gradients(batch, final=gradients.begin)
        gradients.finish()
        return communicator.sums(loss)[0]

    def evolve(self) -> TopologyChange | None:
        """Make the update of the topology that is due after the last step; None if none is."""
        if not self._owed or self.evolution is None:
            return None
        self._owed = False
        self.come_together()
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

    def check_finite(self, value: float, what: str, number: int, batch: Batch | None = None) -> None:
        """Raise `Diverged` with advice if a value of a step is not finite; the batch may be to blame."""
        if not math.isfinite(value):
            if batch is not None:
                from truesparse.model.checks import check_numbers

                check_numbers(batch)
            clip = self._gradient_norm.max_norm
            advice = f"a lower --clip (it is {clip:g})" if clip else "a --clip above 0"
            raise Diverged(
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

    def restore(self, settled: bool, counters: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what `counters` and `arrays` gave, after `replan`.

        `settled` says whether the update of the topology was made that was due after the last step.
        """
        self.optimizer.restore(counters.get("optimizer", {}))
        if self.evolution is not None:
            self.evolution.restore(counters.get("evolution", {}), arrays)
            # One that takes the place of a step is made with it
            due = self.evolution.due(self.steps) and not self.evolution.replaces(self.steps)
            self._owed = due and not settled

    def _dense_gradients(self) -> dict[str, Any]:
        assert self._workspace is not None
        return reduced(self._communicator, self.model.dense_gradients(self._workspace))
