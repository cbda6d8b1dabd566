"""A model that trains in memory, can be pickled and goes on where it stopped."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from truesparse.data import SequenceBatches, Sequences
from truesparse.layers.chain import ChainSpec
from truesparse.tasks.sequences import SequenceConfig
from truesparse.training.build import build_model, build_training
from truesparse.training.calibration import fit_temperature, model_with_temperature
from truesparse.training.evaluation import predict
from truesparse.training.state import make_generators

# Not all of Numba's threading layers may be entered by several threads at once, as joblib's have it.
_ONE_AT_A_TIME = threading.Lock()


@contextmanager
def kernel_threads(count: int) -> Iterator[None]:
    """Let the kernels use so many threads, for this thread's calls and no longer."""
    from truesparse.kernels.threads import set_threads, thread_count

    with _ONE_AT_A_TIME:
        before = thread_count()
        set_threads(count)
        try:
            yield
        finally:
            set_threads(before)


class Samples(NamedTuple):
    """Sequences, what is to be learned of them, and how much each counts.

    Attributes
    ----------
    sequences : Sequences
    targets : ndarray of int32, shape (n,), or of float32, shape (outputs, n)
    weights : ndarray of float64, shape (n,), or None
        0 or more in what a user passes, above 0 in what a network learns from. None if all count the same.
    """

    sequences: Sequences
    targets: NDArray[Any]
    weights: NDArray[np.float64] | None = None

    def select(self, chosen: NDArray[np.int64]) -> Samples:
        """Some of them, by their numbers; one or more."""
        weights = None if self.weights is None else self.weights[chosen]
        return Samples(self.sequences.select(chosen), self.targets[..., chosen], weights)


class Network:
    """A model of sequences and all that its training carries from pass to pass.

    Parameters
    ----------
    config : SequenceConfig
        Filled in. Its `epochs` are the passes over which the topology changes.
    chain : ChainSpec
        What the configuration asks for; the model of a method that is small and dense has fewer units.
    samples : Samples
        What it will be trained on first.

    Attributes
    ----------
    config, chain
        As given.
    model : Model
    training : Training
    passes : int
        How often it was trained.

    Raises
    ------
    UsageError
        The density would leave a matrix without a weight.
    """

    def __init__(self, config: SequenceConfig, chain: ChainSpec, samples: Samples) -> None:
        self.config = config
        self.chain = chain
        self.passes = 0
        rngs = make_generators(config.seed)
        batches = self._batches(samples)
        steps = len(batches)
        self.model, _ = build_model(config, chain, batches, rngs["initial"])
        self.training = build_training(config, self.model, rngs, chain, steps, config.epochs * steps)
        assert self.training.evolution is not None
        self.training.evolution.check()

    def train(self, samples: Samples) -> float:
        """Train once on each sequence.

        Parameters
        ----------
        samples : Samples

        Returns
        -------
        float
            Mean loss of a sequence, weighted, with dropout and while the weights of the model change.

        Raises
        ------
        TruesparseError
            The loss or the gradient is not finite any more.
        """
        training, batches = self.training, self._batches(samples)
        steps = len(batches)
        training.replan(self.passes * steps, self.config.epochs * steps, steps)
        training.workspace(batches.longest, batches.batch_size)
        loss = training.epoch(batches, self.passes)
        training.evolve()
        training.free_workspace()
        self.passes += 1
        return loss

    def predict(self, sequences: Sequences) -> NDArray[np.float32]:
        """Log-probabilities of the classes, or numbers; shape (n, outputs)."""
        return predict(self.model, sequences, self.config.batch_size)

    def calibrate(self, samples: Samples) -> None:
        """Let scores be divided by the temperature that makes the classes of samples most likely, whatever
        their weights."""
        temperature = fit_temperature(self.predict(samples.sequences), samples.targets)
        self.model = self.training.model = model_with_temperature(self.model, temperature)

    def _batches(self, samples: Samples) -> SequenceBatches:
        sequences, targets, weights = samples
        return SequenceBatches(sequences, targets, self.config.batch_size, self.config.seed, weights)
