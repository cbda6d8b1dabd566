"""Times of steps: read from texts, checked for their order and for gaps, and continued into the future."""

from __future__ import annotations

import calendar
import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from truesparse.errors import TruesparseError, UsageError
from truesparse.settings import shown

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MONTH = re.compile(r"\d{4}-\d{2}")
_MICROSECOND = timedelta(microseconds=1)


class Stamps(NamedTuple):
    """Times.

    Attributes
    ----------
    texts : list of str
        As the file has them.
    values : ndarray of float64 or int64, shape (n,)
        Numbers, or of dates the microseconds since 1970.
    dates : bool
        Which of both.
    """

    texts: list[str]
    values: NDArray[np.float64] | NDArray[np.int64]
    dates: bool

    def select(self, chosen: NDArray[np.int64]) -> Stamps:
        """Some of them."""
        return Stamps([self.texts[k] for k in chosen], self.values[chosen], self.dates)


def read_stamps(texts: Sequence[str], name: str, rows: NDArray[np.int64]) -> Stamps:
    """Read times: numbers, or dates in the form of ISO 8601, such as 2024-05-31 or 2024-05-31T12:00.

    Parameters
    ----------
    texts : sequence of str
    name, rows
        The file and the rows they are from, for messages.

    Raises
    ------
    TruesparseError
        One is neither.
    """
    values, moments = [], []
    numbers = _is_number(texts[0])
    for text, row in zip(texts, rows, strict=True):
        if numbers and _is_number(text):
            values.append(float(text))
            continue
        try:
            moment = _date("" if numbers else text)
        except ValueError:
            raise TruesparseError(
                f"row {row:,} of {name} has the time {shown(text)}, which is no number or date as others are;"
                " write all as numbers, or as 2024-05-31 or 2024-05-31T12:00"
            ) from None
        moments.append((moment - _EPOCH) // _MICROSECOND)
    return Stamps([*texts], np.array(values) if numbers else np.array(moments, np.int64), not numbers)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _date(text: str) -> datetime:
    moment = datetime.fromisoformat(f"{text}-01" if _MONTH.fullmatch(text) else text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def check_order(stamps: Stamps, rows: NDArray[np.int64], name: str, whose: str) -> None:
    """Raise TruesparseError if the times of one sequence, `whose` in messages, do not go up."""
    wrong = np.diff(stamps.values) <= 0
    if wrong.any():
        place = int(wrong.argmax()) + 1
        before, text, row = stamps.texts[place - 1], stamps.texts[place], rows[place]
        if stamps.values[place - 1] == stamps.values[place]:
            raise TruesparseError(
                f"row {row:,} of {name} has the time {text}{whose} again, as row {rows[place - 1]:,}; take"
                " one out, or say with --id-column which series it belongs to"
            )
        raise TruesparseError(
            f"row {row:,} of {name} has the time {text}{whose}, which is before that of the row above it,"
            f" {before}; sort the rows by time"
        )


_OF_FORECASTS = (
    "a forecast needs even steps, so fill the gap in, or leave --time-column out if steps count and not times"
)


class Pace(NamedTuple):
    """The time from step to step: so many months, of dates that are the first or the last or another day of
    theirs, or else so much of what times are counted in."""

    step: float
    months: int = 0
    ends: bool = False  # whether dates are the last of their months

    def after(self, stamps: Stamps, count: int) -> list[str]:
        """The next times, in the form of those that there are."""
        last, text = stamps.values[-1], stamps.texts[-1]
        if not stamps.dates:
            whole = all(float(value).is_integer() for value in (self.step, last))
            return [
                str(round(last + self.step * k)) if whole else f"{last + self.step * k:.10g}"
                for k in range(1, count + 1)
            ]
        moment, made = _date(text), []
        for k in range(1, count + 1):
            if not self.months:
                later = moment + timedelta(microseconds=int(self.step) * k)
            else:
                years, month = divmod(moment.year * 12 + moment.month - 1 + self.months * k, 12)
                most = calendar.monthrange(years, month + 1)[1]
                day = most if self.ends else min(moment.day, most)
                later = moment.replace(year=years, month=month + 1, day=day)
            made.append(_like(text, later))
        return made


def _like(text: str, moment: datetime) -> str:
    if _MONTH.fullmatch(text):
        return f"{moment:%Y-%m}"
    if len(text) <= 10:  # a date alone
        return moment.date().isoformat() if "-" in text else f"{moment:%Y%m%d}"
    separator = text[10] if text[10] in "T " else "T"
    made = moment.isoformat(separator)
    if not re.search(r"[+-]\d\d:?\d\d$|Z$", text):
        return made.removesuffix("+00:00")[: max(len(text), 16)]
    return made.replace("+00:00", "Z") if text.endswith("Z") else made


def pace_of(
    stamps: Stamps, rows: NDArray[np.int64], name: str, whose: str, advice: str = _OF_FORECASTS
) -> Pace:
    """The time from step to step of one sequence of two steps or more whose times go up; `advice` is what to
    do where they are not even.

    Raises
    ------
    TruesparseError
        It is not always the same.
    """
    if stamps.dates:
        moments = [_date(text) for text in stamps.texts]
        months = np.array([moment.year * 12 + moment.month for moment in moments])
        ends = all(calendar.monthrange(m.year, m.month)[1] == m.day for m in moments)
        alike = {(m.day, m.hour, m.minute, m.second) for m in moments}
        if months[1] > months[0] and (ends or len(alike) == 1):
            steps: NDArray[np.float64] | NDArray[np.int64] = np.diff(months)
            step = int(steps.min())
            if (steps == step).all() or (steps % step == 0).all():
                _check_even(steps, step, stamps, rows, name, whose, advice)
                return Pace(0, step, ends)
    steps = np.diff(stamps.values)
    usual = float(steps[0] if len(steps) < 3 else np.median(steps))
    _check_even(steps, usual, stamps, rows, name, whose, advice)
    return Pace(usual)


def _check_even(
    steps: NDArray[np.float64] | NDArray[np.int64],
    step: float,
    stamps: Stamps,
    rows: NDArray[np.int64],
    name: str,
    whose: str,
    advice: str,
) -> None:
    wrong = np.abs(steps - step) > 1e-6 * step
    if wrong.any():
        place = int(wrong.argmax()) + 1
        raise UsageError(
            f"row {rows[place]:,} of {name} has the time {stamps.texts[place]}{whose} after"
            f" {stamps.texts[place - 1]}, another distance than between most; {advice}"
        )
