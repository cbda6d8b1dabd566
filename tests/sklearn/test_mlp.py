"""Feed-forward nets under the names that scikit-learn's have for parameters."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn.base", reason="scikit-learn is not installed")

from sklearn.base import clone
from sklearn.neural_network import MLPClassifier, MLPRegressor

from truesparse.sklearn import SparseMLPClassifier, SparseMLPRegressor

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 6))
Y = (X[:, 0] > X[:, 1]).astype(int)
SMALL: dict[str, Any] = {"hidden_layer_sizes": (8,), "density": 0.5, "max_iter": 3, "random_state": 0}
ABSENT = {"nesterovs_momentum", "power_t", "max_fun"}


def trained(**given: Any) -> np.ndarray:
    return SparseMLPClassifier(**SMALL, **given).fit(X, Y).network_.model.arena.values


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({"solver": "sgd", "momentum": 0.5}, {"optimizer": "sgd", "momentum": 0.5}),
        ({"solver": "adam", "beta_1": 0.5, "beta_2": 0.9}, {"beta1": 0.5, "beta2": 0.9}),
        ({"solver": "adam", "optimizer": "adam", "shuffle": True, "learning_rate": "constant"}, {}),
    ],
)
def test_other_names_of_parameters(theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    np.testing.assert_array_equal(trained(**theirs), trained(**ours))
    copy = clone(SparseMLPClassifier(**theirs))
    assert theirs.items() <= copy.get_params().items()
    assert SparseMLPClassifier().set_params(**theirs).get_params() == copy.get_params()


@pytest.mark.parametrize(
    ("ours", "theirs", "absent"),
    [
        (SparseMLPClassifier, MLPClassifier, ABSENT),
        (SparseMLPRegressor, MLPRegressor, ABSENT | {"loss"}),
    ],
)
def test_what_there_is_not(ours: type, theirs: type, absent: set[str]) -> None:
    # older versions of scikit-learn have no choice of the loss
    assert theirs().get_params().keys() - ours().get_params().keys() == absent & theirs().get_params().keys()
    for name in absent:
        with pytest.raises(TypeError, match=f"^{ours.__name__} has no parameter '{name}', as th"):
            ours(**{name: 1})
        with pytest.raises(ValueError, match=f"^{ours.__name__} has no parameter '{name}', as th"):
            ours().set_params(**{name: 1})
    with pytest.raises(ValueError, match="Invalid parameter 'speed' for estimator"):
        ours().set_params(speed=1)


@pytest.mark.parametrize("yes", [np.True_, 1])
def test_other_words_for_true(yes: Any) -> None:
    np.testing.assert_array_equal(trained(shuffle=yes), trained())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"solver": "lbfgs"}, "solver is 'lbfgs'; here it must be adam or sgd"),
        ({"beta_1": 0.8, "beta1": 0.9}, "beta_1 is 0.8 and beta1 is 0.9, but both are one parameter"),
        ({"solver": "adam", "optimizer": "sgd"}, "solver is 'adam' and optimizer is 'sgd', but both are one"),
        ({"learning_rate": "invscaling"}, "learning_rate is 'invscaling'; here it must be constant or"),
        ({"learning_rate": "adaptive"}, "learning_rate='adaptive' goes by samples that are held out; give"),
        ({"shuffle": False}, "shuffle is False, but each pass has the rows in a new order; leave it out"),
        ({"learning_rate": np.array([1, 2])}, "learning_rate is array([1, 2]); here it must be constant or"),
        ({"solver": "sgd", "beta_1": 0.9}, "beta_1 does not go with solver sgd; leave it out"),
        (
            {"learning_rate": "adaptive", "validation_fraction": 0.2, "lr_schedule": "cosine"},
            "learning_rate='adaptive' and lr_schedule='cosine' both say how the rate falls; leave one out",
        ),
        ({"activation": "logistic"}, "activation is 'logistic'; it must be"),
    ],
)
def test_what_cannot_be(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        SparseMLPClassifier(**SMALL, **given).fit(X, Y)


def test_an_adaptive_learning_rate() -> None:
    model = SparseMLPClassifier(**SMALL, learning_rate="adaptive", early_stopping=True).fit(X, Y)
    assert model.network_.config.optimizer_settings.decay() == (5.0, 0)
    model.set_params(lr_decay=2.0).fit(X, Y)
    assert model.network_.config.optimizer_settings.decay() == (2.0, 0)
    assert SparseMLPClassifier(**SMALL).fit(X, Y).network_.config.optimizer_settings.decay()[0] == 1.0
