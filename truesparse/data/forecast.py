"""Forecasts: the next steps of a series, predicted from the steps before, all of them at once.

The model reads the last steps of a series and says the numbers of all next steps together (direct multi-step
forecasts), so nothing that it said is read again. What it learns is by how much they differ from a simple
forecast: the seasonal naive one, which is the last value of the same place in the season, and a linear part
of the last steps (`truesparse.data.linear`); it reads how much each step differs from the season before, too.
So it begins as good as that, and a trend does not lead out of what it has seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.data.linear import fit_linear, lags_of, linear_part
from truesparse.data.parts import Examples
from truesparse.data.sequences import Sequences
from truesparse.data.series import TARGETS, Series, SeriesColumns
from truesparse.data.series_encoder import AUTO, FORECAST, SeriesEncoder
from truesparse.errors import TruesparseError, UsageError
from truesparse.settings import joined

_LEAST = 16  # steps that are read, if nobody says how many
_LONGEST_SEASON = 400
_CLEAR = 0.3  # autocorrelation that tells a season
_AT_ONCE = 1 << 14  # forecasts whose differences are in memory together
_NEARLY = 0.9  # of the highest one: a shorter season is taken then


class Windows(Sequences):
    """Sequences that overlap: windows of a length.

    Parameters
    ----------
    values : ndarray of float32, shape (steps, D)
    firsts : ndarray of int64, shape (n,)
        Where each window begins.
    length : int
    naive : ndarray of float64, shape (K * horizon, n)
        The seasonal naive forecasts.
    simple : ndarray of float64, shape (K * horizon, n)
        What the model's numbers are added to: the seasonal naive forecasts and the linear part.
    """

    __slots__ = ("firsts", "length", "naive", "simple")

    def __init__(
        self,
        values: NDArray[Any],
        firsts: NDArray[np.int64],
        length: int,
        naive: NDArray[np.float64],
        simple: NDArray[np.float64],
    ) -> None:
        checked = Sequences(values, np.array([0, len(values)]))
        self.values, self.starts = checked.values, checked.starts
        self.firsts, self.length, self.naive, self.simple = firsts, length, naive, simple

    def __len__(self) -> int:
        return len(self.firsts)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """See `Sequences`."""
        return np.full(len(self), self.length)

    def select(self, chosen: NDArray[np.int64]) -> Windows:
        """See `Sequences`."""
        simple = self.naive[:, chosen], self.simple[:, chosen]
        return Windows(self.values, self.firsts[chosen], self.length, *simple)

    def batch(self, chosen: NDArray[np.int64], batch_size: int) -> tuple[NDArray[Any], NDArray[np.int32]]:
        """See `Sequences`."""
        lengths = np.zeros(batch_size, np.int32)
        lengths[: len(chosen)] = self.length
        inputs = np.zeros((self.length, self.values.shape[1], batch_size), np.float32)
        steps = self.firsts[chosen] + np.arange(self.length)[:, None]
        inputs[:, :, : len(chosen)] = self.values[steps].transpose(0, 2, 1)
        return inputs, lengths


def planned(series: Series, columns: SeriesColumns) -> Series:
    """A series to train on, with the encoder of the model that is to forecast it.

    Raises
    ------
    UsageError, TruesparseError
        A column is missing, or a series is too short.
    """
    targets, known = _names(columns.target), _names(columns.known)
    if columns.target == AUTO:
        found = [name for name in series.features if name.lower() in TARGETS]
        targets = tuple(found[:1]) or series.features
        if series.step_rows is not None and len(series.features) > 1 and not found:
            raise UsageError(
                f"{series.name} has the columns {', '.join(series.features[:8])}; say with --target-column"
                " which to forecast, of several their names with commas"
            )
    lost = [name for name in (*targets, *known) if name not in series.features]
    both = [name for name in known if name in targets]
    if lost:
        flag = "target-column" if lost[0] in targets else "known-columns"
        raise UsageError(
            f"{series.name} has no column {lost[0]!r} of numbers, as --{flag} says; they are"
            f" {', '.join(series.features[:8])}"
        )
    if both:
        raise UsageError(f"{both[0]!r} cannot be both forecast and known; take it out of --known-columns")
    return plan(series, targets, known, columns.horizon, columns.lookback, columns.season)


def plan(
    series: Series, targets: tuple[str, ...], known: tuple[str, ...], horizon: int, lookback: int, season: int
) -> Series:
    """The same, of columns that are there; `lookback` and `season` are 0 for what the data tell.

    Raises
    ------
    TruesparseError
        A series is too short.
    """
    features = (*targets, *(name for name in series.features if name not in targets))
    series = series.with_features(features)
    season = season or guess_season(series, len(targets))
    shortest = int(series.inputs.lengths.min())
    if not lookback:
        left = int(0.6 * shortest) - season - horizon  # as parts are taken out
        lookback = max(1, min(max(2 * season, horizon, _LEAST), left // 2))
    encoder = SeriesEncoder(FORECAST, features, targets, known, lookback, horizon, season)
    return replace(series, goal=FORECAST, encoder=encoder)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def guess_season(series: Series, targets: int) -> int:
    """The steps after which series repeat, by the autocorrelation of their differences; 1 if they do not.

    It is the mean over the first `targets` features of all series, without their last fifth.
    """
    every = []
    for values in _each(series):
        values = values[: int(0.8 * len(values)), :targets]
        most = min(_LONGEST_SEASON, len(values) // 2 - 1)
        changes = np.diff(values, axis=0)
        changes = changes - changes.mean(axis=0)
        for change in changes.T:
            power = float(change @ change)
            if most < 3 or not power:
                continue
            size = 2 ** int(np.ceil(np.log2(2 * len(change))))
            spectrum = np.fft.rfft(change, size)
            every.append(np.fft.irfft(spectrum * spectrum.conj())[: most + 1] / power)
    if not every:
        return 1
    shortest = min(map(len, every))
    mean = np.mean([one[:shortest] for one in every], axis=0)
    begin = max(2, int((mean < 0).argmax()))  # neighbours are alike in smooth series, which is no season
    peaks = [
        lag for lag in range(begin, shortest - 1) if mean[lag] >= max(mean[lag - 1], mean[lag + 1], _CLEAR)
    ]
    highest = max((mean[lag] for lag in peaks), default=0.0)
    return next((lag for lag in peaks if mean[lag] >= _NEARLY * highest), 1)


def _each(series: Series) -> Iterator[NDArray[np.float64]]:
    """The numbers of each series."""
    for first, last in pairwise(series.inputs.starts):
        yield series.inputs.values[first:last].astype(np.float64)


def divide(series: Series, fraction: float) -> tuple[Series, Series]:
    """Take the last steps of each series, at least as many as are forecast, with those before them that the
    model reads for the first of these."""
    encoder = series.encoder
    assert encoder is not None
    kept, taken = [], []
    for number, (first, last) in enumerate(pairwise(series.inputs.starts)):
        cut = last - max(round(fraction * (last - first)), encoder.horizon)
        if cut - first < encoder.needed:
            raise _too_short(series, number, last - first, f", of which {last - cut:,} are taken out,")
        kept.append((first, cut))
        taken.append((cut - encoder.needed + encoder.horizon, last))
    return series.between(kept), series.between(taken)


def _too_short(
    series: Series, number: int, steps: int, less: str = "", ahead: bool = True
) -> TruesparseError:
    encoder = series.encoder
    assert encoder is not None
    horizon = encoder.horizon if ahead else 0
    sizes = {"season": encoder.season, "lookback": encoder.lookback, "horizon": horizon}
    parts = joined([f"a {name} of {size:,}" for name, size in sizes.items() if size], "and")
    # A model that is there has sizes, which nobody can change.
    flags = ", or a smaller --horizon, --lookback or --season" if series.goal == FORECAST else ""
    return TruesparseError(
        f"{series.whose(number)} has {steps:,} steps{less} but {parts} need"
        f" {encoder.needed - encoder.horizon + horizon:,}; give a longer series{flags}"
    )


def encode(series: Series, encoder: SeriesEncoder) -> Examples:
    """Windows of series whose next steps are known, with what is to be learned of them.

    Raises
    ------
    UsageError, TruesparseError
        Series lack features, or are too short.
    """
    series = replace(series.with_features(encoder.features), encoder=encoder)
    targets, ahead, back = len(encoder.targets), np.arange(1, encoder.horizon + 1), encoder.lookback
    inputs, firsts, naive, simple, right = [], [], [], [], []
    begin = 0
    for number, values in enumerate(_each(series)):
        if len(values) < encoder.needed:
            raise _too_short(series, number, len(values))
        own = _inputs(values, encoder)
        inputs.append(own)
        origins = _origins(values, encoder)
        firsts.append(begin + origins - (encoder.season + back - 1))
        naive.append(_naive(values[:, :targets], origins, encoder))
        simple.append(naive[-1] + linear_part(values[:, :targets], origins, encoder))
        right.append(values[origins[:, None] + ahead, :targets].reshape(len(origins), -1) - simple[-1])
        begin += len(own)
    told = np.concatenate(naive).T, np.concatenate(simple).T
    windows = Windows(np.concatenate(inputs), np.concatenate(firsts), back, *told)
    return Examples(windows, np.ascontiguousarray(np.concatenate(right).T, np.float32))


def _origins(values: NDArray[np.float64], encoder: SeriesEncoder) -> NDArray[np.int64]:
    """Steps of a series that a forecast is made at, behind which so many are known."""
    return np.arange(encoder.season + encoder.lookback - 1, len(values) - encoder.horizon)


def with_linear(
    train: Series, held_out: Series | None, encoder: SeriesEncoder, both: bool = False
) -> SeriesEncoder:
    """An encoder with a linear part.

    Parameters
    ----------
    train : Series
        The coefficients are made of it.
    held_out : Series or None
        The penalty is chosen by it; without it by the last fifth of `train`, if that is long enough, and
        otherwise there is no linear part.
    encoder : SeriesEncoder
    both : bool
        Once more, with the penalty that was chosen, of both parts, of which `held_out` must be there. A
        network has learned what the present linear part leaves, so only targets that have one get another.
    """
    if both and not encoder.linear:
        return encoder
    train = replace(train.with_features(encoder.features), encoder=encoder)
    if any(part is not None and part.inputs.lengths.min() < encoder.needed for part in (train, held_out)):
        return encoder  # `encode` says so
    first = train
    if held_out is None:
        try:
            first, held_out = divide(train, 0.2)
        except TruesparseError:
            return encoder
    held_out = held_out.with_features(encoder.features)
    learned = _joined(train, held_out, encoder) if both else _each(train)
    parts = (_differences(part, encoder) for part in (learned, _each(first), _each(held_out)))
    linear = fit_linear(encoder, *parts)
    if both:
        if len(linear) != len(encoder.linear):
            return encoder
        last, new = (np.reshape(own, (len(encoder.targets), -1)) for own in (encoder.linear, linear))
        again = last.any(axis=1, keepdims=True) & new.any(axis=1, keepdims=True)
        linear = tuple(np.where(again, new, last).ravel().tolist())
    return replace(encoder, linear=linear)


def _joined(train: Series, held_out: Series, encoder: SeriesEncoder) -> Iterator[NDArray[np.float64]]:
    """The numbers of each series of both parts; those that `divide` has cut are whole again."""
    shared = encoder.needed - encoder.horizon
    first, later = [*_each(train)], [*_each(held_out)]
    if len(first) != len(later):
        yield from (*first, *later)
        return
    for own, more in zip(first, later, strict=True):
        if np.array_equal(own[-shared:], more[:shared]):
            yield np.concatenate([own, more[shared:]])
        else:
            yield from (own, more)


def _differences(
    every: Iterable[NDArray[np.float64]], encoder: SeriesEncoder
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """What `fit_linear` takes of the numbers of each series, some forecasts at a time."""
    targets = len(encoder.targets)
    for values in every:
        own, every = values[:, :targets], _origins(values, encoder)
        for some in np.array_split(every, 1 + len(every) // _AT_ONCE):
            windows = own[some[:, None] + np.arange(1 - lags_of(encoder), 1)]
            right = own[some[:, None] + np.arange(1, encoder.horizon + 1)]
            yield windows, right - _naive(own, some, encoder).reshape(right.shape)


def last_windows(series: Series, encoder: SeriesEncoder) -> Windows:
    """The last window of each series, whose next steps nobody knows, but for `Series.future`.

    Raises
    ------
    UsageError, TruesparseError
        As `encode`.
    """
    series = replace(series.with_features(encoder.features), encoder=encoder)
    needed = encoder.needed - encoder.horizon
    inputs, naive, simple = [], [], []
    origins = np.array([needed - 1])
    for number, values in enumerate(_each(series)):
        if len(values) < needed:
            raise _too_short(series, number, len(values), ahead=False)
        values = values[-needed:]
        later = np.zeros((encoder.horizon, values.shape[1]))
        places = [encoder.features.index(name) for name in encoder.known]
        if places:
            later[:, places] = series.future[number]
        inputs.append(_inputs(np.concatenate([values, later]), encoder))
        own = values[:, : len(encoder.targets)]
        naive.append(_naive(own, origins, encoder))
        simple.append(naive[-1] + linear_part(own, origins, encoder))
    firsts = np.arange(len(inputs)) * encoder.lookback
    told = np.concatenate(naive).T, np.concatenate(simple).T
    return Windows(np.concatenate(inputs), firsts, encoder.lookback, *told)


def _inputs(values: NDArray[np.float64], encoder: SeriesEncoder) -> NDArray[np.float64]:
    """What a model reads of a series, from the first step that has a season before it to the last one whose
    next steps are there: the features, how much the targets differ from the season before, and what is known
    of the next steps."""
    targets, season = len(encoder.targets), encoder.season
    origins = np.arange(season, len(values) - encoder.horizon)
    parts = [values[origins], values[origins, :targets] - values[origins - season, :targets]]
    places = [encoder.features.index(name) for name in encoder.known]
    if places:
        steps = origins[:, None] + np.arange(1, encoder.horizon + 1)
        parts.append(values[:, places][steps].reshape(len(origins), -1))
    return np.concatenate(parts, axis=1)


def _naive(
    values: NDArray[np.float64], origins: NDArray[np.int64], encoder: SeriesEncoder
) -> NDArray[np.float64]:
    """The last values of the same place in the season, shape (origins, horizon * targets)."""
    ahead = np.arange(encoder.horizon) % encoder.season + 1 - encoder.season
    return values[origins[:, None] + ahead].reshape(len(origins), -1)
