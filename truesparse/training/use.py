"""What is done with a trained model: measure it, and classify texts with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from truesparse.data import Columns, SequenceBatches, Sequences, Windows, load_evaluation_text
from truesparse.data.labelled import encode_table, find_part, read_parts, read_table
from truesparse.errors import UsageError
from truesparse.modelfile import find_model, need_vocabulary
from truesparse.training.checkpoint import SavedModel, load_model
from truesparse.training.classification import Classified, evaluate_batches
from truesparse.training.evaluation import evaluate, perplexity
from truesparse.training.task_configs import ClassifierConfig, LanguageModelConfig

if TYPE_CHECKING:
    from truesparse.nn import LanguageModel, SequenceModel


class TextEvaluation(NamedTuple):
    """Mean loss per token, in nats, over how many tokens; and which fraction of the text is ``<unk>``.

    `unknown` is None for a vocabulary without ``<unk>``. A high one says that the text does not fit the
    vocabulary, which makes the loss low: unknown words are easily told.
    """

    loss: float
    tokens: int
    unknown: float | None

    @property
    def perplexity(self) -> float:
        """exp(loss)."""
        return perplexity(self.loss)


@dataclass(frozen=True)
class ClassifierEvaluation:
    """How a classifier has classified labelled texts.

    Attributes
    ----------
    labels : tuple of str
        Of the rows and columns of the confusion matrix.
    classified : Classified
    """

    labels: tuple[str, ...]
    classified: Classified


def evaluate_file(
    path: Path,
    data: Path | None = None,
    split: str = "test",
    label_column: str | None = None,
    text_column: str | None = None,
) -> TextEvaluation | ClassifierEvaluation:
    """Measure the model of a file, in batches of the size it was trained with.

    Parameters
    ----------
    path : Path
        A model file, or the folder of a run.
    data : Path, optional
        A folder or file, as for training; what it was trained on if not given. Of a folder or of the data it
        was trained on, `split` is taken. A single file of labelled texts is taken whole.
    split : {"train", "valid", "test"}
    label_column, text_column : str, optional
        Names of the columns of labelled texts; those of training if not given.

    Returns
    -------
    TextEvaluation or ClassifierEvaluation
        Of a language model, or of a classifier.

    Raises
    ------
    UsageError, TruesparseError
        The model or the data cannot be read, or a text is too short.
    """
    return evaluate_saved(load_model(find_model(path)), data, split, label_column, text_column)


def evaluate_saved(
    saved: SavedModel,
    data: Path | None = None,
    split: str = "test",
    label_column: str | None = None,
    text_column: str | None = None,
) -> TextEvaluation | ClassifierEvaluation:
    """Measure a model that has been read; see `evaluate_file`."""
    if isinstance(saved.config, ClassifierConfig):
        return _evaluate_classifier(
            saved, saved.config, data, split, _columns(saved.config, label_column, text_column)
        )
    if label_column is not None or text_column is not None:
        raise UsageError(f"{saved.path} is a language model, whose text has no columns; leave the flags out")
    return _evaluate_language_model(saved, data, split)


def _evaluate_language_model(saved: SavedModel, data: Path | None, split: str) -> TextEvaluation:
    config, model = cast(LanguageModelConfig, saved.config), cast("LanguageModel", saved.model)
    vocabulary = need_vocabulary(saved.vocabulary, saved.path)
    ids = load_evaluation_text(data or config.data, vocabulary, split)
    windows = Windows(ids, config.batch_size, config.bptt, f"{split} text")
    result = evaluate(model, windows, model.workspace(config.bptt, config.batch_size))
    number = vocabulary.unknown
    return TextEvaluation(*result, None if number is None else float(np.mean(ids == number)))


def _columns(config: ClassifierConfig, label: str | None, text: str | None) -> Columns:
    return Columns(label or config.label_column, text or config.text_column)


def _evaluate_classifier(
    saved: SavedModel, config: ClassifierConfig, data: Path | None, split: str, columns: Columns
) -> ClassifierEvaluation:
    model = cast("SequenceModel", saved.model)
    assert saved.encoder is not None
    if data is None:
        if config.data is None:
            raise UsageError(f"{saved.path} does not say what it was trained on; give --data")
        fractions = config.valid_fraction, config.test_fraction
        table = read_parts(Path(config.data), columns, *fractions, config.seed)[split]
    elif data.is_dir():
        file = find_part(data, split)
        if file is None:
            raise UsageError(
                f"the folder {data} has no {split}.csv or {split}.csv.gz; give --data one CSV file"
            )
        table = read_table(file, columns)
    else:
        table = read_table(data, columns)
    text = encode_table(table, saved.labels, saved.encoder)
    batches = SequenceBatches(text.texts, text.labels, config.batch_size)
    workspace = model.workspace(text.texts.longest, config.batch_size)
    return ClassifierEvaluation(saved.labels, evaluate_batches(model, batches, workspace))


class Classifier:
    """A trained classifier, for texts whose labels nobody knows.

    Parameters
    ----------
    path : Path
        A model file, or the folder of a run.

    Attributes
    ----------
    labels : tuple of str
    text_column : str
        Where the texts were in training.
    batch_size : int
        Texts that are classified together.

    Raises
    ------
    UsageError, TruesparseError
        The model cannot be read, or it is no classifier.
    """

    def __init__(self, path: Path) -> None:
        saved = load_model(find_model(path))
        if saved.encoder is None or not isinstance(saved.config, ClassifierConfig):
            raise UsageError(f"{saved.path} is a language model, not a classifier; use truesparse generate")
        self._model = cast("SequenceModel", saved.model)
        self._encoder = saved.encoder
        self.labels = saved.labels
        self.text_column = saved.config.text_column
        self.batch_size = saved.config.batch_size
        self._workspace = self._model.workspace(1, self.batch_size)

    def predict(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Classify texts.

        Parameters
        ----------
        texts : sequence of str

        Returns
        -------
        ndarray of float32, shape (texts, labels)
            Probabilities; NaN for a text without words.
        """
        probabilities = np.full((len(texts), len(self.labels)), np.nan, np.float32)
        for start in range(0, len(texts), self.batch_size):
            encoded = map(self._encoder.encode, texts[start : start + self.batch_size])
            some = {place: ids for place, ids in enumerate(encoded, start) if ids.size}
            if not some:
                continue
            sequences = Sequences.of(list(some.values()))
            longest = sequences.longest
            if longest > self._workspace.panels.steps:  # twice that, lest it grow at every batch
                steps = max(longest, min(2 * longest, self._encoder.length))
                self._workspace = self._model.workspace(steps, self.batch_size)
            batch = sequences.batch(np.arange(len(some)), self.batch_size)
            outputs = self._model.predict(*batch, self._workspace)
            probabilities[list(some)] = np.exp(outputs).T[: len(some)]
        return probabilities
