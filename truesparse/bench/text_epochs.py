"""Epochs of a text classifier, truly sparse."""

from __future__ import annotations

from typing import Any

from truesparse.kernels.threads import ThreadTrial, thread_count, threading_layer
from truesparse.nn import SequenceModel
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
    model : SequenceModel
    batches : SequenceBatches
        Of the training texts.
    """

    def __init__(self, config: ClassifierConfig) -> None:
        self._task = task = TextClassification(config)
        generators = make_generators(config.seed)
        model, _ = build_model(task, generators["initial"])
        assert isinstance(model, SequenceModel)
        self.model, self.batches = model, task.train
        task.begin(model)
        self._learner = Learner(config, model, generators, task.steps_per_epoch)
        self._planned = config.epochs * task.steps_per_epoch
        self._steps = 0

    def loss(self) -> float:
        """The mean loss of the first batch, without dropout."""
        return self._task.learn(0, 0, None).loss

    def tune(self) -> None:
        """Find out whether one thread is faster than all, as training does; compile what an epoch needs."""
        trial = ThreadTrial()
        while trial.running:
            with trial:
                trial.amount = self._step()
        self._steps = self._task.steps_per_epoch - 1
        self._step()  # with the update that ends an epoch
        self._steps = 0

    def step(self) -> None:
        """An epoch."""
        for _ in range(self._task.steps_per_epoch):
            self._step()

    def facts(self) -> dict[str, Any]:
        """Return what the report says about this side."""
        return {
            "nnz": self.model.arena.nnz,
            "dense_parameters": self.model.spec.dense_parameters,
            "texts": len(self.batches.sequences),
            "tokens": int(self.batches.sequences.lengths.sum()),
            "batches": self._task.steps_per_epoch,
            "threads": thread_count(),
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
