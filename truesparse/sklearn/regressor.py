"""A regressor of sequences of numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from truesparse.layers.chain import ChainSpec
from truesparse.layers.output.spec import SquaredError
from truesparse.modelfile import Encoder
from truesparse.sklearn.network import Samples
from truesparse.sklearn.parameters import with_parameters
from truesparse.sklearn.sequences import SequenceEstimator, sequences_and_targets
from truesparse.tasks.sequences import SequenceConfig

if TYPE_CHECKING:
    from truesparse.model import Model

# Of targets: what is beyond leaves predictions no room before infinity, or has few digits.
_LARGEST, _SMALLEST = 1e300, 1e-290


@with_parameters(SequenceConfig, without=("embedding_size", "choose_by", "label_smoothing", "calibrate"))
class SparseLSTMRegressor(RegressorMixin, SequenceEstimator):
    """A truly sparse recurrent network that predicts numbers from sequences of numbers.

    In training, the targets are scaled to mean 0 and variance 1.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    n_features_in_, layout_, per_step_, n_iter_, nnz_, density_
        As in `SparseLSTMClassifier`.
    loss_curve_ : list of float
        Half the mean squared error of each epoch, in units of the targets' variances, weighted if samples
        are.
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

    STORED = (*SequenceEstimator.STORED, "_target_shape")

    _target_shape: tuple[int, ...]

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train from scratch.

        Parameters
        ----------
        X : array-like of shape (n, T) or (n, T, D), or list of array-likes of shape (T_i,) or (T_i, D)
        y : array-like of shape (n,) or (n, n_outputs); or (n, T, n_outputs), or list of (T_i, n_outputs)
            Targets of the sequences, or of each of their steps.
        sample_weight : array-like of shape (n,), optional
            How much each sample counts, 0 or more, in the loss and in mean and variance of the targets: a
            batch's loss is ``sum(weight * loss) / sum(weight)``.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            The samples or a parameter are invalid, or the loss is no longer finite. The estimator is
            as before then.
        """
        with self._draft() as draft:
            draft._learn(X, y, sample_weight, again=False, hold_out=True)
        return self

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train with one pass over some samples; the topology changes in the first `epochs` passes.

        Mean and variance of the targets are taken from the first call.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            As `fit`; also for targets too far from those of the first call.
        """
        self._refuse_early_stopping()
        with self._draft() as draft:
            draft._learn(X, y, sample_weight, again=hasattr(self, "network_"), hold_out=False)
        return self

    def _learn(self, X: Any, y: Any, sample_weight: Any, again: bool, hold_out: bool) -> None:
        """Fit, or learn once more."""
        sequences, y = sequences_and_targets(self, X, y, not again)
        weights = self._weights(sample_weight, sequences)
        scaled = again or self._goes_on()  # as the model that learns on has it
        if scaled and y.shape[1:] != self._target_shape:
            raise ValueError(
                f"y has the shape {y.shape}, but in the first call it was (n, *{self._target_shape})"
            )
        if not scaled:
            self._target_shape = y.shape[1:]
            self._scale(y, weights)
        samples = self._samples(sequences, self._scaled(y), weights)
        if again:
            self._train_once(samples)
        else:
            self._begin(samples, self._mean.size, "regressor", hold_out)

    def predict(self, X: Any) -> Any:
        """Numbers of each sequence, or of each step.

        Parameters
        ----------
        X : array-like or list
            As in `fit`.

        Returns
        -------
        ndarray of float64, shape (n,) or (n, n_outputs)
            As `fit` was given; of steps (n, T, n_outputs), or a list of (T_i, n_outputs) if X is a list.
        """
        check_is_fitted(self)
        sequences = self._read(X, reset=False)
        outputs = self._outputs(sequences).astype(np.float64)
        told = (outputs * self._deviation + self._mean).reshape(len(outputs), *self._target_shape)
        return self._by_sequence(told, sequences, X)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R², the coefficient of determination, of the predictions.

        Parameters
        ----------
        X : array-like or list
            As in `fit`.
        y : array-like or list
            True numbers, as in `fit`.
        sample_weight : array-like of shape (n,), optional

        Returns
        -------
        float
            1 at best; 0 for what the mean of `y` would do. Of several outputs, the mean.
        """
        predicted, true = self.predict(X), y
        if self.per_step_:
            sample_weight = self._weights(sample_weight, self._read(X, reset=False))
            predicted, true = (np.concatenate([*some]) for some in (predicted, y))
        true = np.asarray(true, np.float64)
        exponent = _exponent(true)  # as in `_scale`
        return float(
            r2_score(np.ldexp(true, -exponent), np.ldexp(predicted, -exponent), sample_weight=sample_weight)
        )

    def _scale(self, y: NDArray[np.float64], weights: NDArray[np.float64] | None) -> None:
        """Remember mean and deviation of the targets."""
        columns = y.reshape(len(y), -1)
        largest = np.abs(columns).max(axis=0)
        if ((largest > _LARGEST) | (largest > 0) & (largest < _SMALLEST)).any():
            raise ValueError(
                f"y has numbers of the size of {largest.max():.0e}; bring them between {_SMALLEST:g} and"
                f" {_LARGEST:g}, multiplied or divided by something"
            )
        exponent = _exponent(columns, axis=0)  # squares of very large and very small numbers are none
        columns = np.ldexp(columns, -exponent)
        mean = np.average(columns, axis=0, weights=weights)
        deviation = np.sqrt(np.average((columns - mean) ** 2, axis=0, weights=weights))
        self._mean = np.ldexp(mean, exponent)
        self._deviation = np.where(deviation > 0, np.ldexp(deviation, exponent), 1.0)

    def _scaled(self, y: NDArray[np.float64]) -> NDArray[np.float32]:
        with np.errstate(over="ignore"):  # refused below
            columns = (y.reshape(len(y), -1) - self._mean) / self._deviation
            targets = np.ascontiguousarray(columns.T, np.float32)
        wrong = ~np.isfinite(targets).all(axis=0)
        if wrong.any():
            raise ValueError(
                f"row {int(wrong.argmax()):,} of y is too far from the targets of the first call, whose mean"
                " and deviation stay; fit anew"
            )
        return targets

    def _score_of(self, outputs: NDArray[np.float32], samples: Samples) -> tuple[float, ...]:
        squares = (outputs.T - samples.right) ** 2
        if samples.weights is None:
            return (-float(np.mean(squares)),)
        return (-float(np.average(squares.mean(axis=0), weights=samples.weights)),)

    def _described(self) -> tuple[ChainSpec, Encoder, list[str]]:
        """The head predicts the numbers in their own units."""
        chain, encoder, _ = super()._described()
        *layers, head = chain.layers
        assert isinstance(head, SquaredError)
        own = replace(head, mean=tuple(self._mean.tolist()), scale=tuple(self._deviation.tolist()))
        return ChainSpec(*layers, own, features=chain.features), encoder, []

    def _restore(self, model: Model) -> None:
        from truesparse.model import Model

        *layers, head = model.chain.layers
        if not isinstance(head, SquaredError) or not head.mean:
            raise ValueError("its model says no numbers with a mean and a scale")
        self._mean, self._deviation = np.array(head.mean), np.array(head.scale)
        self._target_shape = tuple(self._target_shape)
        chain = ChainSpec(*layers, replace(head, mean=(), scale=()), features=model.chain.features)
        super()._restore(Model(chain, model.arena))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _exponent(numbers: NDArray[np.float64], axis: int | None = None) -> NDArray[np.int32]:
    """The power of two just above the largest of numbers."""
    return np.frexp(np.abs(numbers).max(axis=axis))[1]
