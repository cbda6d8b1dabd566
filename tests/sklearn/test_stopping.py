"""Fits that end early, and fits that go on from the last one."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn.base", reason="scikit-learn is not installed")

import truesparse as ts
from truesparse.sklearn import SparseLSTMClassifier, SparseLSTMRegressor, SparseTextClassifier

SMALL = {"hidden_size": 8, "epochs": 4, "batch_size": 64, "dropout": 0.0, "random_state": 0}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(48, 5))
LABELS = np.where(X[:, 0] > 0.5, "rare", "often")
TEXTS = [" ".join(RNG.choice(["a", "fine", "dull", "film"], 3)) for _ in X]
CASES = {
    "classifier": (SparseLSTMClassifier, X, LABELS),
    "regressor": (SparseLSTMRegressor, X, X[:, 0] * 100 + 7),
    "texts": (SparseTextClassifier, TEXTS, LABELS),
}


def weights_of(model: Any) -> np.ndarray:
    return model.network_.model.arena.values


@pytest.mark.parametrize("name", CASES)
def test_it_ends_when_the_score_does_not_rise(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, samples, y = CASES[name]
    scores = [0.1, 0.3, 0.2, 0.30005, 0.35, 0.3500999, 0.34, 0.1, 0.9, 1.0]
    left = iter(scores)
    monkeypatch.setattr(kind, "_score_of", lambda *_: (next(left),))
    how = {**SMALL, "epochs": 10, "early_stopping": True}
    model = kind(**how, n_iter_no_change=3).fit(samples, y)
    assert model.validation_scores_ == scores[:8]
    assert model.n_iter_ == len(model.loss_curve_) == 8
    assert model.network_.passes == 6  # the best one, by however little
    left = iter(scores)
    assert kind(**how, n_iter_no_change=3, tol=0.0).fit(samples, y).n_iter_ == 10
    left = iter(scores)
    assert kind(**how, n_iter_no_change=1, tol=0.3).fit(samples, y).n_iter_ == 2


def test_the_samples_that_are_held_out() -> None:
    by_default = SparseLSTMClassifier(**SMALL, early_stopping=True).fit(X, LABELS)
    tenth = SparseLSTMClassifier(**SMALL, validation_fraction=0.1).fit(X, LABELS)
    assert by_default.validation_scores_ == tenth.validation_scores_
    own = SparseLSTMClassifier(**SMALL, early_stopping=True, validation_fraction=0.4).fit(X, LABELS)
    chosen = SparseLSTMClassifier(**SMALL, validation_fraction=0.4).fit(X, LABELS)
    assert own.validation_scores_ == chosen.validation_scores_ != tenth.validation_scores_


@pytest.mark.parametrize("name", CASES)
def test_a_warm_start_goes_on_with_the_last_model(name: str) -> None:
    kind, samples, y = CASES[name]
    model = kind(**SMALL, warm_start=True).fit(samples, y)
    cold = kind(**SMALL).fit(samples, y)
    np.testing.assert_array_equal(weights_of(model), weights_of(cold))
    first = copy.deepcopy(model)
    model.set_params(lr=1e-9, method="static").fit(samples, y)
    np.testing.assert_allclose(weights_of(model), weights_of(first), atol=1e-6)
    before = model.loss_curve_[-1]
    model.set_params(lr=0.01, method="st-rnn").fit(samples, y)
    assert model.loss_curve_[0] == pytest.approx(before, rel=1e-5)
    assert np.abs(weights_of(model) - weights_of(first)).max() > 1e-3
    assert model.n_iter_ == 4
    assert model.nnz_ == first.nnz_
    cold.fit(samples, y)  # begins anew
    np.testing.assert_array_equal(weights_of(cold), weights_of(first))


def test_the_scale_of_targets_stays_with_a_warm_start() -> None:
    y = X[:, 0] * 100 + 7
    model = SparseLSTMRegressor(**SMALL, warm_start=True).fit(X, y)
    told = model.predict(X)
    model.set_params(lr=1e-9, method="static").fit(X, y * 3)
    np.testing.assert_allclose(model.predict(X), told, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"n_iter_no_change": 0}, "n_iter_no_change is 0; it must be at least 1"),
        ({"tol": -1e-3}, "tol is -0.001; it must be at least 0"),
        ({"early_stopping": "yes"}, "early_stopping is 'yes'; it must be true or false"),
        ({"warm_start": 2}, "warm_start is 2; it must be true or false"),
    ],
)
def test_parameters_that_cannot_be(parameters: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        SparseLSTMClassifier(**SMALL, **parameters).fit(X, LABELS)


def test_what_a_warm_start_cannot_go_on_with() -> None:
    model = SparseLSTMClassifier(**SMALL, warm_start=True).fit(X, LABELS)
    before = weights_of(model).copy()
    for parameters, labels, sentence in (
        (
            {},
            np.where(X[:, 0] > 0, "rare", "new"),
            "the classes .* but warm_start goes on with those of the last",
        ),
        (
            {"hidden_size": 9},
            LABELS,
            "the model of the last fit, which warm_start begins with, is no model like",
        ),
        ({"method": "gmp"}, LABELS, "warm_start does not go with the method gmp"),
    ):
        other = copy.deepcopy(model).set_params(**parameters)
        with pytest.raises(ValueError, match=sentence):
            other.fit(X, labels)
        np.testing.assert_array_equal(weights_of(other), before)
    dense = SparseLSTMClassifier(**SMALL, warm_start=True, method="dense").fit(X, LABELS)
    assert dense.fit(X, LABELS).density_ == 1


def test_one_pass_cannot_end_early() -> None:
    with pytest.raises(ValueError, match="early_stopping does not go with partial_fit"):
        SparseLSTMClassifier(**SMALL, early_stopping=True).partial_fit(X, LABELS, ["often", "rare"])
    with pytest.raises(ValueError, match="early_stopping does not go with partial_fit"):
        SparseLSTMRegressor(**SMALL, early_stopping=True).partial_fit(X, X[:, 0])


def test_a_reporter_is_told() -> None:
    class Scores(ts.Reporter):
        def __init__(self) -> None:
            self.scores: list[float] = []
            self.losses: list[float] = []

        def train(self, record: Any) -> None:
            self.losses.append(record["loss"])

        def eval(self, record: Any) -> None:
            self.scores.append(record["score"])

    told = Scores()
    model = SparseLSTMClassifier(**SMALL, validation_fraction=0.4, reporter=told).fit(X, LABELS)
    assert told.scores == model.validation_scores_
    assert told.losses == model.loss_curve_
    with pytest.raises(ValueError, match=r"reporter is 'csv'; it must be a truesparse\.Reporter or None"):
        SparseLSTMClassifier(**SMALL, reporter="csv").fit(X, LABELS)
