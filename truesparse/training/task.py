"""What the training loop asks of what it trains."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from truesparse.layers.chain import Chain
from truesparse.layers.models import DropoutRates
from truesparse.training.config import Config

if TYPE_CHECKING:
    from truesparse.layers.layer import GradientRows
    from truesparse.model import Model
    from truesparse.training.checkpoint import SavedModel

Measures = dict[str, Any]


class Learned(NamedTuple):
    """Mean loss of a batch, in nats; how much it counts in the mean of several; tokens read."""

    loss: float
    weight: float
    tokens: int


class Learning(ABC):
    """Data to train on, and how a model is made for them and learns from them.

    It holds no model until `begin`; what it makes for that one, such as a workspace, is gone after `end`.

    Parameters
    ----------
    config : Config
        Filled in (`Config.filled`).

    Attributes
    ----------
    config : Config
    steps_per_epoch : int
        Batches of the data.
    chain : Chain
        The model that the configuration asks for.
    """

    steps_per_epoch: int
    chain: Chain

    def __init__(self, config: Config) -> None:
        self.config = config

    @abstractmethod
    def begin(self, model: Model) -> None:
        """Take a model to train or to measure."""

    @abstractmethod
    def end(self) -> None:
        """Let go of the model and of all that was made for it."""

    @abstractmethod
    def learn(self, epoch: int, k: int, rng: np.random.Generator | None) -> Learned:
        """Add the gradients of batch `k` of an epoch to the arena; without `rng` there is no dropout."""

    @abstractmethod
    def dense_gradients(self) -> dict[str, GradientRows]:
        """Functions that compute the gradients of the last `learn` at all positions of each matrix; see
        `truesparse.model.Model.dense_gradients`."""


class Task(Learning):
    """What a run needs besides: other data to choose the model by and to test it on, and how it is measured.

    Attributes
    ----------
    name, description : str
        Of the data: fit for a file name; one line for people.
    crc32 : int
        Of the data to train on and to choose by.
    reading : dict
        What a model file says of the data, as `truesparse.training.checkpoint.save_model` takes it.
    """

    name: str
    description: str
    crc32: int
    reading: dict[str, Any]

    @abstractmethod
    def evaluate(self, part: str, stop: Callable[[], bool] = lambda: False) -> Measures:
        """Measure the model.

        Parameters
        ----------
        part : {"valid", "test"}
        stop : callable
            Asked before each batch.

        Returns
        -------
        dict
            `loss`, the mean in nats, among others.

        Raises
        ------
        EvaluationStopped
            `stop` returned True.
        """

    @abstractmethod
    def of_loss(self, loss: float) -> Measures:
        """What a mean training loss says, for the records: `loss` and what follows from it."""

    @abstractmethod
    def better(self, measures: Measures, best: Measures) -> bool:
        """Whether a model with these measures of the validation data is better than the best so far."""

    @abstractmethod
    def results(self, valid: Measures, test: Measures) -> Measures:
        """What the run comes to, for the best model."""

    def hidden(self) -> dict[str, NDArray[np.float32]]:
        """State that is carried from batch to batch, for a checkpoint."""
        return {}

    def load_hidden(self, arrays: dict[str, NDArray[np.float32]]) -> None:
        """Take back what `hidden` gave."""

    def reads_like(self, saved: SavedModel) -> bool:
        """Whether a saved model was made for these tokens and labels."""
        return all(getattr(saved, name) == value for name, value in self.reading.items())


def crc32_of(arrays: Iterable[NDArray[Any]]) -> int:
    """CRC-32 of the bytes of arrays one after another, to tell data from others."""
    value = 0
    for array in arrays:
        value = zlib.crc32(array.data, value)
    return value


def cell_settings(config: Config) -> dict[str, Any]:
    """What a configuration says of the recurrent layers, as `truesparse.layers.models` takes it."""
    rates = [getattr(config, f"dropout_{kind}") for kind in DropoutRates._fields]
    own = {name: getattr(config, name) for name in ("depth", "transform_bias", "reset_gate")}
    return {
        "cell": config.cell,
        "pattern": config.pattern,
        "dropout": config.dropout if None in rates else DropoutRates(*rates),
        **{name: value for name, value in own.items() if value is not None},
    }
