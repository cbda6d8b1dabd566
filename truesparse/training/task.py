"""What a task gives a training run: batches, the model it asks for, and measures."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from truesparse.data.batches import Batches
from truesparse.layers.chain import ChainSpec
from truesparse.training.communicator import SERIAL, Communicator
from truesparse.training.config import Config

if TYPE_CHECKING:
    from truesparse.data import Vocabulary
    from truesparse.model import Model, Workspace
    from truesparse.model.loading import SavedModel
    from truesparse.modelfile import Encoder

Measures = dict[str, Any]


class ReadsAs(Protocol):
    """Describes how to read data: a saved model, or what is to be saved with one.

    Attributes
    ----------
    vocabulary : Vocabulary or None
    encoder : TextEncoder, TokenEncoder, SeriesEncoder or None
    labels : tuple of str
    chain : ChainSpec
    """

    @property
    def vocabulary(self) -> Vocabulary | None:
        """What tokens are; None if nobody knows."""

    @property
    def encoder(self) -> Encoder:
        """How a text or a table is read; None if nobody has said."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the outputs; none if they have none."""

    @property
    def chain(self) -> ChainSpec:
        """Its layers."""


# Makes a workspace for so many steps and sequences, or gives one that there is.
Workspaces = Callable[[int, int], "Workspace"]


class Task(ABC):
    """What is learned: batches to train on, what model is asked for, and how it is measured.

    Parameters
    ----------
    config : Config
        Filled in (`Config.filled`).
    chain : ChainSpec
        The model that the configuration asks for.
    train : Batches
        To train on.

    Attributes
    ----------
    config, chain, train
        As given.
    longest : int
        The most steps of a batch to train on or to choose the model by.
    name, description : str
        Of the data: fit for a file name; one line for people.
    chosen_by : sequence of str
        Names of the measures that `better` compares, the first one first.
    crc32 : int
        Of the data to train on and to choose by.
    reading : dict
        What a model file says of the data, as `truesparse.model.saving.save_model` takes it.
    communicator : Communicator
        The ranks that share batches and evaluations.
    """

    communicator: Communicator = SERIAL
    chosen_by: Sequence[str] = ("loss",)
    name: str
    description: str
    crc32: int
    reading: dict[str, Any]

    def __init__(self, config: Config, chain: ChainSpec, train: Batches) -> None:
        self.config = config
        self.chain = chain
        self.train = train
        self.longest = train.longest

    @abstractmethod
    def evaluate(
        self, model: Model, part: str, workspaces: Workspaces, stop: Callable[[], bool] = lambda: False
    ) -> Measures:
        """Measure a model.

        Parameters
        ----------
        model : Model
        part : {"valid", "test"}
        workspaces : callable
            Such as `model.workspace`.
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

    def of_loss(self, loss: float) -> Measures:
        """Measures that follow from a mean training loss, for the records: `loss` and others."""
        return {"loss": loss}

    def better(self, measures: Measures, best: Measures) -> bool:
        """Whether a model with these measures of the validation data is better than the best so far: lower in
        loss, higher in all else that it is chosen by."""

        def rank(of: Measures) -> list[float]:
            return [-of[name] if name == "loss" else of[name] for name in self.chosen_by]

        return rank(measures) > rank(best)

    def finish(self, model: Model, test: bool, stop: Callable[[], bool]) -> tuple[Model, Measures]:
        """Complete the best model when training has ended, again after a run was resumed.

        Parameters
        ----------
        model : Model
            As a file has it, completed before or not.
        test : bool
            Whether measures of the test data may be told.
        stop : callable
            As of `evaluate`.

        Returns
        -------
        model : Model
        measures : dict
            What that came to; empty if nothing was done. Otherwise the model's file is written anew.
        """
        return model, {}

    @abstractmethod
    def results(self, valid: Measures, test: Measures) -> Measures:
        """What the run comes to, for the best model."""

    def reads_like(self, saved: SavedModel) -> bool:
        """Whether a saved model was made for these tokens and labels."""
        return all(getattr(saved, name) == value for name, value in self.reading.items())


class Evaluated(Protocol):
    """What measuring a saved model came to."""

    def values(self) -> dict[str, Any]:
        """In numbers and names that JSON can hold."""

    def summary(self) -> str:
        """In a line for people."""

    def table(self) -> list[list[str]]:
        """Rows with more, the first with headings; none if there is no more."""


class Predictor(Protocol):
    """Says what a saved model makes of texts, in lines to print, as the texts arrive."""

    def layout(self, name: str) -> str:
        """What a file of a name has: one of `Config.LAYOUTS`."""

    def header(self, as_json: bool) -> str:
        """What is printed first, for a stream before anything is read."""

    def predictions(self, file: Any, layout: str, as_json: bool, **columns: str) -> Iterator[str]:
        """What is printed, a piece for texts that have arrived together.

        Parameters
        ----------
        file : TextFile, or BytesFile for a layout of `truesparse.data.files.BINARY`
        layout : str
            What it has.
        as_json : bool
            Whether lines are JSON objects.
        **columns
            Names of columns, of the fields of the task that end with ``_column``.

        Raises
        ------
        TruesparseError
            A text cannot be read; what was before has been given.
        """

    def remark(self, layout: str) -> str:
        """What is to be said when all is done; empty if nothing."""


def crc32_of(arrays: Iterable[NDArray[Any]]) -> int:
    """CRC-32 of the bytes of arrays one after another, to tell data from others."""
    value = 0
    for array in arrays:
        value = zlib.crc32(np.ascontiguousarray(array).data, value)
    return value
