"""The checks that scikit-learn has for all estimators."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("sklearn.base", reason="scikit-learn is not installed")

from sklearn.utils.estimator_checks import parametrize_with_checks

from truesparse.sklearn import SparseLSTMClassifier, SparseLSTMRegressor, SparseTextClassifier


@parametrize_with_checks(
    [
        SparseLSTMClassifier(random_state=0),
        SparseLSTMRegressor(random_state=0),
        SparseTextClassifier(random_state=0),
    ]
)
def test_estimator(estimator: Any, check: Any) -> None:
    check(estimator)
