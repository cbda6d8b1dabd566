"""Measuring a trained model, whatever its task."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from math import isfinite
from pathlib import Path

from truesparse.errors import UsageError
from truesparse.model.loading import SavedModel, load_model
from truesparse.modelfile import find_model, scores_overflow
from truesparse.settings import flag, joined
from truesparse.tasks.registry import task_of
from truesparse.training.task import Evaluated


def evaluate_file(
    path: Path,
    data: Path | None = None,
    split: str | None = None,
    label_column: str | None = None,
    text_column: str | None = None,
    **columns: str | None,
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
    label_column, text_column, **columns : str, optional
        Which columns of labelled data are read, by the names that the task has for them; those of training if
        not given.

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
    return evaluate_saved(load_model(find_model(path)), data, split, label_column, text_column, **columns)


def evaluate_saved(
    saved: SavedModel,
    data: Path | None = None,
    split: str | None = None,
    label_column: str | None = None,
    text_column: str | None = None,
    **columns: str | None,
) -> Evaluated:
    """Measure a model that has been read; see `evaluate_file`."""
    saved.check_finite()
    given = check_columns(saved, {"label_column": label_column, "text_column": text_column, **columns})
    folder = task_of(saved).__module__.rpartition(".")[0]
    result: Evaluated = import_module(f"{folder}.use").evaluate(saved, data, split, **given)
    if not isfinite(result.values()["loss"]):
        raise scores_overflow(saved.path)
    return result


def check_columns(saved: SavedModel, columns: Mapping[str, str | None]) -> dict[str, str]:
    """Which columns are given.

    Raises
    ------
    UsageError
        One that data of the model's task do not have.
    """
    kind = task_of(saved)
    given = {name: column for name, column in columns.items() if column is not None}
    wrong = sorted(given.keys() - kind.fields().keys())
    if wrong:
        of_data = (name for name in kind.fields() if name.endswith("_column") and name != "weight_column")
        mine = [*map(flag, of_data)]
        what = f"; its data have {joined(mine, 'and')}" if mine else ", whose text has no columns"
        raise UsageError(f"{saved.path} is a {saved.kind}{what}; leave {joined(map(flag, wrong), 'and')} out")
    return given
