"""What is done with a trained model: measure it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from truesparse.data import Windows, load_evaluation_text
from truesparse.modelfile import find_model, need_vocabulary
from truesparse.training.checkpoint import SavedModel, load_model
from truesparse.training.evaluation import evaluate, perplexity


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


def evaluate_file(path: Path, data: Path | str | None = None, split: str = "test") -> TextEvaluation:
    """Measure the model of a file, in the batches and windows it was trained with.

    Parameters
    ----------
    path : Path
        A model file, or the folder of a run.
    data : Path or str, optional
        A folder or file of text, as for training; the text it was trained on if not given.
    split : {"train", "valid", "test"}

    Returns
    -------
    TextEvaluation

    Raises
    ------
    UsageError, TruesparseError
        The model or the text cannot be read, or the text is too short.
    """
    return evaluate_model(load_model(find_model(path)), data, split)


def evaluate_model(saved: SavedModel, data: Path | str | None = None, split: str = "test") -> TextEvaluation:
    """Measure a model that has been read; see `evaluate_file`."""
    config = saved.config
    vocabulary = need_vocabulary(saved.vocabulary, saved.path)
    ids = load_evaluation_text(data or config.data, vocabulary, split)
    windows = Windows(ids, config.batch_size, config.bptt, f"{split} text")
    result = evaluate(saved.model, windows, saved.model.workspace(config.bptt, config.batch_size))
    number = vocabulary.unknown
    return TextEvaluation(*result, None if number is None else float(np.mean(ids == number)))
