"""The checks that scikit-learn has for all estimators."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("sklearn.base", reason="scikit-learn is not installed")

from sklearn.utils.estimator_checks import parametrize_with_checks

from truesparse.sklearn import (
    SparseLSTMClassifier,
    SparseLSTMRegressor,
    SparseMLPClassifier,
    SparseMLPRegressor,
    SparseTextClassifier,
)

# As of all estimators that learn in batches, scikit-learn's own included: a sample that is repeated shares
# batches with others, so the last digits differ. tests/sklearn/test_weights.py compares what can be compared.
BATCHES = {
    "check_sample_weight_equivalence_on_dense_data": "a weight of 2 is a repeated sample but for the batches"
}
SHARED = {"batch_size": 16}  # whose kernels other tests compile too


@parametrize_with_checks(
    [
        SparseLSTMClassifier(random_state=0, **SHARED),
        SparseLSTMRegressor(random_state=0, **SHARED),
        SparseTextClassifier(random_state=0, **SHARED),
        SparseMLPClassifier(random_state=0),
        SparseMLPRegressor(random_state=0),
    ],
    expected_failed_checks=lambda estimator: BATCHES,
)
def test_estimator(estimator: Any, check: Any) -> None:
    check(estimator)
