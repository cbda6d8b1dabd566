"""The task of telling to which class a text belongs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from truesparse.data import Columns, LabelledData, SequenceBatches, TextEncoder, load_classification_data
from truesparse.data.weights import mean_f1, weights_of
from truesparse.data.words import WORD_RULE
from truesparse.errors import UsageError
from truesparse.tasks.classifier.settings import ClassifierConfig
from truesparse.tasks.label_settings import chosen_by
from truesparse.tasks.labelled import LabelledTask
from truesparse.tasks.sequences import sequence_chain
from truesparse.training.communicator import SERIAL, Communicator
from truesparse.training.evaluation import EvaluationStopped
from truesparse.training.task import Measures, ReadsAs, Workspaces

if TYPE_CHECKING:
    from truesparse.model import Model, Workspace


class TextClassification(LabelledTask):
    """A classifier on labelled texts.

    Parameters
    ----------
    config : ClassifierConfig
        Filled in.
    data : LabelledData, optional
        What the configuration names if not given.
    word_rule : int
        Version of the rule that says what a word is, for data that are read.
    like : ReadsAs, optional
        Has vocabulary and labels for data that are read.

    Raises
    ------
    UsageError, TruesparseError
        The data are missing or cannot be read or learned from.
    """

    def __init__(
        self,
        config: ClassifierConfig,
        data: LabelledData | None = None,
        word_rule: int = WORD_RULE,
        like: ReadsAs | None = None,
    ) -> None:
        data = data or load_data(config, word_rule, like)
        self._parts = {
            part: SequenceBatches(texts, labels, config.batch_size, config.seed)
            for part, (texts, labels, _) in data.parts.items()
        }
        assert isinstance(data.encoder, TextEncoder)
        self._parts["train"] = _weighted(config, data)
        chain = sequence_chain(config, len(data.encoder.vocabulary), len(data.labels))
        super().__init__(config, chain, self._parts["train"], data)
        self.longest = max(self._parts[part].longest for part in ("train", "valid"))
        self.labels = data.labels
        self._train_labels = data.parts["train"].labels
        self.chosen_by = chosen_by(config.choose_by)

    def evaluate(
        self, model: Model, part: str, workspaces: Workspaces, stop: Callable[[], bool] = lambda: False
    ) -> Measures:
        """See `Task.evaluate`; also `accuracy`, `macro_f1` and `texts`."""
        batches = self._parts[part]
        workspace = workspaces(batches.longest, batches.batch_size // self.communicator.size)
        return evaluate_batches(model, batches, workspace, stop, self.communicator).measures

    def log_probabilities(
        self, model: Model, part: str, stop: Callable[[], bool]
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """See `LabelledTask.log_probabilities`."""
        batches = self._parts[part]
        workspace = model.workspace(batches.longest, batches.batch_size)
        labels, said = zip(*_classified(model, batches, workspace, stop), strict=True)
        return np.concatenate(said, axis=1).T, np.concatenate(labels)

    def results(self, valid: Measures, test: Measures) -> Measures:
        """Accuracies, also of naming the most frequent label of the training texts always."""
        counts = np.bincount(self._train_labels, minlength=len(self.labels))
        always = self._parts["test"].targets == counts.argmax()
        return {
            "valid_accuracy": valid["accuracy"],
            "test_accuracy": test["accuracy"],
            "test_macro_f1": test["macro_f1"],
            "majority_accuracy": float(always.mean()),
        }


@dataclass(frozen=True)
class Classified:
    """How a model has classified texts.

    Attributes
    ----------
    loss : float
        Mean, in nats per text.
    confusion : ndarray of int64, shape (labels, labels)
        How many texts of each label (row) were given each label (column).
    counted : str
        What they are, if not texts.
    """

    loss: float
    confusion: NDArray[np.int64]
    counted: str = "texts"

    @property
    def accuracy(self) -> float:
        """Fraction that was given its own label."""
        return float(self.confusion.trace() / self.confusion.sum())

    @property
    def macro_f1(self) -> float:
        """Mean of the labels' F1, over those that a text has or was given."""
        return mean_f1(self.confusion.diagonal(), self.confusion.sum(axis=0) + self.confusion.sum(axis=1))

    @property
    def measures(self) -> Measures:
        """In numbers for a record."""
        return {
            "loss": self.loss,
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
            self.counted: int(self.confusion.sum()),
        }


