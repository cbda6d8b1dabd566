"""The task of telling something of rows of features."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.data import LabelledData, SeriesEncoder
from truesparse.layers.chain import ChainSpec
from truesparse.tasks.mlp.settings import MLPConfig
from truesparse.tasks.series.settings import SeriesConfig
from truesparse.tasks.series.task import SeriesLearning, scaling

_LEAST_BRIGHTEST = 128  # of pixels


class RowLearning(SeriesLearning):
    """Telling a label or numbers for each row; see `SeriesLearning`."""

    def _chain(self, config: SeriesConfig, data: LabelledData) -> ChainSpec:
        assert isinstance(config, MLPConfig)
        assert isinstance(data.encoder, SeriesEncoder)
        train, encoder = data.parts["train"], data.encoder
        values = train.inputs.values
        scaled: Any = ()
        if config.inputs == "pixels" or (config.inputs == "auto" and _are_pixels(values)):
            scaled = (0.0,) * values.shape[1], (255.0,) * values.shape[1]
        elif config.inputs != "none":
            scaled = scaling(values, encoder.features)
        head = {}
        if not encoder.labels:
            head["mean"], head["scale"] = scaling(train.labels.T, encoder.targets)
        kind, outputs = "classifier" if encoder.labels else "regressor", len(data.labels)
        return config.chain(values.shape[1], outputs or len(encoder.targets), kind, scaled, **head)


def _are_pixels(values: NDArray[np.float32]) -> bool:
    """Whether numbers are whole, from 0 to 255 and some of them as bright as those of images are."""
    low, high = values.min(), values.max()
    return bool(low >= 0 and _LEAST_BRIGHTEST <= high <= 255 and not (values % 1).any())
