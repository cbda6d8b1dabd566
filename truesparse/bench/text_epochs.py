"""Epochs of a text classifier, truly sparse."""

from __future__ import annotations

from collections import Counter
from typing import Any

from truesparse.bench.ours import most_used
from truesparse.kernels.threads import ThreadTrial, thread_count, threading_layer
from truesparse.tasks.classifier.settings import ClassifierConfig
from truesparse.tasks.classifier.task import TextClassification
from truesparse.training.build import build_model, build_training
from truesparse.training.state import make_generators


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
        task = TextClassification(config)
        generators = make_generators(config.seed)
        self.batches = task.train
        self.model, _ = build_model(config, task.chain, self.batches, generators["initial"])
        steps = len(self.batches)
        planned = config.epochs * steps
        self._training = build_training(config, self.model, generators, task.chain, steps, planned)
        self._training.workspace(task.longest, config.batch_size)
        self._planned = planned
        self._steps = 0
        self._trial = ThreadTrial()
        self._threads: Counter[int] = Counter()

    def loss(self) -> float:
        """The mean loss of the first batch, without dropout."""
        batch = self.batches.batch(0, 0)
        workspace = self._training.workspace(*batch.inputs.shape)
        return self.model.loss(batch.inputs, batch.targets, workspace, lengths=batch.lengths)

    def tune(self) -> None:
        """Find out whether one thread is faster than all, as training does; compile what an epoch needs."""
        self.tune_again()
        self._steps = len(self.batches) - 1
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
        for _ in range(len(self.batches)):
            self._step()

    def facts(self) -> dict[str, Any]:
        """Return the facts about this side for the report."""
        return {
            "nnz": self.model.arena.nnz,
            "dense_parameters": self.model.chain.dense_parameters,
            "texts": len(self.batches.sequences),
            "tokens": int(self.batches.sequences.lengths.sum()),
            "batches": len(self.batches),
            "threads": most_used(self._threads),
            "threading_layer": threading_layer(),
        }

    def _step(self) -> int:
        steps = len(self.batches)
        self._training.replan(self._steps % self._planned, self._planned, steps)
        batch = self.batches.batch(*divmod(self._training.steps, steps))
        self._training.step(batch)
        self._training.evolve()
        self._steps += 1
        return batch.tokens
