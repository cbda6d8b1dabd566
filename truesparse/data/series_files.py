"""Sequences of numbers in files: arrays, tables whose rows are sequences or steps, and .ts files."""

from __future__ import annotations

import re
import warnings
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.data.arrays import read_idx, read_npz
from truesparse.data.files import BytesFile, TextFile, without_packing
from truesparse.data.frames import MEND, Frame, fits, read_arrow, read_csv
from truesparse.data.labelled import check_weights, read_weight
from truesparse.data.sequences import Sequences
from truesparse.data.series import TARGETS, Series, SeriesColumns, Targets
from truesparse.data.series_encoder import (
    AUTO,
    CLASSIFY,
    FORECAST,
    REGRESS,
    STEP_GOALS,
    SeriesEncoder,
    numbered,
)
from truesparse.data.stamps import check_order, pace_of, read_stamps
from truesparse.data.ts_files import read_ts
from truesparse.errors import TruesparseError, UsageError
from truesparse.settings import joined

_LAYOUTS = {
    **{".csv": "csv", ".tsv": "csv", ".txt": "csv", ".npz": "npz", ".ts": "ts"},
    **{"idx1-ubyte": "idx", "idx3-ubyte": "idx", ".idx": "idx"},
    **{".parquet": "parquet", ".pq": "parquet"},
    **{".arrow": "arrow", ".feather": "arrow", ".ipc": "arrow"},
}
ENDINGS = tuple(_LAYOUTS)
_GAP = "the model takes all steps as even, so fill the gap in if that matters"
LAYOUTS = tuple(dict.fromkeys(_LAYOUTS.values()))
WIDE = ("value",)  # the only feature of a table whose rows are sequences


def layout_of(name: str) -> str:
    """What a file has by its name; CSV if that does not say."""
    name = without_packing(name).lower()
    return next((layout for ending, layout in _LAYOUTS.items() if name.endswith(ending)), "csv")


def read_series(
    file: TextFile | BytesFile,
    layout: str,
    columns: SeriesColumns,
    labelled: bool = True,
    labels: BytesFile | None = None,
) -> Series:
    """Read sequences of numbers.

    Parameters
    ----------
    file : TextFile or BytesFile
        As `truesparse.data.files.open_file` gives it.
    layout : str
        One of `LAYOUTS`.
    columns : SeriesColumns
    labelled : bool
        Whether targets must be there; without, they are not read.
    labels : BytesFile, optional
        Of an IDX file, that of its labels.

    Raises
    ------
    UsageError, TruesparseError
        A column is missing, or something cannot be read or learned from; the error names row and column.
    """
    if isinstance(file, TextFile):
        if layout == "ts":
            if columns.weight and columns.weighed:
                raise UsageError(
                    f"{file.name} has no columns, so leave --weight-column out, or give a CSV file"
                )
            return read_ts(file, labelled and columns.goal != FORECAST)
        frame = read_csv(file)
    elif layout in ("npz", "idx"):
        read = {"x": read_idx(file)} if layout == "idx" else read_npz(file)
        if labels is not None:
            read["y"] = read_idx(labels)
        return _from_arrays(file.name, read, columns, labelled)
    else:
        frame = read_arrow(file, layout == "parquet")
    if columns.flat:
        return _from_table(frame, columns, labelled)
    long = columns.long and not _named_rows(frame, columns)
    return (_from_steps if long else _from_rows)(frame, columns, labelled)


def _named_rows(frame: Frame, columns: SeriesColumns) -> bool:
    """Whether each row of a table with ids is a whole sequence: each id comes once, and the columns are
    called as steps, s1, s2, ... and the like, or are not the features of a model of other tables."""
    if not columns.id or columns._replace(id="").long:
        return False
    ids = frame.texts(frame.place(columns.id, "id"), "id")
    if len(set(ids)) < len(ids):
        return False
    if columns.encoder is not None:
        return columns.encoder.features == WIDE and WIDE[0] not in frame.titles
    taken = [*target_places(frame, columns, needed=False), *_weight_places(frame, columns)]
    steps = [title for place, title in enumerate(frame.titles) if place not in taken and title != columns.id]
    parts = [re.fullmatch(r"(\D*)(\d+)", title) for title in steps]
    first = int(parts[0][2]) if parts and parts[0] else 0
    return len(steps) > 1 and all(
        part and parts[0] and part[1] == parts[0][1] and int(part[2]) == first + number
        for number, part in enumerate(parts)
    )


