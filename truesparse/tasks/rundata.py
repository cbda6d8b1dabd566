"""Where the data of a run are: never where a model file says, but where the user's own run folder does."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from truesparse.data import SeriesEncoder
from truesparse.errors import TruesparseError, UsageError, typed
from truesparse.model.loading import SavedModel
from truesparse.modelfile import CHECKPOINT, Encoder, StoredModel, of_text
from truesparse.modelfile.container import Reader
from truesparse.modelfile.data_settings import DataSettings
from truesparse.tasks.lm.settings import LanguageModelConfig
from truesparse.training.config import Config
from truesparse.training.rundir import CONFIG
from truesparse.training.toml import read_toml

LARGEST_BATCH = 1024  # memory goes with the texts, whatever number a model file has


class RunData(NamedTuple):
    """Where the data are that a model was trained on, None for the built-in text; the CRC-32 of what was
    trained and chosen by, None if nobody knows; how they are read; and the linear part that a forecaster had
    in training."""

    path: Path | None
    crc32: int | None
    settings: DataSettings
    linear: tuple[float, ...] = ()

    def split(self, model: Path) -> tuple[Path, float, float, int]:
        """Where labelled data are, and how they were parted: fractions to validate and to test, and the seed.

        Raises
        ------
        UsageError
            The model does not say.
        """
        how = self.settings
        if self.path is None:
            raise UsageError(f"{model} does not say what it was trained on; give --data")
        if how.valid_fraction is None or how.test_fraction is None or how.seed is None:
            raise UsageError(f"{model} does not say which part of the data it was trained on; give --data")
        return self.path, how.valid_fraction, how.test_fraction, how.seed

    def encoder_of_training(self, encoder: Encoder) -> Encoder:
        """What a model read its data with, given what its file has: `SeriesLearning.finish` may have fitted
        the linear part again since."""
        if isinstance(encoder, SeriesEncoder) and len(self.linear) == len(encoder.linear):
            return replace(encoder, linear=self.linear)
        return encoder

    def check(self, crc32: int) -> None:
        """Raise TruesparseError if the data are others than those of training."""
        if self.crc32 not in (None, crc32):
            raise TruesparseError(
                f"{self.path} is not as it was when the model was trained on it; put it back, or measure it"
                f" as it is with --data {typed(self.path)} --split test"
            )


def find_data(saved: SavedModel | StoredModel, kind: type[Config]) -> RunData:
    """Where the data of a model are that lies in the folder of its run.

    A run keeps an absolute path. An earlier one may have a relative path, which is taken from the working
    directory. `kind` is the task that made the model.

    Raises
    ------
    UsageError
        The model does not lie there, unless it was trained on the built-in text; or the configuration of the
        run cannot be read or is that of another.
    """
    folder = saved.path.parent
    file = folder / CONFIG
    if not file.is_file():
        if saved.data.built_in:
            return RunData(None, None, saved.data)
        raise UsageError(
            f"{saved.path} is not in the folder of its run, whose {CONFIG} says where the data are"
            "; give --data"
        )
    values = read_toml(file)
    if values.get("task", LanguageModelConfig.TASK) != kind.TASK:
        raise UsageError(f"{file} is not the configuration of {saved.path}; give --data")
    data = kind.value_of(values, "data", file)
    settings = saved.data
    if settings.seed is None:  # the model does not tell, but its run does
        settings = DataSettings.from_document({"config": values}, not of_text(saved.kind))
    if data is None:
        return RunData(None, None, settings)
    return RunData(Path(data), *_of_checkpoint(folder / CHECKPOINT, settings))


def _of_checkpoint(path: Path, settings: DataSettings) -> tuple[int | None, DataSettings, tuple[float, ...]]:
    """What a checkpoint says of the data; nothing without a readable one, as the model needs none."""
    crc32, linear = None, ()
    with contextlib.suppress(TruesparseError), Reader(path) as reader:
        training, series = (reader.document.get(key) for key in ("training", "series"))
        if isinstance(training, dict) and isinstance(training.get("text_crc32"), int):
            crc32 = int(training["text_crc32"])
        found = series.get("linear") if isinstance(series, dict) else None
        if isinstance(found, list) and all(type(value) is float for value in found):
            linear = tuple(found)
    return crc32, settings, linear
