"""Learning from whole sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from truesparse.data import SequenceBatches
from truesparse.layers.chain import Chain
from truesparse.layers.models import sequence_model
from truesparse.training.task import Learned, Learning, cell_settings
from truesparse.training.task_configs import SequenceConfig

if TYPE_CHECKING:
    from truesparse.layers.layer import GradientRows
    from truesparse.model import Model


class SequenceLearning(Learning):
    """A model of whole sequences learns from some, each with a class or numbers of its own.

    Parameters
    ----------
    config : SequenceConfig
        Filled in.
    chain : Chain
    train : SequenceBatches
    longest : int
        The most steps of a sequence that the model will be given.

    Attributes
    ----------
    train : SequenceBatches
        As given.
    """

    def __init__(self, config: SequenceConfig, chain: Chain, train: SequenceBatches, longest: int) -> None:
        super().__init__(config)
        self.chain = chain
        self.steps_per_epoch = len(train)
        self.train = train
        self._longest = longest

    def begin(self, model: Model) -> None:
        """See `Learning.begin`."""
        self._model = model
        self._workspace = model.workspace(self._longest, self.config.batch_size)

    def end(self) -> None:
        """See `Learning.end`."""
        del self._model, self._workspace

    def learn(self, epoch: int, k: int, rng: np.random.Generator | None) -> Learned:
        """See `Learning.learn`."""
        inputs, lengths, targets, chosen = self.train.batch(epoch, k)
        weights: NDArray[np.float64] | None = None
        counted: float = len(chosen)
        if self.train.weights is not None:
            weights = np.zeros(len(lengths))
            weights[: len(chosen)] = self.train.weights[chosen]
            counted = float(weights.sum())
        loss = self._model.loss_and_gradients(
            inputs, targets, self._workspace, lengths=lengths, rng=rng, weights=weights
        )
        return Learned(loss, counted, int(lengths.sum()))

    def dense_gradients(self) -> dict[str, GradientRows]:
        """See `Learning.dense_gradients`."""
        return self._model.dense_gradients(self._workspace)


def sequence_chain(
    config: SequenceConfig, vocab_size: int, embedding_size: int, outputs: int, kind: str = "classifier"
) -> Chain:
    """Return the model that a configuration asks for.

    Parameters
    ----------
    config : SequenceConfig
    vocab_size, embedding_size, outputs, kind
        See `truesparse.layers.models.sequence_model`.

    Raises
    ------
    UsageError
        Sizes do not fit each other.
    """
    return sequence_model(
        vocab_size=vocab_size,
        embedding_size=embedding_size,
        hidden_size=config.hidden_size,
        layers=config.layers,
        outputs=outputs,
        kind=kind,
        pooling=config.pooling,
        sparse_output=config.output == "sparse",
        **cell_settings(config),
    )
