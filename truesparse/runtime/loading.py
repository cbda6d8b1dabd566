"""From a file to a model that can be used."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from truesparse.data import SeriesEncoder
from truesparse.data.series_encoder import FORECAST
from truesparse.errors import UsageError
from truesparse.modelfile import Reader, StoredModel, find_model, read_model
from truesparse.runtime.classifier import Classifier
from truesparse.runtime.forecaster import Forecaster
from truesparse.runtime.language_model import LanguageModel
from truesparse.runtime.masked import MaskedLanguageModel
from truesparse.runtime.sequence_model import SequenceModel
from truesparse.runtime.tagger import Tagger

RuntimeModel = LanguageModel | MaskedLanguageModel | Classifier | Tagger | SequenceModel
M = TypeVar("M", LanguageModel, MaskedLanguageModel, Classifier, Tagger, SequenceModel)


def load(path: str | Path) -> RuntimeModel:
    """Load a model.

    Parameters
    ----------
    path : str or Path
        A model file, a checkpoint, or the folder of a run, of which the best model is taken.

    Returns
    -------
    LanguageModel, MaskedLanguageModel, Classifier, Tagger or SequenceModel
        The last if it reads features, or predicts numbers.

    Raises
    ------
    UsageError, TruesparseError
        There is no such file, or it is not a valid model of finite weights. Everything in it is checked
        before it is used.
    """
    return as_model(_stored(path))


def _stored(path: str | Path) -> StoredModel:
    with Reader(find_model(Path(path))) as reader:
        stored = read_model(reader).with_scores_as_said()
    stored.check_finite()
    return stored


def load_language_model(path: str | Path) -> LanguageModel:
    """Load a language model; see `load`. UsageError for another kind of model."""
    return _load(path, LanguageModel)


def load_masked_language_model(path: str | Path) -> MaskedLanguageModel:
    """Load a masked language model; see `load`. UsageError for another kind of model."""
    return _load(path, MaskedLanguageModel)


def load_classifier(path: str | Path) -> Classifier:
    """Load a classifier; see `load`. UsageError for another kind of model."""
    return _load(path, Classifier)


def load_tagger(path: str | Path) -> Tagger:
    """Load a tagger; see `load`. UsageError for another kind of model."""
    return _load(path, Tagger)


def load_sequence_model(path: str | Path) -> SequenceModel:
    """Load what reads features or predicts numbers; see `load`. UsageError for another kind of model."""
    return _load(path, SequenceModel)


def load_forecaster(path: str | Path) -> Forecaster:
    """Load a forecaster, of which `load` gives only the network. UsageError for another kind of model."""
    stored = _stored(path)
    if not isinstance(stored.encoder, SeriesEncoder) or stored.encoder.goal != FORECAST:
        raise UsageError(f"{path} makes no forecasts; load it with truesparse.runtime.load")
    return Forecaster(stored)


def as_model(stored: StoredModel) -> RuntimeModel:
    """The model that was stored, ready for use."""
    if stored.chain.features or (stored.chain.whole and stored.kind == "language model"):
        return SequenceModel(stored)  # what reads in both directions predicts no next token
    return _KINDS[stored.kind](stored)


_KINDS: dict[str, type[RuntimeModel]] = {
    "language model": LanguageModel,
    "masked language model": MaskedLanguageModel,
    "classifier": Classifier,
    "tagger": Tagger,
    "regressor": SequenceModel,
}


def _load(path: str | Path, wanted: type[M]) -> M:
    model = load(path)
    if not isinstance(model, wanted):
        names = {kind: name for name, kind in _KINDS.items()} | {SequenceModel: "model of numbers"}
        use = "generate" if isinstance(model, LanguageModel) else "predict"
        raise UsageError(f"{path} is a {names[type(model)]}, not a {names[wanted]}; use truesparse {use}")
    return model
