"""Measuring a classifier that was saved, and classifying texts with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.data import Columns, SequenceBatches, Sequences
from truesparse.data.labelled import CSV
from truesparse.model.loading import SavedModel
from truesparse.modelfile import need_encoder, scores_overflow
from truesparse.tasks.classifier.settings import ClassifierConfig
from truesparse.tasks.classifier.task import Classified, evaluate_batches
from truesparse.tasks.labelled import examples_to_measure
from truesparse.tasks.rundata import LARGEST_BATCH


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

    def values(self) -> dict[str, Any]:
        """See `Evaluated.values`."""
        matrix = self.classified.confusion.tolist()
        return {**self.classified.measures, "labels": list(self.labels), "confusion": matrix}

    def summary(self) -> str:
        """See `Evaluated.summary`."""
        measures = self.classified.measures
        return (
            f"accuracy {measures['accuracy']:.2%}, macro-F1 {measures['macro_f1']:.2%}"
            f" (loss {measures['loss']:.4f} over {measures[self.classified.counted]:,}"
            f" {self.classified.counted})"
        )

    def table(self) -> list[list[str]]:
        """The confusion matrix."""
        rows = [
            [label, *(f"{count:,}" for count in row)]
            for label, row in zip(self.labels, self.classified.confusion, strict=True)
        ]
        return [["label \\ predicted", *self.labels], *rows]


def evaluate(saved: SavedModel, data: Path | None, split: str | None, **columns: str) -> ClassifierEvaluation:
    """See `truesparse.tasks.use.evaluate_file`."""
    need_encoder(saved.encoder, saved.path)
    names = {"label_column": saved.data.label_column, "text_column": saved.data.text_column, **columns}
    where = Columns(names["label_column"], names["text_column"])
    _, (texts, labels, _) = examples_to_measure(saved, data, split, ClassifierConfig, CSV, where)
    size = min(saved.data.batch_size, LARGEST_BATCH, len(texts))
    workspace = saved.model.workspace(texts.longest, size)
    classified = evaluate_batches(saved.model, SequenceBatches(texts, labels, size), workspace)
    return ClassifierEvaluation(saved.labels, classified)


class SavedClassifier:
    """A trained classifier, for texts whose labels nobody knows.

    Parameters
    ----------
    saved : SavedModel
        Of a classifier.

    Attributes
    ----------
    labels : tuple of str
    text_column : str
        Where the texts were in training.
    batch_size : int
        Texts that are classified together.

    Raises
    ------
    TruesparseError
        A weight is not finite.
    """

    def __init__(self, saved: SavedModel) -> None:
        saved.check_finite()
        self._path = saved.path
        self._model = saved.model
        self._encoder = need_encoder(saved.encoder, saved.path)
        self.labels = saved.labels
        self.text_column = saved.data.text_column
        self.batch_size = min(saved.data.batch_size, LARGEST_BATCH)
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

        Raises
        ------
        TruesparseError
            The scores of a text are not finite.
        """
        probabilities = np.full((len(texts), len(self.labels)), np.nan, np.float32)
        for start in range(0, len(texts), self.batch_size):
            encoded = map(self._encoder.encode, texts[start : start + self.batch_size])
            some = {place: ids for place, ids in enumerate(encoded, start) if ids.size}
            if not some:
                continue
            sequences = Sequences.of(list(some.values()))
            longest = sequences.longest
            if longest > self._workspace.window.panels.steps:  # twice that, lest it grow at every batch
                steps = max(longest, min(2 * longest, self._encoder.length))
                self._workspace = self._model.workspace(steps, self.batch_size)
            inputs, lengths = sequences.batch(np.arange(len(some)), self.batch_size)
            outputs = self._model.predict(inputs, self._workspace, lengths=lengths)
            probabilities[list(some)] = np.exp(outputs).T[: len(some)]
            if np.isnan(probabilities[list(some)]).any():
                raise scores_overflow(self._path)
        return probabilities
