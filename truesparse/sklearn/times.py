"""Times of the steps of a series, which pandas has in an index."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from truesparse.data.stamps import pace_of, read_stamps
from truesparse.errors import UsageError


def check_times(y: Any, X: Any, name: str) -> None:
    """Check the times of one series and of its covariates, if an index tells them.

    Parameters
    ----------
    y, X : Series, DataFrame, or anything else
        What has no dates or periods in an index is not looked at.
    name : str
        What `y` is called in messages.

    Raises
    ------
    ValueError
        Times do not go up or have a gap, or those of `X` are others.
    """
    index, other = _dates(y), _dates(X)
    for dates, whose in ((index, name), (other, f"X of {name}")):
        if dates is not None:
            _check_even(dates, whose)
    if index is not None and other is not None and len(index) == len(other):
        apart = np.flatnonzero(index != other)
        if len(apart):
            step = int(apart[0])
            raise ValueError(
                f"step {step:,} of {name} has the time {index[step]}, but {other[step]} in X; give X with"
                " the times of y"
            )


def _dates(values: Any) -> Any:
    """The times as a DatetimeIndex of pandas, or None."""
    index: Any = getattr(values, "index", None)
    if hasattr(index, "to_timestamp"):  # periods
        return index.to_timestamp()
    return index if getattr(getattr(index, "dtype", None), "kind", "") == "M" else None


def _check_even(dates: Any, name: str) -> None:
    wrong = ~np.asarray(dates[1:] > dates[:-1])  # also where one is missing
    if wrong.any():
        step = int(wrong.argmax()) + 1
        raise ValueError(
            f"step {step:,} of {name} has the time {dates[step]} after {dates[step - 1]}; times must go up,"
            " so sort by them and take out what comes twice"
        )
    if len(dates) < 3 or dates.freq is not None or len(set(np.diff(dates.asi8))) == 1:
        return
    steps = np.arange(len(dates))
    advice = "fill the gap in, or pass numbers without an index if steps count and not times"
    try:
        stamps = read_stamps([date.isoformat() for date in dates], name, steps)
        pace_of(stamps, steps, name, "", f"a forecast needs even steps, so {advice}")
    except UsageError as error:
        with warnings.catch_warnings():  # of how a later pandas will name a pace
            warnings.simplefilter("ignore")
            known = dates.inferred_freq  # such as business days, and days of summer time
        if known is None:
            raise ValueError(str(error)) from None
