"""An estimator whose fit or partial_fit fails, or is interrupted, stays as it was."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn.base", reason="scikit-learn is not installed")

from sklearn.exceptions import NotFittedError

from truesparse.sklearn import SparseLSTMClassifier, SparseLSTMRegressor, SparseTextClassifier
from truesparse.training.training import Training

SMALL = {"hidden_size": 8, "epochs": 2, "batch_size": 8, "random_state": 0}
X = np.random.default_rng(0).normal(size=(40, 5))
LABELS = np.where(X[:, 0] > 0, "b", "a")
TEXTS = ["a fine film", "a dull plot"] * 20


def estimators() -> dict[str, tuple[Any, tuple[Any, Any], tuple[Any, Any]]]:
    """Each with what it is fitted with, and other data that change whatever it remembers of them."""
    return {
        "classifier": (SparseLSTMClassifier(**SMALL), (X, LABELS), (list(X[:, :4]), np.arange(40) % 3)),
        "regressor": (SparseLSTMRegressor(**SMALL), (X, X[:, 0]), (list(X[:, :4]), 9 + X[:, :2])),
        "texts": (SparseTextClassifier(**SMALL), (TEXTS, LABELS), (["other words"] * 40, np.arange(40) % 3)),
    }


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int, error: BaseException) -> None:
    """Let training end with an error after the weights have changed in some steps."""
    true, steps = Training.step, iter(range(1, 10**6))

    def failing(self: Training, *args: Any) -> Any:
        if next(steps) == step:
            raise error
        return true(self, *args)

    monkeypatch.setattr(Training, "step", failing)


@pytest.mark.parametrize("name", estimators())
@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError()], ids=["ctrl-c", "error"])
def test_a_fitted_one_is_as_before(name: str, error: BaseException, monkeypatch) -> None:
    model, data, other = estimators()[name]
    model.fit(*data)
    state, outputs = pickle.dumps(model), model.predict(data[0])
    for learn, given in ((model.fit, other), (model.partial_fit, data)):
        with monkeypatch.context() as patch:
            stop_at(patch, 3, error)
            with pytest.raises(type(error)):
                learn(*given)
        assert pickle.dumps(model) == state
    np.testing.assert_array_equal(model.predict(data[0]), outputs)
    again = pickle.loads(state)
    model.partial_fit(*data)
    np.testing.assert_array_equal(model.predict(data[0]), again.partial_fit(*data).predict(data[0]))


@pytest.mark.parametrize("name", estimators())
def test_one_that_was_never_fitted_is_not_fitted(name: str) -> None:
    model, data, _ = estimators()[name]
    model.set_params(hidden_size=0)
    parameters = vars(model).copy()
    classes = [["a", "b"]] if name == "classifier" else []
    for learn, more in ((model.fit, []), (model.partial_fit, classes)):
        with pytest.raises((ValueError, NotFittedError), match=r"hidden_size is 0|not fitted yet"):
            learn(*data, *more)
        assert vars(model) == parameters
        with pytest.raises(NotFittedError):
            model.predict(data[0])
    assert model.set_params(hidden_size=8).fit(*data).predict(data[0]).shape == (40,)


def test_a_first_pass_that_failed_does_not_count() -> None:
    model = SparseLSTMClassifier(**SMALL).set_params(hidden_size=0)
    with pytest.raises(ValueError, match="hidden_size is 0"):
        model.partial_fit(X, LABELS, ["a", "b", "c"])
    model.set_params(hidden_size=8).partial_fit(X, LABELS, ["a", "b"])
    assert model.predict_proba(X).shape == (40, 2)


def test_samples_that_are_refused_leave_no_trace() -> None:
    """Numbers that make training fail, and what is wrong with the samples themselves."""
    model = SparseLSTMClassifier(**SMALL).fit(X, LABELS)
    state = pickle.dumps(model)
    for samples, labels, sentence in (
        (X * 1e30, np.where(LABELS == "b", "y", "x"), "the norm of the gradient is inf"),
        (X[:, :3], [*LABELS[:-1], None], "row 39 of y is missing"),
        ([row[:3] for row in X], LABELS[:-1], "inconsistent numbers of samples"),
    ):
        with pytest.raises(ValueError, match=sentence):
            model.fit(samples, labels)
        assert pickle.dumps(model) == state
