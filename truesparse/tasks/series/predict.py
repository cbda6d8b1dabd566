"""What ``truesparse predict`` prints of a model of sequences of numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.data.forecast import last_windows
from truesparse.data.series import Series, SeriesColumns
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
        """Nothing: a file is read whole before its first prediction."""
        return ""

    def _header(self, first: list[str]) -> str:
        """The names of the columns; those of `first` come before the predictions."""
        names = list(self._encoder.targets)
        if self._encoder.labels:
            names = ["label", *(f"p({label})" for label in self._saved.labels)]
        return csv_row([*first, *names])

    def predictions(self, file: Any, layout: str, as_json: bool, **columns: str) -> Iterator[str]:
        """See `Predictor.predictions`."""
        where = columns_of(self._saved, **columns)
        series = read_series(file, layout, where, labelled=False)
        if self._encoder.goal == FORECAST:
            names, firsts = [where.id, where.time or "step"], self._next(series, where)
            told = self._model.predict(last_windows(series, self._encoder))
            told = told.reshape(-1, len(self._encoder.targets))
        else:
            series = series.with_features(self._encoder.features)
            names = [where.id, where.time if self._encoder.per_step else ""]
            firsts = self._first(series, where)
            told = self._model.predict(series.inputs)
        names = [name for name in names if name]
        rows = zip(firsts, told, strict=True)
        if as_json:
            yield "".join(self._as_json(names, first, values) for first, values in rows)
        else:
            yield self._header(names) + "".join(self._as_row(first, values) for first, values in rows)

    def _next(self, series: Series, where: SeriesColumns) -> Iterator[list[str]]:
        """What comes before each of the next steps of each series."""
        horizon = self._encoder.horizon
        for number, (first, last) in enumerate(pairwise(series.inputs.starts)):
            later = [str(step) for step in range(1, horizon + 1)]
            if series.stamps is not None and last - first > 1:
                assert series.step_rows is not None
                own = series.stamps.select(np.arange(first, last))
                later = pace_of(own, series.step_rows[first:last], series.name, "").after(own, horizon)
            name = [series.ids[number] if series.ids else str(number)] if where.id else []
            yield from ([*name, time] for time in later)

    def _first(self, series: Series, where: SeriesColumns) -> Iterator[list[str]]:
        """What comes before the prediction, for each sequence or step."""
        per_step, steps = self._encoder.per_step, len(series.inputs.values)
        columns = []
        if where.id:
            ids = series.ids or [str(number) for number in range(len(series))]
            columns.append(np.repeat(np.array(ids), series.inputs.lengths if per_step else 1).tolist())
        if where.time and per_step:
            columns.append([""] * steps if series.stamps is None else series.stamps.texts)
        count = steps if per_step else len(series)
        return map(list, zip(*columns, strict=True)) if columns else ([] for _ in range(count))

    def _as_row(self, first: list[str], values: NDArray[np.float32]) -> str:
        if not self._encoder.labels:
            return csv_row([*first, *(f"{value:.7g}" for value in values)])
        label = self._saved.labels[values.argmax()]
        return csv_row([*first, label, *(f"{value:.6f}" for value in values)])

    def _as_json(self, names: list[str], first: list[str], values: NDArray[np.float32]) -> str:
        told: dict[str, Any] = {**dict(zip(names, first, strict=True))}
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
