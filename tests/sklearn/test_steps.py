"""Estimators that predict something for each step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn.base", reason="scikit-learn is not installed")

from truesparse import runtime
from truesparse.sklearn import SparseLSTMClassifier, SparseLSTMRegressor

SMALL: dict[str, Any] = {"hidden_size": 40, "density": 0.2, "batch_size": 8, "lr": 0.02, "random_state": 1}


@pytest.fixture(scope="module")
def data() -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Sequences of two features, whether their sum is above 0 at each step, and their difference."""
    rng = np.random.default_rng(3)
    X = [rng.normal(0, 1, (steps, 2)).astype(np.float32) for steps in rng.integers(4, 7, 60)]
    classes = [np.where(own.sum(axis=1) > 0, "high", "low") for own in X]
    return X, classes, [100 + 10 * (own[:, :1] - own[:, 1:]) for own in X]


def test_classes_of_steps(data, tmp_path: Path) -> None:
    X, y, _ = data
    model = SparseLSTMClassifier(epochs=4, validation_fraction=0.2, calibrate=True, **SMALL).fit(
        X[:50], y[:50]
    )
    assert model.per_step_
    told = model.predict(X[50:])
    assert [len(own) for own in told] == [len(own) for own in X[50:]]
    right = np.concatenate(told) == np.concatenate(y[50:])
    assert model.score(X[50:], y[50:]) == right.mean() > 0.85
    weights = np.arange(1, 11)
    heavy = np.repeat(weights, [len(own) for own in X[50:]])
    assert model.score(X[50:], y[50:], weights) == pytest.approx(np.average(right, weights=heavy))
    model.save(tmp_path / "m")
    again = SparseLSTMClassifier.load(tmp_path / "m")
    stored = runtime.load(tmp_path / "m")
    said = model.predict_proba(X[50:])
    for one, two, three in zip(said, again.predict_proba(X[50:]), stored.predict_proba(X[50:]), strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_allclose(one, three, atol=1e-5)


def test_numbers_of_steps(data, tmp_path: Path) -> None:
    X, _, y = ([own[:4] for own in part] for part in data)
    array, right = np.array(X), np.array(y)
    model = SparseLSTMRegressor(epochs=8, **SMALL).fit(array[:50], right[:50], np.arange(1, 51))
    told = model.predict(array[50:])
    assert told.shape == (10, 4, 1)
    errors = ((told - right[50:]) ** 2).sum() / ((right[50:] - right[50:].mean()) ** 2).sum()
    assert model.score(array[50:], right[50:]) == pytest.approx(1 - errors)
    assert errors < 0.3
    model.save(tmp_path / "m")
    np.testing.assert_array_equal(
        SparseLSTMRegressor.load(tmp_path / "m").predict(array), model.predict(array)
    )
    np.testing.assert_allclose(
        np.array(runtime.load(tmp_path / "m").predict(array[50:])), told, rtol=1e-5, atol=1e-3
    )


def test_mistakes(data) -> None:
    X, y, _ = data
    model = SparseLSTMClassifier(epochs=1, **SMALL)
    with pytest.raises(ValueError, match=r"row 1 of y has the shape \(1,\), but row 1 of X has"):
        model.fit(X, [y[0], y[1][:1], *y[2:]])
    with pytest.raises(ValueError, match="pooling is for sequences, and y has a target for each step"):
        SparseLSTMClassifier(epochs=1, pooling="mean", **SMALL).fit(X, y)
    with pytest.raises(ValueError, match="leave sequences of the weight 0 out"):
        model.fit(X, y, [0, *[1] * 59])
    model.fit(X, y)
    with pytest.raises(ValueError, match="of steps in one call, and of sequences in another"):
        model.partial_fit(X, [own[0] for own in y])
