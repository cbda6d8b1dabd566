"""Learning from whole sequences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from truesparse.data import SequenceBatches
from truesparse.nn import SequenceModel, SequenceSpec, build_sequence_model
from truesparse.training.task import Learned, Learning
from truesparse.training.task_configs import SequenceConfig

if TYPE_CHECKING:
    from truesparse.nn.stack import GradientRows
    from truesparse.training.task import Model


class SequenceLearning(Learning):
    """A model of whole sequences learns from some, each with a class or numbers of its own.

    Parameters
    ----------
    config : SequenceConfig
        Filled in.
    spec : SequenceSpec
    train : SequenceBatches
    longest : int
        The most steps of a sequence that the model will be given.

    Attributes
    ----------
    train : SequenceBatches
        As given.
    """

    def __init__(
        self, config: SequenceConfig, spec: SequenceSpec, train: SequenceBatches, longest: int
    ) -> None:
        super().__init__(config)
        self.spec = spec
        self.steps_per_epoch = len(train)
        self.train = train
        self._longest = longest

    def build(
        self,
        spec: SequenceSpec,
        density: float,
        rng: np.random.Generator,
        distribution: str,
        gates: str,
        scale: float | None,
        gate_bias: Mapping[str, float],
    ) -> SequenceModel:
        """See `Learning.build`."""
        return build_sequence_model(spec, density, rng, distribution, gates, scale, gate_bias)

    def begin(self, model: Model) -> None:
        """See `Learning.begin`."""
        self._model = cast(SequenceModel, model)
        self._workspace = self._model.workspace(self._longest, self.config.batch_size)

    def end(self) -> None:
        """See `Learning.end`."""
        del self._model, self._workspace

    def learn(self, epoch: int, k: int, rng: np.random.Generator | None) -> Learned:
        """See `Learning.learn`."""
        inputs, lengths, targets, chosen = self.train.batch(epoch, k)
        dropout = 0.0 if rng is None else self.dropout
        weights: NDArray[np.float64] | None = None
        counted: float = len(chosen)
        if self.train.weights is not None:
            weights = np.zeros(len(lengths))
            weights[: len(chosen)] = self.train.weights[chosen]
            counted = float(weights.sum())
        loss = self._model.forward(inputs, lengths, targets, self._workspace, dropout, rng, weights)
        self._model.backward(self._workspace)
        return Learned(float(loss), counted, int(lengths.sum()))

    def dense_gradients(self) -> dict[str, GradientRows]:
        """See `Learning.dense_gradients`."""
        return self._model.dense_gradients(self._workspace)


def sequence_spec(
    config: SequenceConfig, vocab_size: int, embedding_size: int, outputs: int, kind: str = "classifier"
) -> SequenceSpec:
    """Return the sizes that a configuration asks for.

    Parameters
    ----------
    config : SequenceConfig
    vocab_size, embedding_size, outputs, kind
        See `truesparse.nn.spec.SequenceSpec`.

    Raises
    ------
    UsageError
        Sizes do not fit each other.
    """
    return SequenceSpec(
        vocab_size=vocab_size,
        embedding_size=embedding_size,
        hidden_size=config.hidden_size,
        layers=config.layers,
        cell=config.cell,
        depth=config.depth or 1,
        pattern=config.pattern,
        outputs=outputs,
        kind=kind,
        pooling=config.pooling,
        sparse_output=config.output == "sparse",
    )
