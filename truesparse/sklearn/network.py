"""A model that trains in memory, can be pickled and goes on where it stopped."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from truesparse.data import SequenceBatches, Sequences
from truesparse.errors import UsageError
from truesparse.layers.chain import ChainSpec
from truesparse.model import Model
from truesparse.model.initial import model_like
from truesparse.tasks.label_settings import not_calibrated
from truesparse.tasks.steps import outputs, steps_at_once
from truesparse.topology import get_method
from truesparse.training.build import build_model, build_training
from truesparse.training.calibration import fit_temperature, helps, model_with_temperature
from truesparse.training.config import Config
from truesparse.training.evaluation import predict
from truesparse.training.state import make_generators
from truesparse.training.training import StepMeasures
from truesparse.training.vectors import use_vectors

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
    targets : ndarray of int32, shape (n,), or of float32, shape (outputs, n); or Sequences
        Of each sequence, or of each step.
    weights : ndarray of float64, shape (n,) or (steps,), or None
        0 or more in what a user passes, above 0 in what a network learns from. None if all count the same.
    """

    sequences: Sequences
    targets: Any
    weights: NDArray[np.float64] | None = None

    def select(self, chosen: NDArray[np.int64]) -> Samples:
        """Some of them, by their numbers; one or more."""
        targets, counted = self.targets, chosen
        if isinstance(targets, Sequences):
            starts = targets.starts
            counted = np.concatenate([np.arange(starts[k], starts[k + 1]) for k in chosen])
            targets = targets.select(chosen)
        else:
            targets = targets[..., chosen]
        weights = None if self.weights is None else self.weights[counted]
        return Samples(self.sequences.select(chosen), targets, weights)

    @property
    def right(self) -> NDArray[Any]:
        """The targets of all sequences or steps: ndarray of int32, (n,), or of float32, (outputs, n)."""
        return self.targets.values.T if isinstance(self.targets, Sequences) else self.targets


class Network:
    """A model of sequences and all that its training carries from pass to pass.

    Parameters
    ----------
    config : Config
        Filled in. Its `epochs` are the passes over which the topology changes.
    chain : ChainSpec
        What the configuration asks for; the model of a method that is small and dense has fewer units.
    samples : Samples
        What it will be trained on first.
    start : Model, optional
        The model whose weights and connections it begins with; random ones if not given.
    tokens : sequence of str
        What the rows of the embedding stand for, if the configuration names vectors of words.

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
        The density would leave a matrix without a weight; or there is a model to start with, and it has other
        layers, or the method begins with connections of its own.
    """

    def __init__(
        self,
        config: Config,
        chain: ChainSpec,
        samples: Samples,
        start: Model | None = None,
        tokens: Sequence[str] = (),
    ) -> None:
        self.config = config
        self.chain = chain
        self.passes = 0
        rngs = make_generators(config.seed)
        batches = self._batches(samples)
        steps = len(batches)
        if start is None:
            self.model, _ = build_model(config, chain, batches, rngs["initial"])
            if vectors := vars(config).get("vectors"):
                use_vectors(self.model, Path(vectors), tokens)
        else:
            self.model = _started(config, chain, start)
        self.training = build_training(config, self.model, rngs, chain, steps, config.epochs * steps)
        assert self.training.evolution is not None
        self.training.evolution.check()

    def train(self, samples: Samples, last: Callable[[StepMeasures], bool] = lambda done: False) -> float:
        """Train once on each sequence.

        Parameters
        ----------
        samples : Samples
        last : callable
            See `Training.epoch`.

        Returns
        -------
        float
            Mean loss of a sequence, weighted, with dropout and while the weights of the model change.

        Raises
        ------
        TruesparseError
            The loss or the gradient is no longer finite.
        """
        training, batches = self.training, self._batches(samples)
        steps = len(batches)
        training.replan(self.passes * steps, self.config.epochs * steps, steps)
        training.workspace(batches.longest, batches.batch_size)
        loss = training.epoch(batches, self.passes, last)
        training.evolve()
        training.free_workspace()
        self.passes += 1
        return loss

    def predict(self, sequences: Sequences) -> NDArray[np.float32]:
        """Log-probabilities of the classes, or numbers; shape (n, outputs), or (steps, outputs)."""
        chain, size = self.model.chain, min(self.config.batch_size, len(sequences))
        if not chain.per_step:
            return predict(self.model, sequences, size)
        workspace = self.model.workspace(steps_at_once(chain, sequences, "sequence"), size)
        return outputs(self.model, sequences, workspace)

    def calibrate(self, samples: Samples) -> None:
        """Let scores be divided by the temperature that makes the classes of samples most likely, whatever
        their weights; a warning says if these are too few for that."""
        said, right = self.predict(samples.sequences), samples.right
        temperature = fit_temperature(said, right)
        if not helps(temperature, said, right, ordered=self.model.chain.per_step):
            reason = not_calibrated(temperature, "held-out samples", "validation_fraction")
            warnings.warn(reason, stacklevel=4)
            return
        self.model = self.training.model = model_with_temperature(self.model, temperature)

    @property
    def shrinks(self) -> bool:
        """Whether weights are still to be taken away for good."""
        evolution = self.training.evolution
        return evolution is not None and evolution.takes_away(self.training.steps)

    def _batches(self, samples: Samples) -> SequenceBatches:
        sequences, targets, weights = samples
        return SequenceBatches(sequences, targets, self.config.batch_size, self.config.seed, weights)


def _started(config: Config, chain: ChainSpec, start: Model) -> Model:
    """A model with the weights and connections of another."""
    method = get_method(config.method)
    full = method.initial == "dense" and not method.updates and start.arena.nnz == chain.dense_parameters
    if not full and (method.initial != "sparse" or method.initial_setting or method.prepare is not None):
        raise UsageError(
            f"warm_start does not go with the method {method.name}, which begins with connections of its own"
            "; use one that keeps its density, such as static"
        )
    model = model_like(chain, start, "the model of the last fit, which warm_start begins with,")
    model.arena.values[...] = start.arena.values
    model.arena.touch()
    return model
