"""What the estimators say names parameters, not flags of the command line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn.base", reason="scikit-learn is not installed")

from truesparse.sklearn import SparseLSTMClassifier, SparseLSTMRegressor, SparseTextClassifier

Y = np.arange(12) % 2
SAMPLES: dict[type, tuple[Any, Any]] = {
    SparseLSTMClassifier: (np.eye(12), Y),
    SparseLSTMRegressor: (np.eye(12), Y),
    SparseTextClassifier: (["a b", "c d"] * 6, Y),
}
ODD = (-1, 1.5, float("nan"), "x")
THREADS_AND_SEEDS = {"n_jobs", "random_state", "verbose"}  # of joblib and scikit-learn
TOGETHER = [
    {"er_epsilon": 1e-9, "distribution": "erdos-renyi"},
    {"density": 0.1, "method": "dense"},
    {"density": 0.1, "er_epsilon": 1.0, "distribution": "erdos-renyi"},
    {"depth": 2},
    {"cell": "rhn", "layers": 2},
    {"method": "rigl", "gates": "separate"},
    {"method": "gmp", "update_interval": 1000},
    {"lr": 1e30, "clip": 0.0, "epochs": 20, "optimizer": "sgd"},
]


@pytest.mark.parametrize("kind", SAMPLES)
def test_no_message_names_a_flag(kind: type) -> None:
    small = {"hidden_size": 4, "epochs": 1, "batch_size": 16, "random_state": 0}
    wrong = [{name: value} for name in sorted(set(kind().get_params()) - THREADS_AND_SEEDS) for value in ODD]
    refused = 0
    for given in [*wrong, *TOGETHER]:
        try:
            kind(**{**small, **given}).fit(*SAMPLES[kind])
        except ValueError as error:
            refused += 1
            message = str(error)
            assert "--" not in message, (given, message)
    assert refused > 50
