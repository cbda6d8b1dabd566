"""Epochs of a text classifier, truly sparse."""

from __future__ import annotations

from collections import Counter
from typing import Any

from truesparse.bench.ours import most_used
from truesparse.kernels.threads import ThreadTrial, thread_count, threading_layer
from truesparse.training.build import build_model
from truesparse.training.classification import TextClassification
from truesparse.training.learner import Learner
from truesparse.training.state import make_generators
from truesparse.training.task_configs import ClassifierConfig


class SparseEpochs:
    """Training as the command line has it, without evaluations and files.

    Parameters
    ----------
    config : ClassifierConfig
        Filled in.

    Attributes
    ----------
    model : Model
    batches : SequenceBatches
        Of the training texts.
    """

    def __init__(self, config: ClassifierConfig) -> None:
        self._task = task = TextClassification(config)
        generators = make_generators(config.seed)
        self.model, _ = build_model(task, generators["initial"])
        self.batches = task.train
        task.begin(self.model)
        self._learner = Learner(config, self.model, generators, task.steps_per_epoch)
        self._planned = config.epochs * task.steps_per_epoch
        self._steps = 0
        self._trial = ThreadTrial()
        self._threads: Counter[int] = Counter()

    def loss(self) -> float:
        """The mean loss of the first batch, without dropout."""
        return self._task.learn(0, 0, None).loss

    def tune(self) -> None:
        """Find out whether one thread is faster than all, as training does; compile what an epoch needs."""
        self.tune_again()
        self._steps = self._task.steps_per_epoch - 1
        self._step()  # with the update that ends an epoch
        self._steps = 0

    def tune_again(self) -> None:
        """Find out again, between turns; the next epoch begins with the batch it would have begun with."""
        before = self._steps
        self._trial.again()
        while self._trial.running:
            with self._trial:
                self._trial.amount = self._step()
        self._steps = before

    def step(self) -> None:
        """An epoch."""
        self._threads[thread_count()] += 1
        for _ in range(self._task.steps_per_epoch):
            self._step()

    def facts(self) -> dict[str, Any]:
        """Return what the report says about this side."""
        return {
            "nnz": self.model.arena.nnz,
            "dense_parameters": self.model.chain.dense_parameters,
            "texts": len(self.batches.sequences),
            "tokens": int(self.batches.sequences.lengths.sum()),
            "batches": self._task.steps_per_epoch,
            "threads": most_used(self._threads),
            "threading_layer": threading_layer(),
        }

    def _step(self) -> int:
        learner, task, planned = self._learner, self._task, self._planned
        step = self._steps % planned
        epoch, k = divmod(step, task.steps_per_epoch)
        done = learner.step(task, epoch, k, step + 1, planned)
        learner.evolve(task, step + 1, planned)
        self._steps += 1
        return done.tokens
