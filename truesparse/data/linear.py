"""The linear part of forecasts: a ridge regression on the last steps of a series.

It says by how much the next steps differ from the seasonal naive forecast, and a network learns what is left.
Of each target it reads how much its last steps differ from the very last one, so that the level does not
matter (after NLinear: Zeng et al., 2023, "Are Transformers Effective for Time Series Forecasting?"), and no
other numbers. Coefficients are found in closed form (Hoerl and Kennard, 1970), each target with a penalty of
its own, the one that is best on steps that were held out. Where none is better than the seasonal naive
forecast there, a target has no linear part.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from truesparse.data.series_encoder import SeriesEncoder

_MOST_LAGS, _MOST = 512, 1 << 15  # steps that are read, and coefficients in all
_PENALTIES = tuple(10.0 ** (half / 2) for half in range(-14, 9))  # of the mean variance of what is read
Array = NDArray[np.float64]


class _Moments(NamedTuple):
    """Sums over forecasts of products of inputs, followed by 1, and of targets."""

    read: Array  # (lags, lags)
    both: Array  # (lags, horizon)
    told: float

    def squared_error(self, coefficients: Array) -> float:
        """Of all forecasts together."""
        explained = 2 * self.both - self.read @ coefficients
        return self.told - float(np.sum(coefficients * explained))


def lags_of(encoder: SeriesEncoder) -> int:
    """Steps that a linear part reads, so that it stays small; 0 if it cannot be small."""
    return min(encoder.lookback, _MOST_LAGS, _MOST // len(encoder.told))


def linear_part(values: Array, origins: NDArray[np.int64], encoder: SeriesEncoder) -> Array:
    """What the linear part adds to the seasonal naive forecast.

    It takes one coefficient after the other, so that every machine finds the same bits.

    Parameters
    ----------
    values : ndarray of float64, shape (steps, K)
        Of the targets.
    origins : ndarray of int64, shape (n,)
        The steps after which forecasts are made.
    encoder : SeriesEncoder

    Returns
    -------
    ndarray of float64, shape (n, horizon * K)
    """
    targets, lags = len(encoder.targets), encoder.lags
    added = np.zeros((len(origins), encoder.horizon, targets))
    if lags:
        coefficients = np.array(encoder.linear).reshape(targets, encoder.horizon, lags)
        for target, own in enumerate(coefficients):
            last = values[origins, target]
            added[:, :, target] = own[:, -1]
            for lag in range(lags - 1):
                change = values[origins - (lags - 1) + lag, target] - last
                added[:, :, target] += change[:, None] * own[:, lag]
    return added.reshape(len(origins), -1)


def fit_linear(
    encoder: SeriesEncoder,
    train: Iterable[tuple[Array, Array]],
    first: Iterable[tuple[Array, Array]],
    held_out: Iterable[tuple[Array, Array]],
) -> tuple[float, ...]:
    """The coefficients of a linear part.

    Parameters
    ----------
    encoder : SeriesEncoder
    train : iterable of (ndarray of float64, shape (n, lags, K), ndarray, shape (n, horizon, K))
        For some forecasts the last steps of the targets, and by how much the next ones differ from the
        seasonal naive forecast. The coefficients are made of these.
    first, held_out
        The same; the penalty is the one with which `first` tells `held_out` best.

    Returns
    -------
    tuple of float
        See `SeriesEncoder.linear`; none if no target has a linear part. They have seven digits: what machines
        compute differs behind these.
    """
    lags, targets = lags_of(encoder), len(encoder.targets)
    if not lags:
        return ()
    parts = [_moments(part, lags, targets, encoder.horizon) for part in (train, first, held_out)]
    coefficients = np.zeros((targets, encoder.horizon, lags))
    for target, (of_train, of_first, of_held_out) in enumerate(zip(*parts, strict=True)):
        tried = dict(zip(_PENALTIES, _ridge(of_first, _PENALTIES), strict=True))
        errors = {penalty: of_held_out.squared_error(own) for penalty, own in tried.items()}
        best = min(errors, key=lambda penalty: errors[penalty])
        if errors[best] < of_held_out.told:
            coefficients[target] = next(iter(_ridge(of_train, (best,)))).T
    rounded = tuple(float(f"{value:.7g}") for value in coefficients.flat)
    return rounded if any(rounded) and np.isfinite(rounded).all() else ()


def _moments(part: Iterable[tuple[Array, Array]], lags: int, targets: int, horizon: int) -> list[_Moments]:
    """Those of each target."""
    read = np.zeros((targets, lags, lags))
    both = np.zeros((targets, lags, horizon))
    told = np.zeros(targets)
    for windows, right in part:
        changes = windows - windows[:, -1:]
        changes[:, -1] = 1
        for target in range(targets):
            x, y = changes[:, :, target], right[:, :, target]
            read[target] += x.T @ x
            both[target] += x.T @ y
            told[target] += np.sum(y * y)
    return [_Moments(*own) for own in zip(read, both, told, strict=True)]


def _ridge(moments: _Moments, penalties: Iterable[float]) -> Iterable[Array]:
    """Coefficients of shape (lags, horizon) for each penalty; none is on the last one, the constant."""
    count = moments.read[-1, -1]
    mean, level = moments.read[-1, :-1] / count, moments.both[-1] / count
    squares = moments.read[:-1, :-1] - count * np.outer(mean, mean)
    size, axes = np.linalg.eigh(squares)
    unit = size.mean() if size.size and size.mean() > 0 else 1.0
    products = axes.T @ (moments.both[:-1] - count * np.outer(mean, level))
    for penalty in penalties:
        slopes = axes @ (products / (np.maximum(size, 0.0) + penalty * unit)[:, None])
        yield np.concatenate([slopes, (level - mean @ slopes)[None]])
