"""What tasks on labelled data have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from truesparse.data.parts import Examples, Kind, LabelledData, P
from truesparse.layers.chain import ChainSpec
from truesparse.tasks.rundata import find_data
from truesparse.training.calibration import (
    calibration_error,
    fit_temperature,
    helps,
    model_with_temperature,
    with_temperature,
)
from truesparse.training.task import Measures, Task, crc32_of

if TYPE_CHECKING:
    from truesparse.data import SequenceBatches
    from truesparse.model import Model
    from truesparse.model.loading import SavedModel
    from truesparse.modelfile import StoredModel
    from truesparse.training.config import Config


class LabelledTask(Task):
    """A task whose data have labels; see `Task`."""

    train: SequenceBatches

    @abstractmethod
    def log_probabilities(
        self, model: Model, part: str, stop: Callable[[], bool]
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """What a model predicts of the labels of a part, shape (n, labels), and which they are; arguments and
        errors as of `evaluate`."""

    def finish(self, model: Model, test: bool, stop: Callable[[], bool]) -> tuple[Model, Measures]:
        """See `Task.finish`. With `calibrate` the model gets the temperature that fits the validation data,
        or 1 if these do not show that another helps; measures are the `temperature`, the
        `refused_temperature` if there is one, and of each part the expected calibration error before and
        after."""
        if not vars(self.config)["calibrate"]:
            return model, {}
        measures: Measures = {}
        plain, temperature = model_with_temperature(model, 1.0), 1.0
        for part in ("valid", "test") if test else ("valid",):
            said, labels = self.log_probabilities(plain, part, stop)
            if part == "valid":
                found = fit_temperature(said, labels)
                helpful = helps(found, said, labels, ordered=self.chain.per_step)
                temperature = measures["temperature"] = found if helpful else 1.0
                measures |= {} if helpful else {"refused_temperature": found}
            measures[f"{part}_calibration_error_before"] = calibration_error(said, labels)
            after = with_temperature(said, temperature)
            measures[f"{part}_calibration_error"] = calibration_error(after, labels)
        return model_with_temperature(model, temperature), measures

    def __init__(self, config: Config, chain: ChainSpec, train: SequenceBatches, data: LabelledData) -> None:
        super().__init__(config, chain, train)
        self.name = data.name
        self.description = data.description
        self.crc32 = _crc32(data.parts)
        self.reading = {
            "vocabulary": data.encoder.vocabulary,
            "encoder": data.encoder,
            "labels": data.labels,
        }


def examples_to_measure(
    saved: SavedModel | StoredModel,
    data: Path | None,
    split: str | None,
    task: type[Config],
    kind: Kind[P],
    columns: Any,
) -> tuple[P, Examples]:
    """Labelled examples of a file, or of a part of a folder or of what a model was trained on: as they were
    read, and in the numbers of the model.

    Parameters
    ----------
    saved, data, split
        As `truesparse.tasks.use.evaluate_file` has them.
    task : type
        That made the model.
    kind : Kind
        Of the data.
    columns
        As `kind` takes them.

    Raises
    ------
    UsageError, TruesparseError
        They cannot be read, or are not those of training though `data` is not given.
    """
    split = split or "test"
    if data is not None:
        one = kind.read_one(data, columns, split)
        return one, kind.encode(one, saved.labels, saved.encoder)
    found = find_data(saved, task)
    if found.path is None:
        found = found._replace(path=kind.built_in)
    path, valid_fraction, test_fraction, seed = found.split(saved.path)
    every = kind.read_parts(path, columns, valid_fraction, test_fraction, seed)
    parts = {part: kind.encode(some, saved.labels, saved.encoder) for part, some in every.items()}
    trained = found.encoder_of_training(saved.encoder)
    if trained != saved.encoder:
        read = {part: kind.encode(every[part], saved.labels, trained) for part in ("train", "valid")}
        found.check(_crc32(read))
    else:
        found.check(_crc32(parts))
    return every[split], parts[split]


def _crc32(parts: dict[str, Examples]) -> int:
    """CRC-32 of tokens and labels to train on and to choose by."""
    return crc32_of(
        array
        for inputs, labels, _ in (parts["train"], parts["valid"])
        for array in (inputs.values, inputs.starts, getattr(labels, "values", labels))
    )
