from __future__ import annotations

import copy
import pickle
import re
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn.base", reason="scikit-learn is not installed")

import joblib
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from truesparse.sklearn import SparseLSTMClassifier, SparseLSTMRegressor

SMALL = {"hidden_size": 16, "epochs": 8, "random_state": 0}


@pytest.fixture(scope="module")
def waves() -> tuple[np.ndarray, np.ndarray]:
    """200 waves of 20 steps, of one of three frequencies, and which."""
    rng = np.random.default_rng(0)
    names = rng.choice(["fast", "middle", "slow"], 200)
    frequency = np.array([{"slow": 0.2, "middle": 0.6, "fast": 1.2}[name] for name in names])
    return np.sin(frequency[:, None] * np.arange(20) + rng.uniform(0, 6, (200, 1))), names


def same_weights(one: Any, other: Any) -> bool:
    return bool(np.array_equal(one.network_.model.arena.values, other.network_.model.arena.values))


def test_a_classifier_learns(waves) -> None:
    X, y = waves
    model = SparseLSTMClassifier(**{**SMALL, "epochs": 25}).fit(X[:150], y[:150])
    assert model.score(X[150:], y[150:]) > 0.9
    assert model.classes_.tolist() == ["fast", "middle", "slow"]
    probabilities = model.predict_proba(X[150:])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert (model.classes_[probabilities.argmax(axis=1)] == model.predict(X[150:])).all()
    assert len(model.loss_curve_) == 25
    assert model.loss_curve_[-1] < model.loss_curve_[0] / 2
    assert model.density_ == pytest.approx(0.2, abs=1e-3)
    assert model.nnz_ == sum(matrix.nnz for matrix in model.network_.model.matrices.values())


def test_a_regressor_learns_numbers_of_any_scale(waves) -> None:
    X, _ = waves
    targets = 1e6 + 1e3 * np.stack([X[:, -1], X[:, -2] * 1e-4], axis=1)
    model = SparseLSTMRegressor(**{**SMALL, "epochs": 40}).fit(X[:150, :-2], targets[:150])
    assert model.predict(X[150:, :-2]).shape == (50, 2)
    assert model.score(X[150:, :-2], targets[150:]) > 0.9
    constant = SparseLSTMRegressor(**SMALL).fit(X[:20], np.full(20, 7.0))
    np.testing.assert_allclose(constant.predict(X[:20]), 7, atol=0.5)


def test_arrays_of_features_and_lists_are_the_same(waves) -> None:
    X, y = waves
    features = np.stack([X, np.cos(X)], axis=2)
    of_array = SparseLSTMClassifier(**SMALL).fit(features, y)
    assert (of_array.n_features_in_, of_array.layout_) == (2, "sequences")
    shortened = [item[: 20 - k % 3] for k, item in enumerate(features)]
    of_list = SparseLSTMClassifier(**SMALL).fit(shortened, y)
    assert not same_weights(of_array, of_list)
    assert same_weights(of_array, SparseLSTMClassifier(**SMALL).fit(list(features), y))
    np.testing.assert_array_equal(
        of_list.predict_proba(shortened)[:5],
        np.concatenate([of_list.predict_proba([item]) for item in shortened[:5]]),
    )
    single = SparseLSTMClassifier(**SMALL).fit([row[: 20 - k % 3] for k, row in enumerate(X)], y)
    assert single.n_features_in_ == 1
    np.testing.assert_array_equal(single.predict_proba(X), single.predict_proba(list(X)))
    np.testing.assert_array_equal(single.predict_proba(X), single.predict_proba(X[:, :, None]))
    ragged = np.empty(2, object)
    ragged[:] = [X[0], X[1, :7]]
    assert single.predict_proba(ragged).shape == (2, 3)