def target_places(frame: Frame, columns: SeriesColumns, needed: bool) -> list[int]:
    """Where the targets of a table are.

    Raises
    ------
    UsageError
        There are none though they are needed, or a column that is named.
    """
    if columns.target == AUTO:
        names = [title.lower() for title in frame.titles]
        found = [names.index(name) for name in TARGETS if name in names][:1]
        if needed and not found:
            frame.place(TARGETS[0], "target")
        return found
    names = [name.strip() for name in columns.target.split(",")]
    return [frame.place(name, "target") for name in names if needed or name in frame.titles]


def _targets(
    frame: Frame, places: list[int], columns: SeriesColumns, order: NDArray[np.int64] | None
) -> Targets:
    names = tuple(frame.titles[place] for place in places)
    values = np.array([frame.texts(place, "target") for place in places], object).T
    weights = None
    if columns.weight and columns.weighed:
        given = frame.texts(frame.place(columns.weight, "weight"), "weight")
        weights = np.array([read_weight(*cell, frame.name) for cell in zip(given, frame.rows, strict=True)])
        check_weights(weights, frame.name)
    targets = Targets(names, values, order is not None, frame.rows, weights=weights)
    return targets if order is None else targets.select(order)


def _weight_places(frame: Frame, columns: SeriesColumns) -> list[int]:
    """Where weights are, which are no features."""
    return [frame.titles.index(columns.weight)] if columns.weight in frame.titles else []


def _from_table(frame: Frame, columns: SeriesColumns, labelled: bool) -> Series:
    """Rows of features."""
    taken = target_places(frame, columns, labelled)
    other = {*taken, *_weight_places(frame, columns)}
    read = [place for place in range(len(frame.titles)) if place not in other]
    if not labelled and columns.encoder is not None:
        read = [place for place in read if frame.titles[place] in columns.encoder.features]
    if not read:
        raise TruesparseError(f"{frame.name} has no columns of numbers to learn from; add some")
    values = np.stack([frame.numbers(place) for place in read], axis=1)
    targets = _targets(frame, taken, columns, None) if labelled else None
    features, starts = tuple(frame.titles[place] for place in read), np.arange(len(values) + 1)
    return Series(frame.name, features, Sequences(values, starts), frame.rows, targets, step_rows=frame.rows)


def _from_rows(frame: Frame, columns: SeriesColumns, labelled: bool) -> Series:
    """Sequences of which each is a row; empty cells at its end are beyond it."""
    taken = target_places(frame, columns, labelled)
    targets = _targets(frame, taken, columns, None) if labelled else None
    named = [frame.place(columns.id, "id")] if columns.id else []
    ids = frame.texts(named[0], "id") if named else ()
    other = {*taken, *named, *_weight_places(frame, columns)}
    steps = [place for place in range(len(frame.titles)) if place not in other]
    if not steps:
        raise TruesparseError(f"{frame.name} has no columns of numbers besides {frame.titles[taken[0]]!r}")
    values = np.stack([frame.numbers(place, gaps=True) for place in steps], axis=1)
    there: NDArray[np.bool_] = ~np.isnan(values)
    lengths = there.shape[1] - there[:, ::-1].argmax(axis=1)
    wrong = (np.arange(there.shape[1]) < lengths[:, None]) & ~there
    if wrong.any():
        row, step = np.unravel_index(int(wrong.argmax()), wrong.shape)
        where = f"in the column {frame.titles[steps[step]]!r}, though there are values behind it"
        what = f"nothing {where}" if there[row].any() else "no values"
        raise TruesparseError(f"row {frame.rows[row]:,} of {frame.name} has {what}; {MEND}")
    starts = np.concatenate([[0], lengths.cumsum()])
    return Series(frame.name, WIDE, Sequences(values[there][:, None], starts), frame.rows, targets, ids)


