"""Where the data of a run are: never where a model file says, but where the user's own run folder does."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import NamedTuple, cast

from truesparse.errors import TruesparseError, UsageError
from truesparse.modelfile import CHECKPOINT
from truesparse.modelfile.container import Reader
from truesparse.training.checkpoint import SavedModel
from truesparse.training.rundir import CONFIG
from truesparse.training.sources import load_config
from truesparse.training.task_configs import ClassifierConfig, LanguageModelConfig


class RunData(NamedTuple):
    """Where the data are that a model was trained on, None for the built-in text; and the CRC-32 of what was
    trained and chosen by, None if nobody knows."""

    path: Path | None
    crc32: int | None

    def check(self, crc32: int) -> None:
        """Raise TruesparseError if the data are others than those of training."""
        if self.crc32 not in (None, crc32):
            raise TruesparseError(
                f"{self.path} is not as it was when the model was trained on it; put it back, or measure it"
                f" as it is with --data {self.path} --split test"
            )


def find_data(saved: SavedModel) -> RunData:
    """Where the data of a model are that lies in the folder of its run.

    A run keeps an absolute path. An earlier one may have a relative path, which is taken from the working
    directory.

    Raises
    ------
    UsageError
        The model does not lie there, unless it was trained on the built-in text; or the configuration of the
        run cannot be read or is that of another.
    """
    folder = saved.path.parent
    mine = cast(LanguageModelConfig | ClassifierConfig, saved.config)
    if not (folder / CONFIG).is_file():
        if mine.data is None:
            return RunData(None, None)
        raise UsageError(
            f"{saved.path} is not in the folder of its run, whose {CONFIG} says where the data are"
            "; give --data"
        )
    config = load_config(folder / CONFIG)
    if not isinstance(config, type(mine)):
        raise UsageError(f"{folder / CONFIG} is not the configuration of {saved.path}; give --data")
    if config.data is None:
        return RunData(None, None)
    return RunData(Path(config.data), _checksum(folder / CHECKPOINT))


def _checksum(path: Path) -> int | None:
    """What a checkpoint says of the data; None without a readable one, as the model needs none."""
    with contextlib.suppress(TruesparseError), Reader(path) as reader:
        training = reader.document.get("training")
        if isinstance(training, dict) and isinstance(training.get("text_crc32"), int):
            return int(training["text_crc32"])
    return None
