"""Forecasts of series."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn.base", reason="scikit-learn is not installed")

from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.utils import estimator_checks

from truesparse import runtime
from truesparse.errors import TruesparseError
from truesparse.sklearn import SparseLSTMForecaster
from truesparse.sklearn.times import check_times

SMALL = {"hidden_size": 16, "epochs": 15, "density": 0.3, "random_state": 0, "lookback": 8, "season": 1}
Y = np.sin(0.4 * np.arange(260)) * 30 + 100


@pytest.fixture(scope="module")
def fitted() -> SparseLSTMForecaster:
    return SparseLSTMForecaster(**SMALL, horizon=3).fit(Y[:-3])


def test_the_next_steps_of_a_wave(fitted: SparseLSTMForecaster) -> None:
    forecast = fitted.predict()
    assert forecast.shape == (3,)
    assert np.abs(forecast - Y[-3:]).max() < 0.2 * np.abs(Y[-4] - Y[-3:]).max()  # a fifth of the naive error
    np.testing.assert_array_equal(fitted.predict(2), forecast[:2])
    assert (fitted.encoder_.lookback, fitted.encoder_.season) == (8, 1)


def test_what_is_loaded_forecasts_the_same(fitted: SparseLSTMForecaster, tmp_path: Path) -> None:
    fitted.save(tmp_path / "m")
    again = SparseLSTMForecaster.load(tmp_path / "m")
    np.testing.assert_array_equal(again.predict(), fitted.predict())
    assert "flash_bytes" in again.export(tmp_path / "c")
    told = runtime.load_forecaster(tmp_path / "m").predict(Y[:-3])
    np.testing.assert_allclose(told, fitted.predict(), rtol=1e-5)


def test_many_series_with_covariates_and_steps_held_out() -> None:
    """The covariate decides the next step alone, so that what X says of later steps must be read."""
    rng = np.random.default_rng(0)
    signs = [rng.choice([-1.0, 1.0], 150) for _ in range(3)]
    series = [10 * own + 5 for own in signs]
    model = SparseLSTMForecaster(**SMALL, validation_fraction=0.2)
    model.fit([own[:-1] for own in series], [own[:-1] for own in signs])
    assert len(model.validation_scores_) == 15
    kept = SparseLSTMForecaster(**SMALL, validation_fraction=0.2, refit=False)
    kept.fit([own[:-1] for own in series], [own[:-1] for own in signs])
    assert (kept.network_.model.arena.values == model.network_.model.arena.values).all()
    assert kept.encoder_.linear != model.encoder_.linear  # which has learned from all steps
    later = [own[-1:] for own in signs]
    right = np.array([own[-1] for own in series])
    said = model.predict(X=later)
    assert said.shape == (3, 1)
    np.testing.assert_allclose(said[:, 0], right, atol=4)
    changed = model.predict(X=[-own for own in later])
    np.testing.assert_allclose(changed[:, 0], 10 - right, atol=4)
    rows = SparseLSTMForecaster(**{**SMALL, "epochs": 1}).fit(np.stack(series))
    assert rows.predict().shape == (3, 1)


def test_columns_of_a_frame_and_covariates_that_are_not_known_ahead(tmp_path: Path) -> None:
    """`a` follows `seen` a step later, and `b` is the holiday of the step itself."""
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    seen, holiday = rng.choice([-1.0, 1.0], (2, 220))
    y = pandas.DataFrame({"a": 5 + np.roll(seen, 1), "b": 100 * holiday})
    X = pandas.DataFrame({"seen": seen, "holiday": holiday})
    model = SparseLSTMForecaster(**SMALL, known_columns=["holiday"]).fit(y[:-1], X[:-1])
    assert model.encoder_.features == ("a", "b", "seen", "holiday")
    assert (model.encoder_.targets, model.encoder_.known) == (("a", "b"), ("holiday",))
    said = model.predict(X=X[-1:])  # of which the known column is taken
    assert said.shape == (1, 2)
    np.testing.assert_allclose(said / [1, 100], y[-1:].to_numpy() / [1, 100], atol=0.5)
    np.testing.assert_array_equal(model.predict(X=holiday[-1:]), said)
    assert model.score(y, X) > 0.9
    model.save(tmp_path / "m")
    again = SparseLSTMForecaster.load(tmp_path / "m")
    np.testing.assert_array_equal(again.predict(X=X[-1:]), said)
    by_number = clone(model).set_params(known_columns=[1], epochs=1).fit(y, X)
    assert by_number.encoder_.known == ("holiday",)
    for change, message in (
        ({"known_columns": ["rain"]}, "known_columns has 'rain', which X has not: it has seen, holiday"),
        ({"known_columns": [2]}, "known_columns has 2, which X has not"),
    ):
        with pytest.raises(ValueError, match=message):
            clone(model).set_params(**change).fit(y, X)
    with pytest.raises(ValueError, match="names come twice among the columns a, b, b of y and X"):
        clone(model).set_params(known_columns=None).fit(y, y[["b"]])
    with pytest.raises(ValueError, match="the columns a, seen, holiday, but in fit it was a, b, seen, hol"):
        model.score(y[["a"]], X)


def test_a_score_and_a_search_over_settings(fitted: SparseLSTMForecaster) -> None:
    encoder = fitted.encoder_
    said, right = [], []
    for end in range(encoder.needed - 3, 40 - 2):  # all forecasts, one by one
        later = clone(fitted).set_params(epochs=1)
        later.__dict__ |= {**fitted.__dict__, "_last": Y[None, end - 9 : end, None]}
        said.append(later.predict())
        right.append(Y[end : end + 3])
    ratio = np.mean(np.square(np.array(said) - right)) / np.var(right)
    assert fitted.score(Y[:40]) == pytest.approx(1 - ratio, abs=1e-5)
    with pytest.raises(ValueError, match=r"has 11 steps but .* need 12; give a longer series$"):
        fitted.score(Y[:11])
    model = SparseLSTMForecaster(**{**SMALL, "epochs": 2}, horizon=2)
    parts = TimeSeriesSplit(2, test_size=40)
    search = GridSearchCV(model, {"hidden_size": [4, 16]}, cv=parts, error_score="raise")
    covariates = np.roll(Y, -1)[:, None]
    for arguments in (Y,), (Y[:, None], covariates):
        search.fit(*arguments)
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()
        assert search.best_estimator_.encoder_.features[1:] == ("x0",)[: len(arguments) - 1]


@pytest.mark.parametrize(
    ("arguments", "change", "sentence"),
    [
        (([1.0, np.nan, 3.0],), {}, "y has NaN or infinity at step 1"),
        ((["a", "b"],), {}, "values that are not numbers; mend them"),
        ((np.zeros((2, 3, 4)),), {}, r"series 0 of y has the shape \(3, 4\)"),
        (
            (Y[:11],),
            {"horizon": 4},
            "11 steps but a season of 1, a lookback of 8 and a horizon of 4 need 13",
        ),
        ((Y, Y[:-1]), {}, "series 0 has 260 steps in y, but 259 in X"),
        (([Y, Y], [Y]), {}, "2 series in y, but covariates of 1 in X"),
        ((Y,), {"horizon": 0}, "horizon is 0; it must be a whole number, at least 1"),
        ((Y,), {"lookback": 2.5}, "lookback is 2.5; it must be a whole number"),
        ((Y,), {"validation_fraction": 1.0}, "validation_fraction is 1.0; it must be at least 0 and below 1"),
        ((Y, None, np.ones(260)), {}, "takes no sample_weight, as each step is in many forecasts"),
        ((7,), {}, "y is 7; pass a series of numbers"),
    ],
)
def test_what_cannot_be(arguments: tuple, change: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        SparseLSTMForecaster(**{**SMALL, **change}).fit(*arguments)


def test_forecasts_that_cannot_be(fitted: SparseLSTMForecaster, tmp_path: Path) -> None:
    for horizon in (4, 0, 1.5):
        with pytest.raises(ValueError, match=rf"horizon is {horizon}; it must be 1 to 3, as"):
            fitted.predict(horizon)
    with pytest.raises(ValueError, match="takes no X, as the forecaster was fitted without it"):
        fitted.predict(X=Y[:3])
    fitted.save(tmp_path / "m")
    from truesparse.sklearn import SparseLSTMRegressor

    with pytest.raises(TruesparseError, match="is of another estimator"):
        SparseLSTMRegressor.load(tmp_path / "m")


@pytest.mark.parametrize(
    "check",
    [
        "check_parameters_default_constructible",
        "check_no_attributes_set_in_init",
        "check_get_params_invariance",
        "check_set_params",
        "check_estimator_repr",
        "check_valid_tag_types",
    ],
)
def test_checks_of_scikit_learn_that_fit_nothing(check: str) -> None:
    """The others pass X before y, as to what learns from samples; a forecaster learns from a series."""
    function = getattr(estimator_checks, check)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        function("SparseLSTMForecaster", clone(SparseLSTMForecaster(random_state=0)))


def test_it_stops_early_and_goes_on_with_its_scale() -> None:
    y = np.sin(0.3 * np.arange(120))
    settings = {"hidden_size": 8, "density": 0.5, "random_state": 0, "epochs": 12, "season": 1, "lookback": 8}
    model = SparseLSTMForecaster(**settings, early_stopping=True, n_iter_no_change=1, tol=10.0).fit(y)
    assert len(model.validation_scores_) == 2  # no rise by 10
    model.set_params(warm_start=True, early_stopping=False, epochs=1)
    scale = model.network_.model.chain
    model.fit(1000 * y)
    assert model.network_.model.chain == scale
    model.set_params(horizon=2)
    with pytest.raises(ValueError, match="warm_start needs horizon, lookback, season"):
        model.fit(y)


def test_dates_of_an_index_go_up_without_gaps() -> None:
    pandas = pytest.importorskip("pandas")
    dates = pandas.date_range("2024-01-01", periods=30, freq="D")
    y = pandas.Series(np.arange(30.0), dates)
    months = pandas.date_range("2024-01-15", periods=9, freq="MS")
    for even in (
        dates,
        months + pandas.Timedelta(days=14),
        dates[dates.day_of_week < 5],
        dates.tz_localize("CET"),
    ):
        check_times(y.iloc[: len(even)].set_axis(even), None, "y")
    check_times(y.to_list(), y.to_numpy(), "y")  # there are no times
    wrong = {
        "step 2 of y has the time 2024-01-02 00:00:00 after 2024-01-03": y.iloc[[0, 2, 1, 3]],
        "step 2 of y has the time 2024-01-02 00:00:00 after 2024-01-02": y.iloc[[0, 1, 1, 2]],
        "row 5 of y has the time 2024-01-07T00:00:00 after 2024-01-05T00:00:00, another": y.drop(dates[5]),
        "row 5 of y has the time 2024-01-07T00:00:00 after": y.drop(dates[5]).to_period("D"),
    }
    for sentence, series in wrong.items():
        with pytest.raises(ValueError, match=sentence):
            SparseLSTMForecaster(**SMALL).fit(series)
    with pytest.raises(ValueError, match=r"step 0 of y has the time 2024-01-01 .* but 2024-01-02 .* in X"):
        SparseLSTMForecaster(**SMALL).fit(y, y.shift(1, freq="D"))
