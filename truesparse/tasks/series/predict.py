"""What ``truesparse predict`` prints of a model of sequences of numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.data.forecast import last_windows
from truesparse.data.series import Series
from truesparse.data.series_encoder import FORECAST
from truesparse.data.series_files import layout_of, read_series
from truesparse.data.stamps import pace_of
from truesparse.data.tables import csv_row
from truesparse.model.loading import SavedModel
from truesparse.tasks.series.use import SavedSeriesModel, columns_of, encoder_of


class SeriesPredictor:
    """A row for each sequence, step or next step: what it is called and when it is, if the training data said
    that; then its label and the probability of each label, or its numbers. See `Predictor`."""

    def __init__(self, saved: SavedModel) -> None:
        self._model = SavedSeriesModel(saved)
        self._saved = saved
        self._encoder = encoder_of(saved)

    def layout(self, name: str) -> str:
        """See `Predictor.layout`."""
        return layout_of(name)

    def header(self, as_json: bool) -> str:
        """The names of the columns."""
        if as_json:
            return ""
        names = list(self._encoder.targets)
        if self._encoder.labels:
            names = ["label", *(f"p({label})" for label in self._saved.labels)]
        return csv_row([*self._names(), *names])

    def _names(self) -> list[str]:
        """What the columns before what is told are called."""
        data = self._saved.data
        time = data.time_column if self._encoder.per_step else ""
        if self._encoder.goal == FORECAST:
            time = data.time_column or "step"
        return [name for name in (data.id_column, time) if name]

    def predictions(self, file: Any, layout: str, as_json: bool, **columns: str) -> Iterator[str]:
        """See `Predictor.predictions`."""
        series = read_series(file, layout, columns_of(self._saved, **columns), labelled=False)
        write = self._as_json if as_json else self._as_row
        if self._encoder.goal == FORECAST:
            firsts = self._next(series)
            told = self._model.predict(last_windows(series, self._encoder))
            told = told.reshape(-1, len(self._encoder.targets))
        else:
            series = series.with_features(self._encoder.features)
            firsts = self._first(series)
            told = self._model.predict(series.inputs)
        yield "".join(write(first, values) for first, values in zip(firsts, told, strict=True))

    def _next(self, series: Series) -> Iterator[list[str]]:
        """What comes before each of the next steps of each series."""
        horizon = self._encoder.horizon
        for number, (first, last) in enumerate(pairwise(series.inputs.starts)):
            later = [str(step) for step in range(1, horizon + 1)]
            if self._saved.data.time_column and series.stamps is not None and last - first > 1:
                assert series.step_rows is not None
                own = series.stamps.select(np.arange(first, last))
                later = pace_of(own, series.step_rows[first:last], series.name, "").after(own, horizon)
            name = [series.ids[number] if series.ids else str(number)] if self._saved.data.id_column else []
            yield from ([*name, time] for time in later)

    def _first(self, series: Series) -> Iterator[list[str]]:
        """What comes before what is told, of each sequence or step."""
        data, per_step, steps = self._saved.data, self._encoder.per_step, len(series.inputs.values)
        columns = []
        if data.id_column:
            ids = series.ids or [str(number) for number in range(len(series))]
            columns.append(np.repeat(np.array(ids), series.inputs.lengths if per_step else 1).tolist())
        if data.time_column and per_step:
            columns.append([""] * steps if series.stamps is None else series.stamps.texts)
        count = steps if per_step else len(series)
        return map(list, zip(*columns, strict=True)) if columns else ([] for _ in range(count))

    def _as_row(self, first: list[str], values: NDArray[np.float32]) -> str:
        if not self._encoder.labels:
            return csv_row([*first, *(f"{value:.7g}" for value in values)])
        label = self._saved.labels[values.argmax()]
        return csv_row([*first, label, *(f"{value:.6f}" for value in values)])

    def _as_json(self, first: list[str], values: NDArray[np.float32]) -> str:
        told: dict[str, Any] = {**dict(zip(self._names(), first, strict=True))}
        numbers = [float(f"{value:.7g}") for value in values]
        if self._encoder.labels:
            told["label"] = self._saved.labels[values.argmax()]
            told["probabilities"] = dict(zip(self._saved.labels, numbers, strict=True))
        else:
            told["numbers"] = dict(zip(self._encoder.targets, numbers, strict=True))
        return json.dumps(told, ensure_ascii=False) + "\n"

    def remark(self, layout: str) -> str:
        """Nothing."""
        return ""
