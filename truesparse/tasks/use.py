"""Measuring a trained model, whatever its task."""

from __future__ import annotations

from pathlib import Path

from truesparse.model.loading import SavedModel, load_model
from truesparse.modelfile import find_model
from truesparse.tasks.registry import task_of
from truesparse.training.task import Evaluated


def evaluate_file(
    path: Path,
    data: Path | None = None,
    split: str | None = None,
    label_column: str | None = None,
    text_column: str | None = None,
) -> Evaluated:
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
    Evaluated
        As the task has it.

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
) -> Evaluated:
    """Measure a model that has been read; see `evaluate_file`."""
    saved.check_finite()
    columns = {"label_column": label_column, "text_column": text_column}
    given = {name: column for name, column in columns.items() if column is not None}
    return task_of(saved).evaluate_saved(saved, data, split, **given)
