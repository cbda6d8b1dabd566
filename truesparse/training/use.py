"""What is done with a trained model: measure it, and classify texts with it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from truesparse.data import (
    Columns,
    SequenceBatches,
    Sequences,
    TextEncoder,
    Vocabulary,
    load_corpus,
    load_evaluation_text,
)
from truesparse.data.labelled import (
    LabelledText,
    Table,
    encode_table,
    find_part,
    read_parts,
    read_table,
)
from truesparse.errors import UsageError
from truesparse.model.loading import SavedModel, load_model
from truesparse.modelfile import find_model, need_encoder, need_vocabulary, scores_overflow
from truesparse.training.classification import Classified, crc32_of_texts, evaluate_batches
from truesparse.training.evaluation import evaluate_stream, perplexity
from truesparse.training.rundata import find_data
from truesparse.training.task import crc32_of

LARGEST_BATCH = 1024  # memory goes with the texts, whatever number a model file has


class TextEvaluation(NamedTuple):
    """Mean loss per token, in nats, over how many tokens; of which part of the data, "all" for a whole file;
    and which fraction of the text is ``<unk>``.

    `unknown` is None for a vocabulary without ``<unk>``. A high one says that the text does not fit the
    vocabulary, which makes the loss low: unknown words are easily told.
    """

    loss: float
    tokens: int
    part: str
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
    split: str | None = None,
    label_column: str | None = None,
    text_column: str | None = None,
) -> TextEvaluation | ClassifierEvaluation:
    """Measure the model of a file.

    The perplexity of a language model is that of the text as one stream, see
    `truesparse.training.evaluation.evaluate_stream`.

    Parameters
    ----------
    path : Path
        A model file, or the folder of a run.
    data : Path, optional
        A folder or file, as for training; what it was trained on if not given, for a model in the folder of
        its run. A single file is taken whole, one of plain text if there is no `split`.
    split : {"train", "valid", "test"}, optional
        Which part is taken of a folder or of the data it was trained on, "test" if not given.
    label_column, text_column : str, optional
        Names of the columns of labelled texts; those of training if not given.

    Returns
    -------
    TextEvaluation or ClassifierEvaluation
        Of a language model, or of a classifier.

    Raises
    ------
    UsageError, TruesparseError
        The model or the data cannot be read, they are not those of training though `data` is not given, a
        text has fewer than two tokens, or the loss is not finite.
    """
    return evaluate_saved(load_model(find_model(path)), data, split, label_column, text_column)


def evaluate_saved(
    saved: SavedModel,
    data: Path | None = None,
    split: str | None = None,
    label_column: str | None = None,
    text_column: str | None = None,
) -> TextEvaluation | ClassifierEvaluation:
    """Measure a model that has been read; see `evaluate_file`."""
    saved.check_finite()
    if not saved.model.chain.per_step:
        columns = Columns(label_column or saved.data.label_column, text_column or saved.data.text_column)
        encoder = need_encoder(saved.encoder, saved.path)
        return _evaluate_classifier(saved, encoder, data, split, columns)
    if label_column is not None or text_column is not None:
        raise UsageError(f"{saved.path} is a language model, whose text has no columns; leave the flags out")
    return _evaluate_language_model(saved, data, split)


def _evaluate_language_model(saved: SavedModel, data: Path | None, split: str | None) -> TextEvaluation:
    vocabulary = need_vocabulary(saved.vocabulary, saved.path)
    if data is None:
        split = split or "test"
        ids = _text_of_training(saved, vocabulary, split)
    else:
        split = split or ("test" if data.is_dir() else "all")
        ids = load_evaluation_text(data, vocabulary, split)
    result = evaluate_stream(saved.model, ids, saved.data.batch_size, saved.data.bptt)
    if not math.isfinite(result.loss):
        raise scores_overflow(saved.path)
    number = vocabulary.unknown
    return TextEvaluation(*result, split, None if number is None else float(np.mean(ids == number)))


def _text_of_training(saved: SavedModel, vocabulary: Vocabulary, split: str) -> NDArray[np.int32]:
    """One part of the text that a model was trained on."""
    found = find_data(saved)
    corpus = load_corpus(found.path, vocabulary=vocabulary)
    found.check(crc32_of([corpus.train, corpus.valid]))
    return {"train": corpus.train, "valid": corpus.valid, "test": corpus.test}[split]


def _evaluate_classifier(
    saved: SavedModel, encoder: TextEncoder, data: Path | None, split: str | None, columns: Columns
) -> ClassifierEvaluation:
    model = saved.model
    if data is None:
        text = _texts_of_training(saved, encoder, columns, split or "test")
    else:
        text = encode_table(_labelled_table(data, columns, split or "test"), saved.labels, encoder)
    size = min(saved.data.batch_size, LARGEST_BATCH, len(text.texts))
    batches = SequenceBatches(text.texts, text.labels, size)
    workspace = model.workspace(text.texts.longest, size)
    classified = evaluate_batches(model, batches, workspace)
    if not math.isfinite(classified.loss):
        raise scores_overflow(saved.path)
    return ClassifierEvaluation(saved.labels, classified)


def _labelled_table(data: Path, columns: Columns, split: str) -> Table:
    """Labelled texts of a file, or of one part of a folder."""
    if not data.is_dir():
        return read_table(data, columns)
    file = find_part(data, split)
    if file is None:
        raise UsageError(f"the folder {data} has no {split}.csv or {split}.csv.gz; give --data one CSV file")
    return read_table(file, columns)


def _texts_of_training(saved: SavedModel, encoder: TextEncoder, columns: Columns, split: str) -> LabelledText:
    """One part of the labelled texts that a model was trained on."""
    found = find_data(saved)
    how = found.settings
    if found.path is None:
        raise UsageError(f"{saved.path} does not say what it was trained on; give --data")
    if how.valid_fraction is None or how.test_fraction is None or how.seed is None:
        raise UsageError(f"{saved.path} does not say which part of the data it was trained on; give --data")
    tables = read_parts(found.path, columns, how.valid_fraction, how.test_fraction, how.seed)
    parts = {part: encode_table(table, saved.labels, encoder) for part, table in tables.items()}
    found.check(crc32_of_texts(parts["train"], parts["valid"]))
    return parts[split]


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
        if saved.model.chain.per_step:
            raise UsageError(f"{saved.path} is a language model, not a classifier; use truesparse generate")
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
