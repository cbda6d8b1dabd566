"""How a model of numbers reads a sequence, and what it tells of it; it lies in the model's file."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

from truesparse.errors import TruesparseError

# What a model tells of a sequence, or of each of its steps.
AUTO = "auto"
CLASSIFY, REGRESS = "classify", "regress"
LABEL_STEPS, REGRESS_STEPS = "label-steps", "regress-steps"
FORECAST = "forecast"
GOALS = (CLASSIFY, REGRESS, LABEL_STEPS, REGRESS_STEPS, FORECAST)
STEP_GOALS = (LABEL_STEPS, REGRESS_STEPS)
LABEL_GOALS = (CLASSIFY, LABEL_STEPS)

_MOST_STEPS = 1 << 20


def numbered(name: str, count: int, alone: str) -> tuple[str, ...]:
    """Names of numbers that have none: `name` with 1, 2, ... behind it, or `alone` if there is but one."""
    return (alone,) if count == 1 else tuple(f"{name}{number}" for number in range(1, count + 1))


@dataclass(frozen=True)
class SeriesEncoder:
    """The names of the numbers of a step, and which of them are predicted.

    Attributes
    ----------
    goal : str
        What it tells: one of `GOALS`.
    features : tuple of str
        Names of the numbers of a step, in their order. Of a forecast: what is known of each step when it has
        come, the `targets` first; behind them the model reads how much each target differs from the season
        before.
    targets : tuple of str
        Names of the numbers that it tells, or of what the labels are.
    known : tuple of str
        Of a forecast: covariates that are known of later steps, too. The model reads their values at each of
        the `horizon` next steps behind that, step by step.
    lookback, horizon : int
        Of a forecast: steps that are read, and steps that are predicted.
    season : int
        Of a forecast: steps after which a series repeats, 1 if it does not; see `truesparse.data.forecast`.
    linear : tuple of float
        Of a forecast: what `truesparse.data.linear` adds to the seasonal naive forecast; none if nothing. For
        each target and each of the next steps so many coefficients, the last of which stands alone.
    """

    goal: str
    features: tuple[str, ...]
    targets: tuple[str, ...]
    known: tuple[str, ...] = ()
    lookback: int = 0
    horizon: int = 0
    season: int = 0
    linear: tuple[float, ...] = ()

    vocabulary: ClassVar[None] = None  # as no tokens are read

    @property
    def needed(self) -> int:
        """Steps that it takes to learn from a series: of a season before, to read, and to forecast."""
        return self.season + self.lookback + self.horizon

    @property
    def lags(self) -> int:
        """Coefficients of the linear part for each predicted number, one for each of the last steps."""
        return len(self.linear) // max(1, len(self.told))

    @property
    def read(self) -> tuple[str, ...]:
        """Names of the numbers that the model reads at a step."""
        if self.goal != FORECAST:
            return self.features
        changes = (f"change of {name}" for name in self.targets)
        later = (f"{name}, {step} later" for step in range(1, self.horizon + 1) for name in self.known)
        return (*self.features, *changes, *later)

    @property
    def told(self) -> tuple[str, ...]:
        """Names of the numbers that it predicts."""
        if self.goal != FORECAST:
            return self.targets
        return tuple(f"{name}, {step} later" for step in range(1, self.horizon + 1) for name in self.targets)

    @property
    def per_step(self) -> bool:
        """Whether it predicts something at each step."""
        return self.goal in STEP_GOALS

    @property
    def labels(self) -> bool:
        """Whether it predicts labels."""
        return self.goal in LABEL_GOALS

    def to_document(self) -> dict[str, Any]:
        """For a model file."""
        document = {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}
        return document if self.linear else {name: v for name, v in document.items() if name != "linear"}

    @classmethod
    def from_document(
        cls, document: Any, features: int, outputs: int, per_step: bool, labels: bool
    ) -> SeriesEncoder:
        """The encoder that `to_document` wrote.

        Parameters
        ----------
        document : object
            Anything.
        features, outputs, per_step, labels
            Of the model; whether it predicts at each step, and whether labels.

        Raises
        ------
        TruesparseError
            It is not what `to_document` writes, or does not fit the model; the sentence has no subject.
        """
        names = [field.name for field in fields(cls) if field.name != "linear"]
        if not isinstance(document, dict) or not document.keys() >= {*names}:
            raise TruesparseError(f"does not say {', '.join(names)} of its numbers")
        given = {name: document[name] for name in names}
        for name in ("features", "targets", "known"):
            value = given[name]
            if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
                raise TruesparseError(f"has no valid names as {name} of its numbers")
            given[name] = tuple(value)
            if len(set(value)) != len(value):
                raise TruesparseError(f"has names twice among the {name} of its numbers")
        forecasts = given["goal"] == FORECAST
        for name in ("lookback", "horizon", "season"):
            if type(given[name]) is not int or not forecasts <= given[name] <= _MOST_STEPS * forecasts:
                raise TruesparseError(f"has no valid {name} of its numbers")
        linear = document.get("linear", [])
        if not isinstance(linear, list) or not all(type(v) is float and math.isfinite(v) for v in linear):
            raise TruesparseError("has no valid linear part of its forecasts")
        made = cls(**given, linear=tuple(linear))
        told = len(made.targets) * (made.horizon if forecasts else 1)
        if made.goal not in GOALS or made.per_step != per_step or made.labels != labels:
            raise TruesparseError("describes other numbers than its layers have")
        if (
            len(made.features) + forecasts * (len(made.targets) + len(made.known) * made.horizon) != features
            or not told
            or (not labels and told != outputs)
        ):
            raise TruesparseError("reads or tells as many numbers as its layers do not")
        if forecasts and (
            made.features[: len(made.targets)] != made.targets or not {*made.known} <= {*made.features}
        ):
            raise TruesparseError("forecasts what it does not read")
        if made.lags * forecasts * told != len(linear) or made.lags > made.lookback:
            raise TruesparseError("has a linear part of other forecasts")
        return made
