"""The estimators' parameters are the settings of a configuration."""

from __future__ import annotations

import inspect
import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn.base", reason="scikit-learn is not installed")

from truesparse.sklearn import SparseLSTMClassifier, SparseLSTMRegressor, SparseTextClassifier
from truesparse.sklearn.parameters import CLASS_WEIGHT, OWN
from truesparse.tasks.classifier.settings import ClassifierConfig
from truesparse.tasks.sequences import SequenceConfig
from truesparse.topology import Method, cosine

ESTIMATORS = {
    SparseLSTMClassifier: SequenceConfig,
    SparseLSTMRegressor: SequenceConfig,
    SparseTextClassifier: ClassifierConfig,
}


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_parameter_is_described_and_is_a_setting_or_an_own_one(estimator):
    names = list(inspect.signature(estimator).parameters)
    assert sorted(names) == estimator._get_param_names()
    assert set(names) <= ESTIMATORS[estimator].fields().keys() | OWN.keys() | CLASS_WEIGHT.keys()
    assert {"pattern", "momentum", "update_end", "dropout_hidden", "importance", "output"} <= set(names)
    assert "nonmonotone" not in names  # of optimizers that an estimator cannot have
    for name in names:
        assert f"\n    {name} : " in estimator.__doc__
    assert "--" not in estimator.__doc__.split("Attributes\n")[0].replace("----------", "")


def test_an_unknown_parameter_is_a_type_error():
    with pytest.raises(TypeError, match="SparseLSTMRegressor has no parameter 'hiden_size'"):
        SparseLSTMRegressor(hiden_size=3)


def test_the_learning_rate_falls_from_an_epoch_on():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 5)), rng.normal(size=20)
    settings = {"hidden_size": 4, "epochs": 5, "lr": 0.08, "lr_decay": 2.0, "random_state": 0}
    plain = SparseLSTMRegressor(**settings).fit(X, y)
    falling = SparseLSTMRegressor(lr_decay_start=3, **settings).fit(X, y)
    assert plain.network_.training.optimizer.lr == 0.08
    assert falling.network_.training.optimizer.lr == 0.01  # halved after the epochs 3, 4 and 5
    assert plain.loss_curve_[:3] == falling.loss_curve_[:3]
    assert plain.loss_curve_[3:] != falling.loss_curve_[3:]


def test_a_method_of_ones_own_is_pickled_with_its_rules_and_defaults():
    method = Method(
        "mine", "what I want", "smallest_magnitude", schedule=cosine, defaults={"drop_fraction": 0.25}
    )
    copy = pickle.loads(pickle.dumps(method))
    assert (copy.name, copy.drop, copy.defaults) == ("mine", "smallest_magnitude", {"drop_fraction": 0.25})
    assert copy.with_settings(drop_fraction=0.5).defaults == {"drop_fraction": 0.5}