def test_the_seed_decides_and_threads_do_not(waves) -> None:
    X, y = waves
    dropping = {**SMALL, "dropout": 0.3}
    one = SparseLSTMClassifier(**dropping).fit(X, y)
    assert same_weights(one, SparseLSTMClassifier(**dropping, n_jobs=-1).fit(X, y))
    assert not same_weights(one, SparseLSTMClassifier(**{**dropping, "random_state": 1}).fit(X, y))
    fits = (joblib.delayed(clone(one).fit)(X, y) for _ in range(3))
    assert all(same_weights(one, other) for other in joblib.Parallel(2, backend="threading")(fits))


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "set", "optimizer": "sgd", "lr": 0.5},
        {"method": "rigl", "update_interval": 5, "cell": "rhn", "depth": 2},
        {"method": "snfs", "pooling": "mean", "layers": 2},
        {"method": "dsr", "update_interval": 4, "drop_fraction": 0.3},
        {"method": "deepr", "pooling": "max"},
        {"method": "gmp", "update_interval": 5},
        {"method": "snip"},
        {"method": "dense"},
        {"method": "st-rnn", "pattern": "unit"},
        {"method": "static", "pattern": "unit", "cell": "rhn", "depth": 2},
        {"method": "set", "cell": "gru"},
        {"method": "rigl", "update_interval": 5, "bidirectional": True},
    ],
    ids=lambda changes: changes["method"],
)
def test_what_is_pickled_goes_on_to_the_same_bits(waves, changes: dict[str, Any]) -> None:
    X, y = waves
    model = SparseLSTMClassifier(**{**SMALL, "batch_size": 16, "epochs": 3, "dropout": 0.2, **changes})
    model.partial_fit(X, y, np.unique(y))
    way = "backward." if model.bidirectional else ""
    hidden = model.network_.model.matrices[f"{model.cell}.0.{way}weight_ih"]
    assert hidden.group == (hidden.blocks if model.pattern == "unit" else 1)
    others = [pickle.loads(pickle.dumps(model)), copy.deepcopy(model)]
    for other in others:
        np.testing.assert_array_equal(model.predict_proba(X), other.predict_proba(X))
    for each in (model, *others):
        each.partial_fit(X, y).partial_fit(X, y)
    assert all(same_weights(model, other) for other in others)
    assert same_weights(model, clone(model).fit(X, y)), "as many passes as fit makes are a fit"


def test_passes_over_parts(waves) -> None:
    X, y = waves
    model = SparseLSTMClassifier(**SMALL)
    for _ in range(25):
        for start in range(0, 200, 50):
            model.partial_fit(X[start : start + 50], y[start : start + 50], ["slow", "middle", "fast"])
    assert model.score(X, y) > 0.9
    regressor = SparseLSTMRegressor(**SMALL)
    for _ in range(40):
        regressor.partial_fit(X[:, :-1], X[:, -1])
    assert regressor.score(X[:, :-1], X[:, -1]) > 0.9


def test_held_out_samples_choose_the_epoch(waves) -> None:
    X, y = waves
    model = SparseLSTMClassifier(**{**SMALL, "epochs": 12, "lr": 0.05}, validation_fraction=0.25).fit(X, y)
    assert len(model.validation_scores_) == 12
    assert max(model.validation_scores_) > 0.8
    model.partial_fit(X, y)
    regressor = SparseLSTMRegressor(**SMALL, validation_fraction=0.2).fit(X[:, :-1], X[:, -1])
    assert len(regressor.validation_scores_) == 8