def _from_steps(frame: Frame, columns: SeriesColumns, labelled: bool) -> Series:
    """Sequences of which each step is a row."""
    forecasts = columns.goal == FORECAST
    taken = [] if forecasts else target_places(frame, columns, labelled)
    named = [(name, what) for name, what in ((columns.id, "id"), (columns.time, "time")) if name]
    places = {what: frame.place(name, what) for name, what in named}
    other = {*taken, *places.values(), *_weight_places(frame, columns)}
    others = [place for place in range(len(frame.titles)) if place not in other]
    if not others:
        raise TruesparseError(
            f"{frame.name} has no columns of features; put numbers of each step into columns of their own, or"
            " name the column to predict with --target-column"
        )
    ids: list[str] = []
    groups = np.zeros(len(frame.rows), np.int64)
    if "id" in places:
        texts = frame.texts(places["id"], "id")
        numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        ids, groups = list(numbers), np.array([numbers[text] for text in texts])
    order = np.argsort(groups, kind="stable")
    rows = frame.rows[order]
    starts = np.concatenate([[0], np.bincount(groups).cumsum()])
    stamps, uneven = None, columns.encoder is not None  # once is enough
    if "time" in places:
        stamps = read_stamps(frame.texts(places["time"], "time"), frame.name, frame.rows).select(order)
        for number, (first, last) in enumerate(pairwise(starts)):
            whose = f" of {ids[number]!r}" if ids else ""
            own = stamps.select(np.arange(first, last))
            check_order(own, rows[first:last], frame.name, whose)
            if forecasts and last - first > 1:
                pace_of(own, rows[first:last], frame.name, whose)
            elif not uneven and last - first > 1:
                try:
                    pace_of(own, rows[first:last], frame.name, whose, _GAP)
                except UsageError as error:
                    uneven = True
                    warnings.warn(str(error), stacklevel=2)
    encoder = None if labelled else columns.encoder
    if encoder is not None and encoder.known:
        others = [place for place in others if frame.titles[place] in encoder.features]
    else:
        encoder = None
    known = encoder is not None
    values = np.stack([frame.numbers(place, gaps=known) for place in others], axis=1)[order]
    series = Series(
        frame.name,
        tuple(frame.titles[place] for place in others),
        Sequences(np.nan_to_num(values) if known else values, starts),
        rows[starts[:-1]],
        _targets(frame, taken, columns, order) if labelled and not forecasts else None,
        ids,
        stamps,
        rows,
    )
    return series if encoder is None else _with_future(series, values, encoder)


def _with_future(series: Series, values: NDArray[np.float64], encoder: SeriesEncoder) -> Series:
    """Series at whose ends there are rows without targets, which tell what is known of the next steps.

    Raises
    ------
    TruesparseError
        A series has not as many of them as are forecast, or a cell is empty that must not be.
    """
    named = series.with_features(encoder.features)  # or an error says what they lack
    values = values[:, [series.features.index(name) for name in encoder.features]]
    targets, known = len(encoder.targets), [encoder.features.index(name) for name in encoder.known]
    there: NDArray[np.bool_] = ~np.isnan(values)
    parts, future = [], []
    for number, (first, last) in enumerate(pairwise(series.inputs.starts)):
        told = np.any(there[first:last, :targets], axis=1)
        cut = last - int(told[::-1].argmax()) if told.any() else first
        if last - cut < encoder.horizon or cut == first:
            raise TruesparseError(
                f"{series.whose(number)} has {last - cut:,} rows without {encoder.targets[0]!r} at its end;"
                f" give {encoder.horizon:,} behind those with it, which say what"
                f" {joined(map(repr, encoder.known), 'and')} will be at the next steps"
            )
        needed = [(row, column) for row in range(first, cut) for column in range(values.shape[1])]
        needed += [(row, column) for row in range(cut, cut + encoder.horizon) for column in known]
        for row, column in needed:
            if not there[row, column]:
                assert series.step_rows is not None
                raise TruesparseError(
                    f"in row {series.step_rows[row]:,} of {series.name} the column"
                    f" {encoder.features[column]!r} is empty; {MEND}"
                )
        parts.append((first, cut))
        future.append(values[cut : cut + encoder.horizon, known])
    return replace(named.between(parts), future=future)


