"""Forecasts of series from their own numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from truesparse.data import Sequences, SeriesEncoder
from truesparse.data.forecast import last_windows
from truesparse.data.series import Series
from truesparse.errors import UsageError
from truesparse.modelfile import StoredModel
from truesparse.runtime.sequence_model import SequenceModel


class Forecaster:
    """Forecasts the next steps of series, in their units. Use does not change it.

    It computes the inputs of the model, and adds the outputs to the seasonal naive forecast and the linear
    part.

    Parameters
    ----------
    stored : StoredModel
        Whose `encoder` says how forecasts are made.

    Attributes
    ----------
    model : SequenceModel
        Predicts how the next steps differ from a simple forecast.
    features, targets, known : tuple of str
        Names of the numbers of a step; of those that are forecast, which come first of `features`; and of
        those that must be known ahead.
    horizon, needed : int
        Steps of a forecast, and steps of a series that it needs.
    """

    def __init__(self, stored: StoredModel) -> None:
        assert isinstance(stored.encoder, SeriesEncoder)
        self._encoder = encoder = stored.encoder
        self.model = SequenceModel(stored)
        self.features, self.targets, self.known = encoder.features, encoder.targets, encoder.known
        self.horizon, self.needed = encoder.horizon, encoder.needed - encoder.horizon

    def predict(self, series: Any, known_ahead: Any = None) -> NDArray[np.float64]:
        """Forecast the steps that follow.

        Parameters
        ----------
        series : array_like of float, shape (steps, features), or (steps,) of one feature
            A series of at least `needed` steps, of which the last ones are read. A list of arrays is several
            series.
        known_ahead : array_like of float, shape (horizon, known), or (horizon,) of one, optional
            What is known of the next steps, if the model needs it; of several series a list of such.

        Returns
        -------
        ndarray of float64, shape (horizon,), or (horizon, targets) of several targets
            Of several series with a first axis of these.

        Raises
        ------
        UsageError, TruesparseError
            A series is too short, or numbers are of another shape or not finite.
        """
        several = isinstance(series, (list, tuple)) and len(series) > 0 and np.ndim(series[0]) > 0
        every = list(series) if several else [series]
        given = [] if known_ahead is None else [known_ahead]
        if several and known_ahead is not None:
            given = list(known_ahead)
        if len(given) != (len(every) if self.known else 0):
            wanted = ", ".join(self.known) or "nothing"
            raise UsageError(
                f"known_ahead has numbers for {len(given)} of {len(every)} series; the model needs {wanted}"
                " of the next steps of each"
            )
        histories = [_columns(own, "series", len(self.features)) for own in every]
        later = [_columns(own, "known_ahead", len(self.known), self.horizon) for own in given]
        inputs = Sequences.of([own.astype(np.float32) for own in histories])
        read = Series("what is given", self.features, inputs, np.arange(len(every)), future=later)
        windows = last_windows(read, self._encoder)
        padded, _ = windows.batch(np.arange(len(every)), len(every))
        told = self.model.predict(list(padded.transpose(2, 0, 1))) + windows.simple.T
        told = told.reshape(len(every), self.horizon, len(self.targets))
        told = told[:, :, 0] if len(self.targets) == 1 else told
        return told if several else told[0]


def _columns(values: ArrayLike, name: str, columns: int, steps: int | None = None) -> NDArray[np.float64]:
    """Numbers as an array of shape (steps, columns)."""
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise UsageError(f"{name} has values that are not numbers; mend them") from None
    if array.ndim == 1 and columns == 1:
        array = array[:, None]
    if array.ndim != 2 or array.shape[1] != columns or (steps is not None and len(array) != steps):
        wanted = "steps" if steps is None else steps
        raise UsageError(f"{name} has the shape {array.shape}; it must be ({wanted}, {columns})")
    with np.errstate(over="ignore"):
        finite = np.isfinite(array.astype(np.float32)).all(axis=1)
    if not finite.all():
        raise UsageError(f"{name} has NaN or infinity at step {int(finite.argmin()):,}; fill it in")
    return array
