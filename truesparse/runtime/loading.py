"""From a file to a model that can be used."""

from __future__ import annotations

from pathlib import Path

from truesparse.errors import UsageError
from truesparse.modelfile import Reader, find_model, read_model
from truesparse.modelfile.architecture import LANGUAGE_MODEL
from truesparse.runtime.language_model import LanguageModel


def load(path: str | Path) -> LanguageModel:
    """Load a model.

    Parameters
    ----------
    path : str or Path
        A model file, a checkpoint, or the folder of a run, of which the best model is taken.

    Returns
    -------
    LanguageModel

    Raises
    ------
    UsageError, TruesparseError
        There is no such file, or it is not a valid model. Everything in it is checked before it is used.
    """
    with Reader(find_model(Path(path))) as reader:
        stored = read_model(reader)
    if stored.architecture.head != LANGUAGE_MODEL:
        raise UsageError(f"{stored.path} is a classifier, not a language model; use truesparse predict")
    return LanguageModel(stored)
