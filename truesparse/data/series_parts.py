"""Sequences of numbers to train a model on: how they are parted, and as the model reads them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.data import forecast
from truesparse.data.arrays import labels_beside
from truesparse.data.files import PACKED, find_file, open_bytes, open_file
from truesparse.data.labelled import Labels, in_order, label_names, numbers_of_labels, stratified
from truesparse.data.parts import Examples, Kind, LabelledData
from truesparse.data.sequences import Sequences
from truesparse.data.series import Series, SeriesColumns, Targets, goal_of
from truesparse.data.series_encoder import (
    AUTO,
    CLASSIFY,
    FORECAST,
    LABEL_STEPS,
    SeriesEncoder,
    numbered,
)
from truesparse.data.series_files import ENDINGS, layout_of, read_series
from truesparse.errors import TruesparseError, UsageError
from truesparse.settings import joined

_ARCHIVE = {"train": re.compile(r".*_train\.ts", re.I), "test": re.compile(r".*_test\.ts", re.I)}

_IDX = {
    part: [f"{name}-images{mark}idx3-ubyte" for name in names for mark in "-."]
    for part, names in {"train": ("train",), "test": ("t10k", "test")}.items()
}
DIGITS = Path("built-in-digits")  # stands for data that are no file


class SeriesKind(Kind[Series]):
    """Files of sequences, also those of the UCR/UEA archive, which are called NAME_TRAIN.ts and
    NAME_TEST.ts."""

    def divide(self, train: Series, fraction: float, rng: np.random.Generator) -> tuple[Series, Series]:
        """See `Kind.divide`; of a sequence alone, and of those to forecast, the last steps are taken."""
        if train.goal == FORECAST:
            return forecast.divide(train, fraction)
        steps = len(train.inputs.values)
        if len(train) > 1 or not train.told().per_step:
            return super().divide(train, fraction, rng)
        cut = steps - round(fraction * steps)
        if not 0 < cut < steps:
            return train, train.select(np.empty(0, np.int64))
        return train.between([(0, cut)]), train.between([(cut, steps)])

    def _find(self, folder: Path, part: str) -> Path | None:
        found = super()._find(folder, part) or find_file(folder, _IDX.get(part, ()))
        if found is not None or part not in _ARCHIVE:
            return found
        files = [
            file
            for file in sorted(folder.iterdir())
            if _ARCHIVE[part].fullmatch(file.name.removesuffix(next(filter(file.name.endswith, PACKED), "")))
        ]
        if len(files) > 1:
            raise UsageError(
                f"the folder {folder} has several data sets, {files[0].name} and {files[1].name}; give each"
                " a folder"
            )
        return files[0] if files else None


def read(path: Path, columns: SeriesColumns) -> Series:
    """Read sequences from a file; raises as `read_series`."""
    if path == DIGITS:
        return _digits()
    layout = layout_of(path.name)
    with open_file(path, layout) as file:
        if layout != "idx":
            return read_series(file, layout, columns)
        with open_bytes(labels_beside(path)) as labels:
            return read_series(file, layout, columns, labels=labels)


def _digits() -> Series:
    """Images of 8 x 8 pixels that come with scikit-learn, as bright as those of files."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise UsageError(
            "--data is missing; give a file, or install scikit-learn for its images of digits, with: pip"
            ' install "truesparse[sklearn]"'
        ) from None

    digits = load_digits()
    count, features = digits.data.shape
    rows = np.arange(count)
    targets = Targets(("digit",), digits.target[:, None], False, rows)
    inputs = Sequences(np.rint(digits.data * (255 / 16)), np.arange(count + 1))
    return Series("the built-in digits", numbered("x", features, "x"), inputs, rows, targets)


def _read_part(path: Path, columns: SeriesColumns, part: str) -> Series:
    """As `read`; what is to train on says what is to be learned."""
    series = read(path, columns._replace(weighed=part == "train"))
    if part != "train":
        return series
    if columns.encoder is not None and columns.goal == FORECAST:
        return replace(series.with_features(columns.encoder.features), goal=FORECAST, encoder=columns.encoder)
    if columns.goal == FORECAST:
        return forecast.planned(series, columns)
    goal = goal_of(series) if columns.goal == AUTO else columns.goal
    return replace(series.of_goal(goal), goal=goal)


