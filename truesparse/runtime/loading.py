"""From a file to a model that can be used."""

from __future__ import annotations

from pathlib import Path

from truesparse.errors import UsageError
from truesparse.modelfile import Reader, StoredModel, find_model, read_model
from truesparse.runtime.classifier import Classifier
from truesparse.runtime.language_model import LanguageModel


def load(path: str | Path) -> LanguageModel | Classifier:
    """Load a model.

    Parameters
    ----------
    path : str or Path
        A model file, a checkpoint, or the folder of a run, of which the best model is taken.

    Returns
    -------
    LanguageModel or Classifier

    Raises
    ------
    UsageError, TruesparseError
        There is no such file, or it is not a valid model of finite weights. Everything in it is checked
        before it is used.
    """
    with Reader(find_model(Path(path))) as reader:
        stored = read_model(reader)
    stored.check_finite()
    return as_model(stored)


def load_language_model(path: str | Path) -> LanguageModel:
    """Load what must be a language model; see `load`.

    Raises
    ------
    UsageError, TruesparseError
        As `load`; also if it is a classifier.
    """
    model = load(path)
    if not isinstance(model, LanguageModel):
        raise UsageError(f"{path} is a classifier, not a language model; use truesparse predict")
    return model


def load_classifier(path: str | Path) -> Classifier:
    """Load what must be a classifier; see `load`.

    Raises
    ------
    UsageError, TruesparseError
        As `load`; also if it is a language model.
    """
    model = load(path)
    if not isinstance(model, Classifier):
        raise UsageError(f"{path} is a language model, not a classifier; use truesparse generate")
    return model


def as_model(stored: StoredModel) -> LanguageModel | Classifier:
    """The model that was stored, ready for use."""
    return LanguageModel(stored) if stored.chain.per_step else Classifier(stored)
