"""Estimators for scikit-learn: classifiers and regressors of sequences and of rows, forecasters,
classifiers of texts, taggers.

They need the extra `sklearn`. Nothing is compiled before the first ``fit``.
"""

try:
    import sklearn.base  # noqa: F401
except ImportError:
    raise ImportError(
        'truesparse.sklearn needs scikit-learn; install it with: pip install "truesparse[sklearn]"'
    ) from None

from truesparse.sklearn.classifier import SparseLSTMClassifier
from truesparse.sklearn.forecaster import SparseLSTMForecaster
from truesparse.sklearn.mlp import SparseMLPClassifier, SparseMLPRegressor
from truesparse.sklearn.regressor import SparseLSTMRegressor
from truesparse.sklearn.tagger import SparseTagger
from truesparse.sklearn.text import SparseTextClassifier

__all__ = [
    "SparseLSTMClassifier",
    "SparseLSTMForecaster",
    "SparseLSTMRegressor",
    "SparseMLPClassifier",
    "SparseMLPRegressor",
    "SparseTagger",
    "SparseTextClassifier",
]
