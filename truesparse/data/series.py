"""Sequences of numbers as they were read, and their targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from truesparse.data.frames import MEND
from truesparse.data.sequences import Sequences
from truesparse.data.series_encoder import (
    AUTO,
    CLASSIFY,
    FORECAST,
    LABEL_STEPS,
    REGRESS,
    REGRESS_STEPS,
    STEP_GOALS,
    SeriesEncoder,
)
from truesparse.data.stamps import Stamps
from truesparse.errors import TruesparseError, UsageError
from truesparse.settings import shown

TARGETS = ("label", "target", "class", "y")  # what a column of targets is called if nobody says it

_MOST_CLASSES = 20  # whole numbers of more values may be counts
_EACH = 5  # times that a class occurs, on average


class SeriesColumns(NamedTuple):
    """What is in which columns, as the settings say it; empty for a column that there is none of.

    Of a forecast also how it is made, with 0 for what the data tell; or the `encoder` of the model that is
    there. With `flat` a row is one step of as many features, not a sequence. A column of weights is no
    feature, and only read where it is to be `weighed`.
    """

    goal: str = AUTO
    target: str = AUTO
    id: str = ""
    time: str = ""
    known: str = ""
    horizon: int = 0
    lookback: int = 0
    season: int = 0
    encoder: SeriesEncoder | None = None
    weight: str = ""
    weighed: bool = False
    flat: bool = False

    @property
    def long(self) -> bool:
        """Whether a row of a table is a step, and not a whole sequence."""
        return bool(self.id or self.time) or self.goal in (*STEP_GOALS, FORECAST)


class Targets(NamedTuple):
    """What is to be predicted, as it was read.

    Attributes
    ----------
    names : tuple of str
    values : ndarray of str (objects) or of numbers, shape (n, K) or (steps, K)
    per_step : bool
    rows : ndarray of int64, shape (n,) or (steps,)
        Where in the file, for messages.
    what : str
        What the file says they are, a goal; empty if it does not.
    weights : ndarray of float64, shape (n,) or (steps,), or None
        How much each counts, 0 or more.
    """

    names: tuple[str, ...]
    values: NDArray[Any]
    per_step: bool
    rows: NDArray[np.int64]
    what: str = ""
    weights: NDArray[np.float64] | None = None

    def select(self, chosen: NDArray[np.int64]) -> Targets:
        """Some of them."""
        weights = None if self.weights is None else self.weights[chosen]
        return self._replace(values=self.values[chosen], rows=self.rows[chosen], weights=weights)

    def texts(self) -> list[str]:
        """Those of the only column, whole numbers without a fraction."""
        column = self.values[:, 0].tolist()
        return [str(int(x)) if isinstance(x, float) and x.is_integer() else str(x) for x in column]

    def numbers(self, name: str) -> NDArray[np.float64]:
        """All of them, shape (K, m); TruesparseError if one is no finite number, with its row in the
        file `name`."""
        try:
            values = self.values.astype(np.float64)
        except (TypeError, ValueError):
            values = np.full(self.values.shape, np.nan)
            for place, cell in np.ndenumerate(self.values):
                try:
                    values[place] = float(cell)
                except (TypeError, ValueError):
                    break
        good = np.isfinite(values) & (np.abs(values) < 1e30)  # so that squares of floats are finite
        if not good.all():
            row, column = np.unravel_index(int(good.argmin()), good.shape)
            cell = self.values[row, column]
            raise TruesparseError(
                f"in row {self.rows[row]:,} of {name} the {self.names[column]} is"
                f" {shown(cell.item() if isinstance(cell, np.generic) else cell)}, which is no finite number"
                f" that a model can learn; {MEND}, or learn labels with --goal"
                f" {LABEL_STEPS if self.per_step else CLASSIFY}"
            )
        return values.T


@dataclass(frozen=True)
class Series:
    """Sequences of numbers of one file.

    Attributes
    ----------
    name : str
        Of the file.
    features : tuple of str
        Names of the numbers of a step.
    inputs : Sequences
        float32 of shape (steps, features).
    rows : ndarray of int64, shape (n,)
        Where each begins in the file.
    targets : Targets or None
    ids : list of str
        Names of the sequences; none if they have none.
    stamps : Stamps or None
        Times of all steps.
    step_rows : ndarray of int64, shape (steps,), or None
        Where each step is in the file, if it is a row of its own.
    goal : str
        What is to be learned, once it is known.
    encoder : SeriesEncoder or None
        Of what is to be forecast, once it is known.
    future : list of ndarray of float64, shape (horizon, known)
        What is known of the next steps of each sequence, if a forecast needs that.
    """

    name: str
    features: tuple[str, ...]
    inputs: Sequences
    rows: NDArray[np.int64]
    targets: Targets | None = None
    ids: Sequence[str] = ()
    stamps: Stamps | None = None
    step_rows: NDArray[np.int64] | None = None
    goal: str = ""
    encoder: SeriesEncoder | None = None
    future: Sequence[NDArray[np.float64]] = ()

    def __len__(self) -> int:
        return len(self.inputs)

    def select(self, chosen: NDArray[np.int64]) -> Series:
        """Some of the sequences."""
        starts = self.inputs.starts
        if not len(chosen):
            return _Nothing(self.name)  # type: ignore[return-value]
        steps = np.concatenate([np.arange(starts[number], starts[number + 1]) for number in chosen])
        return self._taken(steps, self.inputs.select(chosen), chosen)

    def between(self, parts: Sequence[tuple[int, int]]) -> Series:
        """Some steps of each sequence: the first, and the one behind the last, of the steps of all."""
        steps = np.concatenate([np.arange(first, last) for first, last in parts])
        inputs = Sequences.of([self.inputs.values[first:last] for first, last in parts])
        return self._taken(steps, inputs, np.arange(len(self)))

    def _taken(self, steps: NDArray[np.int64], inputs: Sequences, chosen: NDArray[np.int64]) -> Series:
        targets, rows, own = self.targets, self.step_rows, self.rows[chosen]
        if targets is not None:
            targets = targets.select(steps if targets.per_step else chosen)
        if rows is not None:
            rows = rows[steps]
            own = rows[inputs.starts[:-1]]
        return replace(
            self,
            inputs=inputs,
            rows=own,
            targets=targets,
            ids=[self.ids[k] for k in chosen] if self.ids else (),
            stamps=None if self.stamps is None else self.stamps.select(steps),
            step_rows=rows,
        )

    def whose(self, number: int) -> str:
        """What one of the series is called in messages."""
        own = f"the series {self.ids[number]!r}" if self.ids else "the series"
        return f"{own} of {self.name}"

    def with_features(self, wanted: tuple[str, ...]) -> Series:
        """The same with features in another order, some of them left out.

        Raises
        ------
        UsageError
            It does not have them.
        """
        if wanted == self.features:
            return self
        if self.inputs.longest == 1 and self.step_rows is None and len(self.features) != len(wanted):
            raise UsageError(
                f"the rows of {self.name} have {len(self.features):,} numbers, but the model was trained on"
                f" {len(wanted):,}; give rows, or images, of that size"
            )
        lost = [name for name in wanted if name not in self.features]
        if lost and self.step_rows is None:
            raise UsageError(
                f"{self.name} has {len(self.features)} features a step, but the model was trained on"
                f" {len(wanted)}; give sequences of as many"
            )
        if lost:
            raise UsageError(
                f"{self.name} has no column {lost[0]!r}, which the model was trained on; its columns of"
                f" numbers are {', '.join(self.features[:8]) or 'none'}"
            )
        places = [self.features.index(name) for name in wanted]
        inputs = Sequences(np.ascontiguousarray(self.inputs.values[:, places]), self.inputs.starts)
        return replace(self, features=wanted, inputs=inputs)

    def told(self) -> Targets:
        """The targets; UsageError if there are none."""
        if self.targets is None:
            raise UsageError(
                f"{self.name} has nothing to learn or to measure; name its column {' or '.join(TARGETS)}, or"
                " say with --target-column which it is"
            )
        return self.targets

    def once(self) -> Series:
        """The same, where each sequence has its targets once, not at each step.

        Raises
        ------
        TruesparseError
            They differ within a sequence.
        """
        targets = self.told()
        if not targets.per_step:
            return self
        starts = self.inputs.starts
        first = np.repeat(starts[:-1], self.inputs.lengths)
        differs, what = (targets.values != targets.values[first]).any(axis=1), targets.names[0]
        if targets.weights is not None and not differs.any():
            differs, what = targets.weights != targets.weights[first], "weight"
        if differs.any():
            step = int(differs.argmax())
            number = int(np.searchsorted(starts, step, side="right")) - 1
            whose = f"of {self.ids[number]!r}" if self.ids else f"of sequence {number}"
            raise TruesparseError(
                f"row {targets.rows[step]:,} of {self.name} has another {what} than row"
                f" {targets.rows[first[step]]:,} {whose}; give a sequence the same in all its rows, or tell"
                f" something at each step with --goal {LABEL_STEPS} or {REGRESS_STEPS}"
            )
        return replace(self, targets=targets.select(starts[:-1])._replace(per_step=False))

    def of_goal(self, goal: str) -> Series:
        """The same with targets as a goal has them.

        Raises
        ------
        UsageError, TruesparseError
            They are something else.
        """
        if goal not in STEP_GOALS:
            return self.once()
        if not self.told().per_step:
            raise UsageError(
                f"{self.name} has one {self.told().names[0]} for each sequence, not one for each step; use"
                f" --goal {CLASSIFY} or {REGRESS}, or give a row for each step"
            )
        return self

    def varies(self) -> bool:
        """Whether targets differ within a sequence."""
        targets = self.told()
        first = np.repeat(self.inputs.starts[:-1], self.inputs.lengths)
        return targets.per_step and bool((targets.values != targets.values[first]).any())


class _Nothing:
    """No sequences, which `Series` cannot hold."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __len__(self) -> int:
        return 0


def goal_of(series: Series) -> str:
    """What is to be learned, from what the targets to train on look like.

    Raises
    ------
    UsageError
        They may be labels or numbers.
    """
    targets = series.told()
    if targets.what:
        return targets.what
    steps = series.varies() or (targets.per_step and len(series) == 1)
    label, number = (LABEL_STEPS, REGRESS_STEPS) if steps else (CLASSIFY, REGRESS)
    if targets.values.shape[1] > 1:
        return number
    if targets.per_step and not steps:
        targets = series.once().told()
    try:
        values = np.unique(targets.values.astype(np.float64))
    except (TypeError, ValueError):
        return label
    if targets.values.dtype == bool:
        return label
    if (values % 1 != 0).any():
        return number
    if len(values) <= _MOST_CLASSES and _EACH * len(values) <= len(targets.values):
        return label
    raise UsageError(
        f"the {targets.names[0]} of {series.name} are whole numbers of {len(values):,} different values,"
        f" which may be labels or not; say with --goal {label} or --goal {number}"
    )
