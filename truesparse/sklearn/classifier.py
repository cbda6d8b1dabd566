"""A classifier of sequences of numbers."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.metrics import accuracy_score
from sklearn.utils.validation import check_is_fitted

from truesparse.sklearn.parameters import CLASS_WEIGHT, OWN, with_parameters
from truesparse.sklearn.sequences import SequenceEstimator, sequences_and_targets
from truesparse.sklearn.targets import (
    ClassPredictions,
    classes_of,
    numbers_of_classes,
    read_labels,
    refuse_missing,
    refuse_other_classes,
)
from truesparse.sklearn.weights import refuse_balanced, times_class_weights
from truesparse.tasks.sequences import SequenceConfig


@with_parameters(SequenceConfig, {**CLASS_WEIGHT, **OWN}, without=("embedding_size",))
class SparseLSTMClassifier(ClassPredictions, SequenceEstimator):
    """A truly sparse recurrent network that classifies sequences of numbers.

    Sequences are the rows of an array of shape (n, T), one number a step; of shape (n, T, D), D features a
    step; or the items of a list, which may differ in length. Like other networks it learns best from
    features of mean 0 and variance 1.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    n_features_in_ : int
        Columns of a table; else features of a step.
    layout_ : {"table", "sequences"}
        Whether it was fitted with an array or a frame of shape (n, T).
    per_step_ : bool
        Whether it predicts something for each step, as y did.
    loss_curve_ : list of float
        Mean cross-entropy of each epoch of the last fit, in nats, weighted if samples or classes are, and of
        smoothed labels if they are smoothed.
    validation_scores_ : list of float
        Score of the held-out samples after each epoch, weighted likewise: the accuracy, or the measure of
        `choose_by`; for "loss" minus the cross-entropy.
    n_iter_ : int
        Epochs of the last fit, and calls of `partial_fit` since.
    temperature_ : float
        The divisor of the scores; 1 without `calibrate`.
    nnz_, density_ : int, float
        Weights of the sparse matrices, and which fraction of their positions that is.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse.sklearn import SparseLSTMClassifier
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(0, 2, 200)
    >>> X = np.sin(np.arange(30) * np.where(y, 0.5, 0.6)[:, None] + rng.uniform(0, 6, (200, 1)))
    >>> model = SparseLSTMClassifier(hidden_size=32, density=0.1, random_state=0).fit(X[:150], y[:150])
    >>> model.score(X[150:], y[150:]) > 0.9
    True
    """

    STORED = (*SequenceEstimator.STORED, "classes_")

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train from scratch.

        Parameters
        ----------
        X : array-like of shape (n, T) or (n, T, D), or list of array-likes of shape (T_i,) or (T_i, D)
        y : array-like of shape (n,); or (n, T), or list of array-likes of shape (T_i,)
            Classes of the sequences, or of each of their steps.
        sample_weight : array-like of shape (n,), optional
            How much each sample counts, 0 or more: a batch's loss is ``sum(weight * loss) / sum(weight)``.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            The samples or a parameter are invalid, or the loss is no longer finite. The estimator
            is as before then.
        """
        with self._draft() as draft:
            draft._learn(X, y, sample_weight, None)
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train with one pass over some samples; the topology changes in the first `epochs` passes.

        Parameters
        ----------
        X, y
            As in `fit`.
        classes : array-like, optional
            All the classes there will be; needed in the first call.
        sample_weight : array-like of shape (n,), optional
            As in `fit`.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            As `fit`; also for `classes` that are missing or change, for a class that is none of them, or for
            a `class_weight` of "balanced": how often a class occurs in some samples tells little.
        """
        fitted = hasattr(self, "network_")
        if classes is not None:
            refuse_missing(classes, "classes")
        if not fitted and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit")
        if fitted and classes is not None and not np.array_equal(self.classes_, classes_of(classes)):
            raise ValueError(f"classes are {classes!r}, but they were {self.classes_!r} in the first call")
        refuse_balanced(self.class_weight)
        self._refuse_early_stopping()
        with self._draft() as draft:
            draft._learn(X, y, sample_weight, self.classes_ if fitted else classes_of(classes), fitted)
        return self

    def _learn(self, X: Any, y: Any, sample_weight: Any, classes: Any, again: bool = False) -> None:
        """Fit, or learn once more; without `classes` they are those of y."""
        sequences, y = sequences_and_targets(self, X, y, not again)
        y = read_labels(y)
        once = classes is not None
        found = classes if once else classes_of(y)
        if self._goes_on():
            refuse_other_classes(found, self.classes_)
        self.classes_ = found
        numbers = numbers_of_classes(y, self.classes_)
        weights = self._weights(sample_weight, sequences)
        weights = times_class_weights(weights, self.class_weight, numbers, self.classes_)
        samples = self._samples(sequences, numbers, weights)
        if again:
            self._train_once(samples)
        else:
            self._begin(samples, len(self.classes_), "classifier", hold_out=not once)

    def predict_log_proba(self, X: Any) -> Any:
        """Logarithms of the probabilities of the classes.

        Parameters
        ----------
        X : array-like or list
            As in `fit`.

        Returns
        -------
        ndarray of float32, shape (n, n_classes); of steps (n, T, n_classes), or a list of (T_i, n_classes)
            if X is a list
        """
        check_is_fitted(self)
        sequences = self._read(X, reset=False)
        return self._by_sequence(self._outputs(sequences), sequences, X)

    def predict_proba(self, X: Any) -> Any:
        """Probabilities of the classes; see `predict_log_proba`."""
        said = self.predict_log_proba(X)
        return [np.exp(own) for own in said] if isinstance(said, list) else np.exp(said)

    def predict(self, X: Any) -> Any:
        """The most probable class of each sequence, shape (n,); or of each step, (n, T), or a list of (T_i,)
        if X is one."""
        said = self.predict_log_proba(X)
        if isinstance(said, list):
            return [self.classes_[own.argmax(axis=-1)] for own in said]
        return self.classes_[said.argmax(axis=-1)]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy, of sequences or of their steps; parameters are those of `fit`."""
        if not self.per_step_:
            return float(super().score(X, y, sample_weight))
        sequences = self._read(X, reset=False)
        right, told = (np.concatenate([*some]) for some in (y, self.predict(X)))
        return float(accuracy_score(right, told, sample_weight=self._weights(sample_weight, sequences)))