def _take(train: Series, fraction: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """A fraction of the sequences at random, in the order of the file: of labels the same of each, and of
    those of steps no sequence that is the last one left with a label."""
    if train.goal == CLASSIFY:
        return stratified(train.told().texts(), fraction, rng)
    order, wanted = rng.permutation(len(train)), round(fraction * len(train))
    if train.goal != LABEL_STEPS:
        return np.sort(order[:wanted])
    texts, starts = np.array(train.told().texts()), train.inputs.starts
    labels = [set(texts[first:last]) for first, last in pairwise(starts)]
    left = Counter(label for own in labels for label in own)
    taken: list[int] = []
    for number in order:
        if len(taken) < wanted and all(left[label] > 1 for label in labels[number]):
            left.subtract(labels[number])
            taken.append(number)
    return np.array(sorted(taken), np.int64)


@dataclass(frozen=True)
class ForecastData(LabelledData):
    """Data to train a forecaster on.

    Attributes
    ----------
    series : dict of str to Series
        What its parts are made of.
    """

    series: dict[str, Series]

    def refitted(self) -> ForecastData:
        """The same with a linear part that is made of what is trained on and what is chosen by together, for
        the test part."""
        encoder = self.encoder
        assert isinstance(encoder, SeriesEncoder)
        train, valid, test = self.series.values()
        encoder = forecast.with_linear(train, valid, encoder, both=True)
        return replace(self, encoder=encoder, parts={**self.parts, "test": forecast.encode(test, encoder)})


def encode(series: Series, labels: Sequence[str], encoder: SeriesEncoder) -> Examples:
    """Sequences as a model reads them, with what it is to predict.

    Raises
    ------
    UsageError, TruesparseError
        They lack features, or their targets are not what the model predicts.
    """
    if encoder.goal == FORECAST:
        return forecast.encode(series, encoder)
    series = series.with_features(encoder.features).of_goal(encoder.goal)
    targets = series.told()
    if len(targets.names) != len(encoder.targets):
        raise UsageError(
            f"{series.name} has {len(targets.names)} columns to predict, but the model predicts"
            f" {len(encoder.targets)}; give --target-column as in training"
        )
    told: Any
    if encoder.labels:
        told = numbers_of_labels(Labels(series.name, targets.rows, targets.texts()), labels)
    else:
        told = targets.numbers(series.name).astype(np.float32)
    if encoder.per_step:
        told = Sequences(told if told.ndim == 1 else np.ascontiguousarray(told.T), series.inputs.starts)
    return Examples(series.inputs, told, targets.weights)


SERIES = SeriesKind(
    *(ENDINGS, "file", "sequences", "", "sequences"),
    *(read, _read_part, _take, encode),
)
ROWS = SeriesKind(*(ENDINGS, "file", "rows", "", "rows"), *(read, _read_part, _take, encode), built_in=DIGITS)


def _plan(encoder: SeriesEncoder) -> str:
    """What is forecast, for a message."""
    sizes = f"a horizon of {encoder.horizon:,}, a lookback of {encoder.lookback:,}"
    known = f", {joined(encoder.known, 'and')} known" if encoder.known else ""
    return (
        f"{joined(encoder.targets, 'and')} by {joined(encoder.features, 'and')}{known}, with {sizes} and a"
        f" season of {encoder.season:,}"
    )


def load_series(
    path: Path,
    columns: SeriesColumns,
    valid_fraction: float,
    test_fraction: float,
    seed: int,
    linear: tuple[float, ...] | None = None,
    encoder: SeriesEncoder | None = None,
    labels: tuple[str, ...] = (),
) -> LabelledData:
    """Read sequences to train on, and what their model is to predict.

    Parameters
    ----------
    path, columns, valid_fraction, test_fraction, seed
        See `Kind.read_parts`.
    linear : tuple of float, optional
        The linear part of forecasts, see `SeriesEncoder`, of `encoder`; found in the data if not given.
    encoder, labels
        Of the model, if it is there already; what the data say if not given.

    Raises
    ------
    UsageError, TruesparseError
        As `Kind.read_parts` and `encode`; also if there is one label only, or the linear part is of other
        forecasts.
    """
    kind = ROWS if columns.flat else SERIES
    parts = kind.read_parts(path, columns, valid_fraction, test_fraction, seed)
    train = parts["train"]
    if train.encoder is not None:
        if linear is None:
            forecaster = forecast.with_linear(train, parts["valid"], train.encoder)
        else:
            if linear and encoder is not None and replace(encoder, linear=()) != train.encoder:
                raise UsageError(
                    f"the model that there is forecasts {_plan(encoder)}; but for this run it is"
                    f" {_plan(train.encoder)}; give the --horizon, --lookback, --season and columns of the"
                    " model"
                )
            forecaster = replace(train.encoder, linear=linear)
        return ForecastData.of(path, kind, parts, (), forecaster, series=parts)
    targets = train.told()
    if not labels and train.goal == CLASSIFY:
        labels = label_names(Labels(train.name, targets.rows, targets.texts()))
    elif not labels and train.goal == LABEL_STEPS:
        labels = in_order(set(targets.texts()))
        if len(labels) == 1:
            raise TruesparseError(
                f"all training steps of {train.name} have the label {labels[0]!r}; a model needs two"
                " labels or more"
            )
    encoder = encoder or SeriesEncoder(train.goal, train.features, targets.names)
    return LabelledData.of(path, kind, parts, labels, encoder)
