"""A regressor of sequences of numbers."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from truesparse.sklearn.inputs import read_sequences
from truesparse.sklearn.sequences import SequenceEstimator, samples


class SparseLSTMRegressor(RegressorMixin, SequenceEstimator):
    """A truly sparse recurrent network that tells numbers of a sequence of numbers.

    Targets are brought to mean 0 and variance 1 while it learns.

    Parameters
    ----------
    hidden_size, layers, cell, depth, pooling, density, distribution, er_epsilon, gates, method
        As in `SparseLSTMClassifier`, as are all the others.
    drop_fraction, update_interval, optimizer, lr, lr_decay, weight_decay, clip, epochs, batch_size, dropout
        The same.
    validation_fraction, random_state, n_jobs, verbose
        The same.

    Attributes
    ----------
    n_features_in_, layout_, nnz_, density_
        As in `SparseLSTMClassifier`.
    loss_curve_ : list of float
        Half the mean squared error of each epoch, in units of the targets' variances.
    validation_scores_ : list of float
        Minus the mean squared error on what was held out, in the same units, after each epoch.

    Examples
    --------
    >>> import numpy as np
    >>> from truesparse.sklearn import SparseLSTMRegressor
    >>> rng = np.random.default_rng(0)
    >>> waves = np.sin(0.3 * np.arange(21) + rng.uniform(0, 6, (300, 1)))
    >>> model = SparseLSTMRegressor(hidden_size=32, random_state=0).fit(waves[:250, :-1], waves[:250, -1])
    >>> model.score(waves[250:, :-1], waves[250:, -1]) > 0.9  # the next number of a sine wave
    True
    """

    def fit(self, X: Any, y: Any) -> Self:
        """Train anew.

        Parameters
        ----------
        X : array-like of shape (n, T) or (n, T, D), or list of array-likes of shape (T_i,) or (T_i, D)
        y : array-like of shape (n,) or (n, n_outputs)
            Numbers.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            The samples or a parameter cannot be right, or the loss is not finite any more.
        """
        sequences, y = samples(self, X, y, True)
        self._target_shape = y.shape[1:]
        self._scale(y)
        targets = self._scaled(y)
        return self._begin(sequences, targets, len(targets), "regressor", hold_out=True)

    def partial_fit(self, X: Any, y: Any) -> Self:
        """Train with one pass over some samples; the topology changes in the first `epochs` passes.

        Mean and variance of the targets are taken from the first call.

        Parameters
        ----------
        X, y
            As in `fit`.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            As `fit`.
        """
        again = hasattr(self, "network_")
        sequences, y = samples(self, X, y, not again)
        if not again:
            self._target_shape = y.shape[1:]
            self._scale(y)
        elif y.shape[1:] != self._target_shape:
            raise ValueError(
                f"y has the shape {y.shape}, but in the first call it was (n, *{self._target_shape})"
            )
        targets = self._scaled(y)
        if again:
            return self._train_once(sequences, targets)
        return self._begin(sequences, targets, len(targets), "regressor", hold_out=False)

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Numbers of each sequence.

        Parameters
        ----------
        X : array-like or list
            As in `fit`.

        Returns
        -------
        ndarray of float64, shape (n,) or (n, n_outputs)
            As `fit` was given.
        """
        check_is_fitted(self)
        outputs = self._outputs(read_sequences(self, X, reset=False)).astype(np.float64)
        return (outputs * self._deviation + self._mean).reshape(len(outputs), *self._target_shape)

    def _scale(self, y: NDArray[np.float64]) -> None:
        """Remember mean and deviation of the targets."""
        columns = y.reshape(len(y), -1)
        self._mean = columns.mean(axis=0)
        deviation = columns.std(axis=0)
        self._deviation = np.where(deviation > 0, deviation, 1.0)

    def _scaled(self, y: NDArray[np.float64]) -> NDArray[np.float32]:
        columns = (y.reshape(len(y), -1) - self._mean) / self._deviation
        return np.ascontiguousarray(columns.T, np.float32)

    def _score_of(self, outputs: NDArray[np.float32], targets: NDArray[Any]) -> tuple[float, ...]:
        return (-float(np.mean((outputs.T - targets) ** 2)),)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
