"""The training loop: when things happen.

`Training` makes a step. What follows it is *settled* in this order: evaluate
(and keep the model if it is the best so far), lower the learning rate, rewire, record what an epoch cost,
write a checkpoint. A checkpoint says whether its step is settled, so a run can stop within an evaluation and
repeat it later. Everything else is a function of the step number: the position in the text, and when to
evaluate or rewire.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from truesparse.errors import TruesparseError, typed
from truesparse.kernels.threads import ThreadTrial
from truesparse.model.saving import save_model
from truesparse.training import checkpoint
from truesparse.training.build import build_training
from truesparse.training.describe import dense_flops_per_token, densities, flops_per_token
from truesparse.training.environment import peak_memory_bytes
from truesparse.training.evaluation import EvaluationStopped
from truesparse.training.evolution import Evolution, TopologyChange
from truesparse.training.lockstep import check_equal
from truesparse.training.reporter import Progress, Reporter
from truesparse.training.restoring import check_memory, generator_states, restore_generators, restored_state
from truesparse.training.rundir import RunDirectory
from truesparse.training.state import TrainingState
from truesparse.training.stopping import is_late, is_stale
from truesparse.training.task import Task
from truesparse.training.topologies import begin_keeping

if TYPE_CHECKING:
    from truesparse.model import Model

CHECKPOINT_SECONDS = 300.0
_TRIAL_STEPS = 1600  # of ranks: a number of threads that is five times as slow costs a hundredth


class TrainingStopped(TruesparseError):
    """Training was asked to stop and has saved a checkpoint."""

    exit_code = 130


class Trainer:
    """Trains a model, from the beginning or from a checkpoint.

    Parameters
    ----------
    task : Task
    model : Model
        Of the task.
    generators : dict of str to Generator
        See `truesparse.training.state.make_generators`.
    reporter : Reporter
    stop : callable
        Asked after each step, and within evaluations, whether to save and stop.
    compile_seconds : callable
        Gives the seconds spent compiling so far, which do not count as training.

    Attributes
    ----------
    task, reporter, stop
        As given.
    training : Training
        Until `train` has ended.
    config : Config
        That of the task.
    state : TrainingState
    threads : int
        How many the steps are made with now; see `ThreadTrial`.
    steps_per_epoch, total_steps : int
        Batches of the training data, and the step at which this run ends at the latest.
    """

    def __init__(
        self,
        task: Task,
        model: Model,
        generators: dict[str, np.random.Generator],
        reporter: Reporter,
        stop: Callable[[], bool] = lambda: False,
        compile_seconds: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.task = task
        self.config = config = task.config
        self._dense_flops = dense_flops_per_token(task.chain)
        self.steps_per_epoch = len(task.train)
        self.total_steps = min(config.epochs * self.steps_per_epoch, config.max_steps or sys.maxsize)
        several = task.communicator.size > 1
        self._threads = ThreadTrial(on=config.threads == 0, every=_TRIAL_STEPS if several else 0)
        self.state = TrainingState(planned_steps=self.total_steps, lr=config.optimizer_settings.lr)
        self._generators = generators
        self.reporter = reporter
        self.stop = stop
        self._compile_seconds = compile_seconds
        self.training = build_training(
            *(config, model, generators, task.chain, self.steps_per_epoch, self.total_steps),
            lambda: time.perf_counter() - compile_seconds(),
            task.communicator,
        )
        lanes = config.batch_size // task.communicator.size
        self.training.workspace(task.longest, lanes)
        if task.train.carries:
            self.training.state = model.zero_state(lanes)

    @property
    def model(self) -> Model:
        """The model that is trained."""
        return self.training.model

    @property
    def _evolution(self) -> Evolution:
        assert self.training.evolution is not None
        return self.training.evolution

    @property
    def relative_flops(self) -> float:
        """Multiplications and additions so far, relative to training a dense model of the sizes asked for."""
        return self.state.flops / (3 * self._dense_flops * self.state.tokens)

    @property
    def threads(self) -> int:
        """How many threads the steps are made with now."""
        return self._threads.count

    @property
    def ended_by(self) -> str:
        """The setting that has ended training before its last step; empty if none has."""
        if self.state.step >= self.total_steps:
            return ""
        return "patience" if is_stale(self.state.stale, self.config.patience) else "max_minutes"

    def check_plan(self) -> None:
        """Raise UsageError if the run is too short for what its method has to do."""
        self._evolution.check()

    def restore(self, saved: checkpoint.Checkpoint) -> None:
        """Go back to where a checkpoint was written; `model` must be the checkpoint's.

        Raises
        ------
        TruesparseError
            The data have changed since, or the checkpoint does not say all that it has to.
        """
        state = restored_state(saved, self.task.chosen_by)
        if saved.training.get("text_crc32") != self.task.crc32 or not self.task.reads_like(saved):
            raise TruesparseError(
                "the text is not the one this run was trained on"
                "; give --data the same text, or start a new run"
            )
        check_memory(saved, self.training)
        restore_generators(saved, self._generators, self.task.communicator)
        self.training.replan(state.step, state.planned_steps, self.steps_per_epoch)
        self.training.restore(state.settled, saved.training, saved.evolution)
        self.state = state
        if self.training.state is not None:
            self.training.state.load(self.task.communicator.own_lanes(saved.hidden))
        self.training.optimizer.lr = self.state.lr

    def train(self, run: RunDirectory) -> dict[str, Any]:
        """Train to the end; then the memory of the last model is free, the best one being in a file.

        Parameters
        ----------
        run : RunDirectory
            Where metrics, the best model and checkpoints go. Of its records those that were written after
            the checkpoint are dropped.

        Returns
        -------
        dict
            See `Evolution.measures`.

        Raises
        ------
        TrainingStopped
            `stop` returned True; a checkpoint has been written.
        TruesparseError
            The loss is no longer finite, or a file cannot be written. The last checkpoint is unharmed.
        """
        self._run = run
        self._saved_at = time.perf_counter()
        self._began_at = self._saved_at - self.state.seconds
        self._ending = self._is_over()
        first_step = self.state.step
        communicator = self.task.communicator
        kept = communicator.broadcast(run.keep_records(self.state.records))
        if communicator.rank == 0:
            begin_keeping(self._evolution, run.path, first_step)
        try:
            if kept < self.state.records:  # somebody has cut the file: let the checkpoint count what is there
                self.state.records = kept
                self._save()
            while True:
                if not self.state.settled:
                    self._settle()
                if self._ending or is_stale(self.state.stale, self.config.patience):
                    break
                if self.training.together:  # a checkpoint has the weights of all ranks
                    if self.stop():
                        raise EvaluationStopped
                    if communicator.any(time.perf_counter() - self._saved_at > CHECKPOINT_SECONDS):
                        self._save()
                with self._threads:
                    self._threads.amount = self._step()
                if self.state.step == first_step + 1 and self._compile_seconds() > 0:
                    self.reporter.compiled(self._compile_seconds())
            self._evolution.keep_last(self.state.step)
        except EvaluationStopped:
            self._save()
            raise TrainingStopped(
                f"stopped after step {self.state.step} and saved"
                f"; go on with: truesparse train {self.config.TASK} --resume {typed(run.path)}"
            ) from None
        finally:
            self.state.seconds = time.perf_counter() - self._began_at
        measures = self._evolution.measures()
        del self.training
        return measures

    def _step(self) -> int:
        """One batch; returns its tokens."""
        state = self.state
        began, compiled = time.perf_counter(), self._compile_seconds()
        epoch, k = divmod(state.step, self.steps_per_epoch)
        batch = self.task.train.batch(epoch, k)
        density = self.model.arena.nnz / self.task.chain.dense_parameters
        done = self.training.step(batch)
        state.step += 1
        state.settled = False
        seconds = time.perf_counter() - began - (self._compile_seconds() - compiled)
        state.flops += batch.tokens * (3 * flops_per_token(self.model) + done.dense * self._dense_flops)
        state.add_step(done.loss, batch.counted, batch.tokens, seconds, density)
        self.reporter.step(Progress(state.step, epoch + 1, done.loss))
        self._ending = self._is_over()
        if state.step % self.config.log_interval == 0 or self._ending:
            self._log(done.gradient_norm)
        if self._evolution.replaces(state.step):  # before an evaluation uses the buffers of the step
            self._note(self.training.evolve())
        return batch.tokens

    def _log(self, norm: float) -> None:
        """Record the training loss since the last record."""
        sums = self.state.interval
        self._record(
            "train",
            **self.task.of_loss(sums["loss"] / sums["weight"]),
            gradient_norm=norm,
            tokens_per_second=sums["tokens"] / sums["seconds"],
            threads=self.threads,
        )
        self.state.interval = dict.fromkeys(sums, 0)

    def _settle(self) -> None:
        """Do what is due after the step that was made last."""
        state = self.state
        evaluated = self._due(self.config.eval_interval) or self._ending
        best, loss = self._evaluate() if evaluated else (True, None)
        ended = self._due(0)
        change = self.training.settle(state.step // self.steps_per_epoch if ended else 0, best, loss)
        state.lr = self.training.optimizer.lr
        self._note(change)
        logged = ended or self._due(self.config.log_interval) or self._ending
        if logged and state.changed:
            self._log_changes()
        if ended:
            self._end_epoch()
        state.settled = True
        if evaluated:
            self._save()

    def _is_over(self) -> bool:
        """Whether steps or time are at their end after the last step, which is evaluated if it was new."""
        state, seconds = self.state, time.perf_counter() - self._began_at
        late = is_late(seconds, self.config.max_minutes) and (state.best is not None or not state.settled)
        return state.step >= self.total_steps or self.task.communicator.any(late)

    def _due(self, interval: int) -> bool:
        return self.state.step % (interval or self.steps_per_epoch) == 0

    def _evaluate(self) -> tuple[bool, float]:
        """Measure the model, and keep it if it is the best; returns whether it is, and its loss."""
        state = self.state
        self.training.come_together()
        optimizer = self.training.optimizer
        with optimizer.averaged():
            measures = self.task.evaluate(self.model, "valid", self.training.workspace, self.stop)
            self.training.check_finite(measures["loss"], "validation loss", state.step + 1)
            better = state.best is None or self.task.better(measures, state.best)
            best = self.training.is_best(better, state.best_nnz)
            state.stale = 0 if best or self._evolution.takes_away(state.step) else state.stale + 1
            if best:
                if self._run.writes:
                    save_model(self._run.model, self.model, history=asdict(self.config), **self.task.reading)
                state.best_nnz = self.model.arena.nnz
                # a checkpoint is JSON, which has no infinity, such as the perplexity of a very bad model
                state.best = {name: value for name, value in measures.items() if math.isfinite(value)}
        self._record(
            "eval",
            **measures,
            chosen_by=self.task.chosen_by[0],
            best=best,
            averaged=optimizer.averaging,
            tokens_per_second=state.tokens / state.step_seconds,
            net_seconds=state.net_seconds,
        )
        return best, measures["loss"]

    def _note(self, done: TopologyChange | None) -> None:
        """Take note of a change of the topology. Of those that come thicker than epochs and records, sums are
        recorded."""
        if done is None:
            return
        state, evolution, interval = self.state, self._evolution, self.config.log_interval
        state.add_changes(done.changed, done.seconds)
        if evolution.interval >= min(interval, self.steps_per_epoch) or state.step % interval == 0:
            self._log_changes()

    def _log_changes(self) -> None:
        """Record the changes of the topology since the last record of them."""
        state, evolution = self.state, self._evolution
        last = evolution.last_update(state.step)
        changed, state.changed = state.changed, {}
        self._record(
            "rewire",
            drop_fraction=evolution.fraction(last),
            replaced={name: grown for name, (_, grown) in changed.items()},
            dropped={name: dropped for name, (dropped, _) in changed.items()},
        )

    def _end_epoch(self) -> None:
        """Record what the epoch cost."""
        state = self.state
        self._record(
            "epoch",
            nnz=self.model.arena.nnz,
            training_flops=state.flops,
            relative_flops=self.relative_flops,
            epoch_seconds=sum(state.epoch.values()),
            net_seconds=state.net_seconds,
            update_seconds=state.epoch["updates"],
        )
        state.epoch = dict.fromkeys(state.epoch, 0.0)

    def _record(self, kind: str, **values: Any) -> None:
        """Write a record and pass it to the reporter."""
        state = self.state
        state.seconds = time.perf_counter() - self._began_at
        record = {
            "kind": kind,
            "step": state.step,
            "epoch": state.step / self.steps_per_epoch,
            **values,
            "lr": state.lr,
            **densities(self.model.arena),
            "seconds": state.seconds,
            **self._evolution.measures(),
            "peak_memory_bytes": peak_memory_bytes(),
        }
        self._run.record(record)
        state.records += 1
        getattr(self.reporter, kind)(record)

    def _save(self) -> None:
        """Write a checkpoint, after the records that it counts are on the disk."""
        communicator, state = self.task.communicator, self.training.state
        check_equal(communicator, self.model.arena, self.state.step, self._evolution)
        hidden = {} if state is None else communicator.gather_lanes(state.arrays())
        self._run.keep()
        self.state.seconds = time.perf_counter() - self._began_at
        training = {
            **asdict(self.state),
            **self.training.counters(),
            **generator_states(self._generators, communicator),
            "text_crc32": self.task.crc32,
        }
        if self._run.writes:
            checkpoint.save_checkpoint(
                self._run.checkpoint,
                self.model,
                history=asdict(self.config),
                hidden=hidden,
                evolution=self.training.arrays(),
                training=training,
                **self.task.reading,
            )
        self._saved_at = time.perf_counter()
        self.reporter.checkpoint(self._run.checkpoint)