def _from_arrays(
    name: str, arrays: dict[str, NDArray[Any]], columns: SeriesColumns, labelled: bool
) -> Series:
    """Arrays ``X``, and ``y`` and ``lengths`` if there are; for MNIST's sake also ``images``, ``labels``."""
    others = {own: arrays[name] for own, name in (("x", "images"), ("y", "labels")) if name in arrays}
    arrays = others | arrays
    x = _array(arrays, "x", name)
    kinds = (1, 2, 3) if columns.goal == FORECAST else (2, 3)
    if columns.flat and x.ndim >= 2 and x.size:  # images too
        x = x.reshape(len(x), 1, -1)
    if x.dtype.kind not in "biuf" or x.ndim not in kinds or not x.size:
        raise TruesparseError(
            f"X of {name} is {x.dtype} of shape {x.shape}; it must be numbers (n, T), or (n, T, D) for D"
            " features a step"
        )
    x = x.reshape(1, -1, 1) if x.ndim == 1 else x[..., None] if x.ndim == 2 else x
    count, steps, size = x.shape
    lengths = np.full(count, steps)
    if "lengths" in arrays:
        lengths = arrays["lengths"]
        good = lengths.dtype.kind in "iu" and lengths.shape == (count,)
        if not good or not ((lengths >= 1) & (lengths <= steps)).all():
            raise TruesparseError(
                f"lengths of {name} must be {count:,} whole numbers from 1 to {steps:,}, the steps of each"
                " sequence of X"
            )
    there = np.arange(steps) < lengths[:, None]
    whole = x.dtype.kind != "f"
    wrong = np.zeros_like(there) if whole else there & ~fits(x.astype(np.float64)).all(axis=2)
    if wrong.any():
        row, step = np.unravel_index(int(wrong.argmax()), wrong.shape)
        raise TruesparseError(
            f"row {row:,} of X of {name} has NaN or infinity at step {step:,} (both count from 0); {MEND}"
        )
    inputs = Sequences(x[there], np.concatenate([[0], lengths.cumsum()]))
    features = numbered("x", size, "value")
    labelled = labelled and columns.goal != FORECAST
    targets = _npz_targets(arrays, x, there, columns, name) if labelled else None
    return Series(name, features, inputs, np.arange(count), targets)


def _array(arrays: dict[str, NDArray[Any]], key: str, name: str) -> NDArray[Any]:
    if key not in arrays:
        there = ", ".join(arrays) or "nothing"
        word = "X" if key == "x" else key
        raise UsageError(
            f"{name} has no array {word}, but {there}; write it with numpy.savez(name, X=..., y=...)"
        )
    return arrays[key]


def _npz_targets(
    arrays: dict[str, NDArray[Any]],
    x: NDArray[Any],
    there: NDArray[np.bool_],
    columns: SeriesColumns,
    name: str,
) -> Targets:
    y = _array(arrays, "y", name)
    count, steps, _ = x.shape
    per_step = y.ndim > 1 and y.shape[:2] == (count, steps) and columns.goal not in (CLASSIFY, REGRESS)
    per_step = per_step and not columns.flat
    if y.dtype.kind not in "biufUS" or y.shape[:1] != (count,) or y.ndim > 2 + per_step:
        raise TruesparseError(
            f"y of {name} is {y.dtype} of shape {y.shape}; it must have a label or numbers for each of the"
            f" {count:,} rows of X, or for each of their steps"
        )
    if columns.goal in STEP_GOALS and not per_step:
        raise TruesparseError(
            f"y of {name} has the shape {y.shape}; for an output at each step it must begin with"
            f" {(count, steps)}, as X does"
        )
    if y.dtype.kind == "S":
        y = y.astype("U")
    values = y[there] if per_step else y
    rows = np.nonzero(there)[0] if per_step else np.arange(count)
    values = values.reshape(len(rows), -1)
    weights = None
    if columns.weight and columns.weighed:
        weights, wanted = _array(arrays, columns.weight.lower(), name), (count, steps)[: 1 + per_step]
        if weights.dtype.kind not in "biuf" or weights.shape != wanted:
            raise TruesparseError(
                f"{columns.weight} of {name} is {weights.dtype} of shape {weights.shape}; it must be numbers"
                f" of shape {wanted}"
            )
        weights = weights[there] if per_step else weights
        cells = zip(weights.tolist(), rows.tolist(), strict=True)
        weights = np.array([read_weight(cell, row, name) for cell, row in cells])
        check_weights(weights, name)
    return Targets(numbered("y", values.shape[1], "y"), values, per_step, rows, weights=weights)