def evaluate_batches(
    model: Model,
    batches: SequenceBatches,
    workspace: Workspace,
    stop: Callable[[], bool] = lambda: False,
    communicator: Communicator = SERIAL,
) -> Classified:
    """Classify labelled texts, without dropout.

    Parameters
    ----------
    model : Model
    batches : SequenceBatches
    workspace : Workspace
        Of the batches' size, or of a rank's share of it. Overwritten.
    stop : callable
        Asked before each batch.
    communicator : Communicator
        The ranks that share the batches.

    Raises
    ------
    EvaluationStopped
        `stop` returned True.
    """
    classes = model.chain.head.outputs
    loss, confusion = 0.0, np.zeros((classes, classes), np.int64)
    for labels, log_probabilities in _classified(model, batches, workspace, stop, communicator):
        loss -= float(log_probabilities[labels, np.arange(len(labels))].sum(dtype=np.float64))
        np.add.at(confusion, (labels, log_probabilities.argmax(axis=0)), 1)
    (loss,), confusion = communicator.sums(loss), communicator.total(confusion)
    return Classified(loss / len(batches.sequences), confusion)


def _classified(
    model: Model,
    batches: SequenceBatches,
    workspace: Workspace,
    stop: Callable[[], bool],
    communicator: Communicator = SERIAL,
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.float32]]]:
    """Of each batch, or of this rank's share of it, the labels, and the predicted log-probabilities,
    (labels, texts)."""
    for k in range(len(batches)):
        if stop():
            raise EvaluationStopped
        batch = batches.batch(0, k)
        assert batch.chosen is not None
        texts = len(batch.chosen[communicator.lanes()])
        batch, _ = communicator.cut(batch)
        said = model.predict(batch.inputs, workspace, lengths=batch.lengths)
        yield batch.targets[:texts], said[:, :texts]


def _weighted(config: ClassifierConfig, data: LabelledData) -> SequenceBatches:
    """The texts to train on, with their weights if they have any, and without those that do not count."""
    texts, labels, weights = data.parts["train"]
    weights = weights_of(config.class_weight, labels, data.labels, weights)
    if weights is not None and not weights.all():
        counts = np.flatnonzero(weights)
        texts, labels, weights = texts.select(counts), labels[counts], weights[counts]
    return SequenceBatches(texts, labels, config.batch_size, config.seed, weights)


def load_data(
    config: ClassifierConfig, word_rule: int = WORD_RULE, like: ReadsAs | None = None
) -> LabelledData:
    """Read the data that a configuration names; vocabulary and labels may be those of something else.

    Raises
    ------
    UsageError, TruesparseError
        It names none, or they cannot be read or learned from.
    """
    if config.data is None:
        raise UsageError("--data is missing; give a CSV file, or a folder that has train.csv")
    columns = Columns(config.label_column, config.text_column, config.weight_column)
    return load_classification_data(
        Path(config.data),
        columns,
        text_settings(config),
        config.valid_fraction,
        config.test_fraction,
        config.seed,
        word_rule,
        *(() if like is None else (like.vocabulary, like.labels)),
    )


def text_settings(config: ClassifierConfig) -> dict[str, Any]:
    """What `truesparse.data.TextEncoder.build` takes besides the texts."""
    own = {name: getattr(config, name) for name in TextEncoder.SETTINGS}
    return {"size": config.vocabulary, "min_count": config.min_count, "level": config.level, **own}
