"""A forecaster of series of numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_is_fitted

from truesparse.data import Sequences, SeriesEncoder
from truesparse.data.forecast import Windows, divide, encode, last_windows, plan, with_linear
from truesparse.data.series import Series
from truesparse.data.series_encoder import FORECAST
from truesparse.errors import UsageError
from truesparse.layers.chain import ChainSpec
from truesparse.layers.output.spec import SquaredError
from truesparse.layers.standardize.spec import Standardize
from truesparse.modelfile import Encoder
from truesparse.sklearn.base import SparseNetworkEstimator, as_value_error
from truesparse.sklearn.network import Samples
from truesparse.sklearn.parameters import OWN, Parameter, with_parameters
from truesparse.sklearn.times import check_times
from truesparse.tasks.sequences import SequenceConfig, sequence_chain
from truesparse.tasks.series.task import scaling

if TYPE_CHECKING:
    from truesparse.model import Model

_OF_FORECASTS = {
    "horizon": Parameter(1, "int", "How many next steps are forecast, all at once."),
    "lookback": Parameter(
        None,
        "int, optional",
        "Steps that a forecast is made from. If not given: two seasons, and at least 16.",
    ),
    "season": Parameter(
        None,
        "int, optional",
        "Steps after which series repeat, 1 if they do not. If not given, autocorrelation finds it.",
    ),
    "known_columns": Parameter(
        None,
        "list of str or int, optional",
        "Columns of X that are known of later steps, by name or number. If not given: all. The others are"
        " read up to the step at which a forecast is made.",
    ),
    "refit": Parameter(
        True,
        "bool",
        "Whether the linear part is fitted again after training, to the steps too that were held out.",
    ),
}


@with_parameters(
    SequenceConfig,
    {**_OF_FORECASTS, **OWN},
    without=("embedding_size", "choose_by", "label_smoothing", "calibrate"),
)
class SparseLSTMForecaster(SparseNetworkEstimator):
    """A truly sparse recurrent network that forecasts the next steps of series.

    A simple forecast comes first: the seasonal naive one, plus a ridge regression on the last steps. The
    network learns from all series together how the next steps differ from it, and predicts all of them at
    once. With a `validation_fraction`, the last steps of each series are held out; the ridge regression
    is fitted once more in the end, to them too. ``GridSearchCV`` needs a
    ``TimeSeriesSplit`` whose test parts are as long as `score` says; call ``GridSearchCV(...).fit(y)`` or
    ``fit(y, X)``.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    encoder_ : SeriesEncoder
        Its `lookback` and `season` are those that were taken.
    loss_curve_ : list of float
        Half the mean squared error of each epoch, summed over the horizon, in units of the variances.
    validation_scores_ : list of float
        Minus the mean squared error on what was held out, in the same units, after each epoch.
    nnz_, density_
        As in `SparseLSTMClassifier`.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse.sklearn import SparseLSTMForecaster
    >>> y = np.sin(0.3 * np.arange(200))
    >>> model = SparseLSTMForecaster(horizon=3, hidden_size=16, random_state=0).fit(y)
    >>> bool(np.abs(model.predict() - np.sin(0.3 * np.arange(200, 203))).max() < 0.2)
    True
    """

    STORED = (*SparseNetworkEstimator.STORED, "_last", "_single")

    horizon: int
    lookback: int | None
    season: int | None
    known_columns: Any
    refit: bool
    encoder_: SeriesEncoder
    _last: NDArray[np.float64]
    _single: bool
    _units: NDArray[np.float64]

    def fit(self, y: Any, X: Any = None, sample_weight: None = None) -> Self:
        """Train from scratch.

        Parameters
        ----------
        y : array-like of shape (T,) or (T, 1), or (n, T); DataFrame of shape (T, K); or list of series
            One series, or several. All columns of a DataFrame are forecast together.
        X : array-like of shape (T,) or (T, D), or DataFrame; or of several series a list of such, optional
            Covariates of each step, which are known of later ones when a forecast is made, or those of them
            that `known_columns` names. DataFrames keep the names of their columns.
        sample_weight : None
            Refused: a step is in many forecasts.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            A series is too short, has NaN or infinity, or covariates of another length, the dates of an index
            do not go up or have a gap, a parameter is invalid, or the loss is no longer finite. The
            estimator is as before then.
        """
        if sample_weight is not None:
            raise ValueError(
                "a forecaster takes no sample_weight, as each step is in many forecasts; leave it out, or fit"
                " to the later steps only"
            )
        with self._draft() as draft:
            draft._learn(y, X)
        return self

    def _learn(self, y: Any, X: Any) -> None:
        series, targets, self._single = _series_of(y, X)
        config = self._configuration(SequenceConfig)
        known = self._known(series.features[len(targets) :])
        goes_on = self._goes_on()  # with season and scale of the model that learns on
        there = self.encoder_ if goes_on else None
        sizes: dict[str, Any] = {
            name: self._size(name) or (getattr(there, name) if there else 0)
            for name in ("horizon", "lookback", "season")
        }
        with as_value_error():
            series = plan(series, targets, known, **sizes)
            assert series.encoder is not None
            if there is not None and series.encoder != replace(there, linear=()):
                raise UsageError(
                    "warm_start needs horizon, lookback, season and covariates of the last fit; give these,"
                    " or leave warm_start out"
                )
            fraction = self._held_out_fraction()
            train, held_out = divide(series, fraction) if fraction else (series, None)
            self.encoder_ = there or with_linear(train, held_out, series.encoder)
            samples = self._samples(train)
            of_features = scaling(samples.sequences.values, self.encoder_.read)
            of_targets = scaling(samples.targets.T, self.encoder_.told)
            if goes_on:
                first, *_, head = self.network_.chain.layers
                assert isinstance(first, Standardize)
                assert isinstance(head, SquaredError)
                of_features, of_targets = (first.mean, first.scale), (head.mean, head.scale)
            self._units = np.array(of_targets[1])
            chain = sequence_chain(
                config,
                0,
                len(self.encoder_.told),
                "regressor",
                len(self.encoder_.read),
                feature_mean=of_features[0],
                feature_scale=of_features[1],
                target_mean=of_targets[0],
                target_scale=of_targets[1],
            )
        valid = None if held_out is None else self._samples(held_out)
        self._fit(config, chain, samples, valid, config.epochs)
        if held_out is not None and self.refit and not goes_on:
            self.encoder_ = with_linear(train, held_out, self.encoder_, both=True)
        last, starts = self.encoder_.needed - self.encoder_.horizon, series.inputs.starts
        self._last = np.stack([series.inputs.values[end - last : end] for end in starts[1:]]).astype(float)

    def predict(self, horizon: int | None = None, X: Any = None) -> NDArray[np.float64]:
        """Forecast the steps that follow those of `fit`.

        Parameters
        ----------
        horizon : int, optional
            How many, at most the parameter `horizon`, which is taken if not given.
        X : array-like of shape (horizon,) or (horizon, D); or of several series a list of such, optional
            Covariates of these steps, as many as the parameter `horizon` says; needed if `fit` had some that
            are known ahead. A DataFrame may have the others, too.

        Returns
        -------
        ndarray of float64, shape (horizon,), or (n, horizon) of several series
            With a last axis of the columns, if several are forecast.

        Raises
        ------
        ValueError
            The horizon is longer than that of `fit`, or covariates are missing or of another shape.
        """
        check_is_fitted(self)
        encoder = self.encoder_
        most, count, known = encoder.horizon, len(self._last), len(encoder.known)
        wanted = most if horizon is None else horizon
        if not isinstance(wanted, (int, np.integer)) or not 1 <= wanted <= most:
            raise ValueError(f"horizon is {wanted!r}; it must be 1 to {most}, as this forecaster was fitted")
        if (X is not None) != bool(known):
            what = "needs X of the next steps" if known else "takes no X"
            raise ValueError(
                f"the forecast {what}, as the forecaster was fitted {'with' if known else 'without'}"
                f" {'it' if len(encoder.features) == len(encoder.targets) or known else 'known covariates'}"
            )
        every = [] if X is None else [X] if self._single else list(X)
        later = [_columns(_chosen(own, encoder.known), "X") for own in every]
        if known and [own.shape for own in later] != [(most, known)] * count:
            raise ValueError(f"X must have {most} steps of {known} covariates for each of {count} series")
        inputs = Sequences.of(list(self._last.astype(np.float32)))
        series = Series("y", encoder.features, inputs, np.arange(count), future=later)
        windows = last_windows(series, encoder)
        forecasts = self._told(windows)[:, :wanted]
        forecasts = forecasts[:, :, 0] if len(encoder.targets) == 1 else forecasts
        return forecasts[0] if self._single else forecasts

    def score(self, y: Any, X: Any = None) -> float:
        """R² of all forecasts within series that are known.

        A forecast is made at each step that has a season and `lookback` steps before it, and `horizon` steps
        behind. All next steps count together; of several columns it is the mean.

        Parameters
        ----------
        y, X
            As in `fit`, of at least ``encoder_.needed`` steps: season, lookback and horizon together.

        Returns
        -------
        float

        Raises
        ------
        ValueError
            A series is too short, or of other columns than in `fit`.
        """
        check_is_fitted(self)
        series, targets, _ = _series_of(y, X)
        encoder = self.encoder_
        if (*targets, *series.features[len(targets) :]) != encoder.features:
            raise ValueError(
                f"y and X have the columns {', '.join(series.features)}, but in fit it was"
                f" {', '.join(encoder.features)}; give the same"
            )
        with as_value_error():
            windows, right, _ = encode(series, encoder)
        assert isinstance(windows, Windows)
        told, columns = self._told(windows), len(encoder.targets)
        right = (right + windows.simple).T.reshape(-1, columns)
        return float(r2_score(right, told.reshape(-1, columns)))

    def _told(self, windows: Windows) -> NDArray[np.float64]:
        """Forecasts of shape (n, horizon, K)."""
        told = self._outputs(windows) + windows.simple.T
        return told.reshape(len(windows), self.encoder_.horizon, -1)

    def _known(self, covariates: tuple[str, ...]) -> tuple[str, ...]:
        """Names of the covariates that are known ahead, in their order."""
        if self.known_columns is None:
            return covariates
        names = set()
        for one in self.known_columns:
            number = isinstance(one, (int, np.integer)) and 0 <= one < len(covariates)
            if not number and one not in covariates:
                raise ValueError(
                    f"known_columns has {one!r}, which X has not: it has {', '.join(covariates) or 'none'}"
                )
            names.add(covariates[one] if number else one)
        return tuple(name for name in covariates if name in names)

    def _samples(self, series: Series) -> Samples:
        windows, right, _ = encode(series, self.encoder_)
        return Samples(windows, right)

    def _size(self, name: str) -> int:
        value = getattr(self, name)
        if value is None and name != "horizon":
            return 0
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{name} is {value!r}; it must be a whole number, at least 1")
        return int(value)

    def _score_of(self, outputs: NDArray[np.float32], samples: Samples) -> tuple[float, ...]:
        return (-float(np.mean(((outputs - samples.targets.T) / self._units) ** 2)),)

    def _described(self) -> tuple[ChainSpec, Encoder, list[str]]:
        return self.network_.model.chain, self.encoder_, []

    def _restore(self, model: Model) -> None:
        if not isinstance(model.encoder, SeriesEncoder) or model.encoder.goal != FORECAST:
            raise ValueError("its model makes no forecasts")
        encoder = self.encoder_ = model.encoder
        shape = encoder.needed - encoder.horizon, len(encoder.features)
        if not isinstance(self._last, np.ndarray) or self._last.shape[1:] != shape:
            raise ValueError("the last steps of its series are missing")
        super()._restore(model)


def _series_of(y: Any, X: Any) -> tuple[Series, tuple[str, ...], bool]:
    """The series, with covariates behind the numbers of each step; what these are called; and whether it is
    one series alone.

    Raises
    ------
    ValueError
        They are no numbers, or do not go together.
    """
    if not hasattr(y, "__len__"):
        raise ValueError(f"y is {y!r}; pass a series of numbers, or a list of them")
    alone = hasattr(y, "columns") or getattr(y, "shape", ())[1:] == (1,)
    several = not alone and len(y) > 0 and np.ndim(_first(y)) > 0
    targets = _names((y[0] if several else y), ("y",))
    every = [_columns(own, "y") for own in (y if several else [y])]
    given = [None] * len(every) if X is None else list(X) if several else [X]
    if len(given) != len(every):
        raise ValueError(f"there are {len(every)} series in y, but covariates of {len(given)} in X")
    for number, (own, covariates) in enumerate(zip(y if several else [y], given, strict=True)):
        check_times(own, covariates, f"series {number} of y" if several else "y")
    joint = []
    for number, (own, covariates) in enumerate(zip(every, given, strict=True)):
        if own.shape[1] != len(targets) or not len(own):
            raise ValueError(
                f"series {number} of y has the shape {own.shape}; it must have numbers, one a step"
            )
        columns = own if covariates is None else _columns(covariates, "X")
        if len(columns) != len(own):
            raise ValueError(
                f"series {number} has {len(own)} steps in y, but {len(columns)} in X; give as many"
            )
        joint.append(own if covariates is None else np.concatenate([own, columns], axis=1))
    widths = {own.shape[1] for own in joint}
    if len(widths) > 1:
        raise ValueError("the series have different numbers of covariates in X; give each the same")
    numbers = range(widths.pop() - len(targets))
    covariates = _names(given[0], tuple(f"x{number}" for number in numbers))
    features = (*targets, *covariates)
    if len(set(features)) < len(features):
        raise ValueError(f"names come twice among the columns {', '.join(features)} of y and X; rename one")
    with as_value_error():
        inputs = Sequences.of([own.astype(np.float32) for own in joint])
    return Series("y", features, inputs, np.arange(len(joint))), targets, not several


def _names(values: Any, names: tuple[str, ...]) -> tuple[str, ...]:
    """What columns are called; `names` if they have none."""
    return tuple(map(str, values.columns)) if hasattr(values, "columns") else names


def _chosen(values: Any, names: tuple[str, ...]) -> Any:
    """Some columns of what has names, if it has them all."""
    return values[list(names)] if set(names) <= set(getattr(values, "columns", ())) else values


def _first(y: Any) -> Any:
    return y.iloc[0] if hasattr(y, "iloc") else y[0]


def _columns(values: Any, name: str) -> NDArray[np.float64]:
    """Numbers as an array of shape (steps, columns)."""
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} has values that are not numbers; mend them") from None
    if array.ndim not in (1, 2):
        raise ValueError(f"{name} has the shape {array.shape}; a series has one number a step")
    if not np.isfinite(array).all():
        step = int(np.argwhere(~np.isfinite(array))[0][0])
        raise ValueError(f"{name} has NaN or infinity at step {step:,}; fill it in, or take the step out")
    return array.reshape(len(array), -1)