@pytest.mark.parametrize("method", ["gmp", "granet"])
def test_of_a_model_that_is_pruned_the_best_is_one_of_the_density_asked_for(
    waves, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    X, y = waves
    model = SparseLSTMClassifier(**SMALL, method=method, update_interval=5, validation_fraction=0.25)
    scores = iter([9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 3.5])
    monkeypatch.setattr(SparseLSTMClassifier, "_score_of", lambda *_: (next(scores),))
    model.set_params(update_end=0.7).fit(X, y)  # the last update ends the fifth epoch
    assert model.density_ == pytest.approx(0.2, abs=2e-3)
    assert model.network_.passes == 5


def test_pipelines_and_searches(waves) -> None:
    X, y = waves
    model = make_pipeline(StandardScaler(), SparseLSTMClassifier(**{**SMALL, "epochs": 15}))
    assert cross_val_score(model, X, y, cv=3, n_jobs=2).min() > 0.6
    grid = {"sparselstmclassifier__density": np.array([0.1, 0.5]), "sparselstmclassifier__layers": [1]}
    search = GridSearchCV(model, grid, cv=2).fit(X, y)
    assert search.best_score_ > 0.5
    assert search.best_estimator_[-1].density_ == pytest.approx(
        search.best_params_["sparselstmclassifier__density"], abs=1e-3
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"pattern": "gate"}, "pattern is 'gate'; it must be weight or unit"),
        ({"density": 0}, "density is 0.0; it must be above 0 and at most 1"),
        ({"hidden_size": 2.5}, "hidden_size is 2.5; it must be a whole number"),
        ({"method": "st-rn"}, "there is no method 'st-rn'; did you mean st-rnn"),
        ({"pooling": "first"}, "pooling is 'first'; it must be last, mean or max"),
        ({"optimizer": "asgd"}, "optimizer is 'asgd'; here it must be adam or sgd"),
        ({"er_epsilon": 3}, "er_epsilon does not go with distribution uniform"),
        ({"method": "dense", "density": 0.5}, "density 0.5 does not go with method dense"),
        ({"validation_fraction": 1}, "validation_fraction is 1; it must be at least 0 and below 1"),
        ({"lr": 3e38, "clip": 0.0, "optimizer": "sgd"}, "; try a lower lr (it is 3e+38) or a clip above 0"),
    ],
)
def test_parameters_that_cannot_be(waves, change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        SparseLSTMClassifier(**{**SMALL, **change}).fit(*waves)


def with_value(X: np.ndarray, place: tuple[int, ...], value: float) -> np.ndarray:
    X = X.copy()
    X[place] = value
    return X


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda X, y: (with_value(X, (3, 2), np.nan), y), "row 3 of X contains NaN or infinity"),
        (lambda X, y: (with_value(X, (4, 2), 1e300), y), "row 4 of X contains NaN or infinity"),
        (lambda X, y: ([*X[:5], X[5, :3] * np.inf], y[:6]), "row 5 of X contains NaN or infinity"),
        (lambda X, y: ([[[1.0, 2.0]], [[1.0]]], y[:2]), "row 1 of X has 1 features at each step, but row 0"),
        (lambda X, y: ([[1.0, 2.0], []], y[:2]), "row 1 of X has the shape (0,)"),
        (lambda X, y: ([[1.0, 2.0], ["a"]], y[:2]), "row 1 of X is no sequence of numbers"),
        (lambda X, y: ([[1.0], [[1.0], [1.0, 2.0]]], y[:2]), "row 1 of X is no sequence of numbers"),
        (lambda X, y: (X[:, :0, None], y), "its sequences have no steps or no features"),
        (lambda X, y: (X, np.full(200, "one")), "y has only one class, 'one'"),
        (lambda X, y: (X, y[:3]), "inconsistent numbers of samples"),
        (lambda X, y: (X, None), "requires y to be passed"),
        (lambda X, y: (X, np.linspace(0, 1, 200)), "Unknown label type: continuous"),
    ],
)
def test_samples_that_cannot_be(waves, change: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        SparseLSTMClassifier(**SMALL).fit(*change(*waves))


def test_samples_that_do_not_fit_the_model(waves) -> None:
    X, y = waves
    with pytest.raises(NotFittedError):
        SparseLSTMClassifier().predict(X)
    table = SparseLSTMClassifier(**SMALL).fit(X, y)
    sequences = SparseLSTMClassifier(**SMALL).fit(X[:, :, None], y)
    for model, wrong, sentence in (
        (table, X[:, :19], "X has 19 features, but SparseLSTMClassifier is expecting 20 features as input"),
        (table, X[:, :, None], "was fitted with a table of 20 columns; pass an array of shape (n, 20)"),
        (table, [X[0], X[1, :5]], "was fitted with a table of 20 columns"),
        (sequences, X.reshape(200, 10, 2), "X has 2 features, but SparseLSTMClassifier is expecting 1"),
    ):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            model.predict(wrong)
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        SparseLSTMClassifier(**SMALL).partial_fit(X, y)
    with pytest.raises(ValueError, match="row 0 of y has the class 'odd'; the known ones are 'fast'"):
        table.partial_fit(X[:1], ["odd"])
    with pytest.raises(ValueError, match="but they were"):
        table.partial_fit(X, y, ["fast", "slow"])
