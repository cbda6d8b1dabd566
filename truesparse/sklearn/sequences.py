"""What the estimators of sequences of numbers have in common."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_array, check_consistent_length

from truesparse.data import Sequences, SeriesEncoder
from truesparse.data.series_encoder import CLASSIFY, LABEL_STEPS, REGRESS, REGRESS_STEPS, numbered
from truesparse.errors import UsageError
from truesparse.layers.chain import ChainSpec
from truesparse.modelfile import Encoder
from truesparse.sklearn.base import SparseNetworkEstimator, as_value_error
from truesparse.sklearn.inputs import read_sequences
from truesparse.sklearn.network import Samples
from truesparse.sklearn.targets import refuse_missing
from truesparse.sklearn.weights import counting, sample_weights
from truesparse.tasks.sequences import SequenceConfig, sequence_chain


class SequenceEstimator(SparseNetworkEstimator):
    """Of sequences of numbers."""

    CONFIG: ClassVar[type[SequenceConfig]] = SequenceConfig
    STORED = (
        *SparseNetworkEstimator.STORED,
        *("n_features_in_", "feature_names_in_", "per_step_", "layout_", "_width"),
    )

    per_step_: bool = False

    def _read(self, X: Any, reset: bool) -> Sequences:
        """See `read_sequences`."""
        return read_sequences(self, X, reset)

    def _chain(self, config: SequenceConfig, features: int, outputs: int, kind: str) -> ChainSpec:
        """The model for so many features and outputs."""
        own = {"pooling": ""} if self.per_step_ else {}
        return sequence_chain(config, 0, outputs, kind, features, **own)

    def _begin(self, samples: Samples, outputs: int, kind: str, hold_out: bool) -> None:
        """Fit, with some of the samples held out if asked for."""
        config = self._configuration(self.CONFIG)
        with as_value_error():
            if self.per_step_ and config.pooling != SequenceConfig.fields()["pooling"].default:
                raise UsageError("pooling is for sequences, and y has a target for each step; leave it out")
            chain = self._chain(config, samples.sequences.values.shape[1], outputs, kind)
        stratify = samples.targets if kind == "classifier" and not self.per_step_ else None
        train, valid = self._hold_out(len(samples.sequences), stratify)
        if not hold_out or not valid.size:
            self._fit(config, chain, samples, None, config.epochs if hold_out else 1)
        else:
            self._fit(config, chain, samples.select(train), samples.select(valid), config.epochs)

    def _described(self) -> tuple[ChainSpec, Encoder, list[str]]:
        """With names of the numbers as in files that have none, for the commands."""
        chain, _, labels = super()._described()
        features = numbered("x", chain.features, "value")
        told = numbered("y", 1 if labels else chain.head.outputs, "y")
        goals = (LABEL_STEPS, REGRESS_STEPS) if self.per_step_ else (CLASSIFY, REGRESS)
        return chain, SeriesEncoder(goals[not labels], features, told), labels

    def _samples(
        self, sequences: Sequences, targets: NDArray[Any], weights: NDArray[np.float64] | None
    ) -> Samples:
        """What counts, with the targets of all sequences, or of all steps."""
        if not self.per_step_:
            return counting(Samples(sequences, targets, weights))
        if weights is not None and not weights.all():
            raise ValueError("weights of steps must be above 0; leave sequences of the weight 0 out")
        values = np.ascontiguousarray(targets.T)
        return Samples(sequences, Sequences(values, sequences.starts), weights)

    def _weights(self, sample_weight: Any, sequences: Sequences) -> NDArray[np.float64] | None:
        """How much each sequence counts, or each step, as much as its sequence."""
        weights = sample_weights(sample_weight, len(sequences))
        return weights if weights is None or not self.per_step_ else np.repeat(weights, sequences.lengths)

    def _by_sequence(self, said: NDArray[Any], sequences: Sequences, X: Any) -> Any:
        """What is said of steps: a list if X is one, else an array of shape (n, T, ...)."""
        if not self.per_step_:
            return said
        parts = np.split(said, sequences.starts[1:-1])
        return parts if isinstance(X, (list, tuple)) else np.array(parts)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


def sequences_and_targets(
    estimator: SequenceEstimator, X: Any, y: Any, reset: bool
) -> tuple[Sequences, NDArray[Any]]:
    """Both, checked: as many of one as of the other, and targets that a regressor can take if it is one."""
    name = type(estimator).__name__
    if y is None:
        raise ValueError(f"{name} requires y to be passed, but the target y is None")
    sequences = estimator._read(X, reset)
    regresses = isinstance(estimator, RegressorMixin)
    steps = targets_of_steps(y, sequences, 2 if regresses else 1)
    if not reset and estimator.per_step_ != (steps is not None):
        raise ValueError("y has values of steps in one call, and of sequences in another; pass the same kind")
    estimator.per_step_ = steps is not None
    y = y if steps is None else steps
    refuse_missing(y)
    if regresses:
        try:
            y = check_array(y, dtype=np.float64, ensure_2d=False, input_name="y", estimator=name)
        except OverflowError:
            raise ValueError(
                "y has whole numbers beyond those of float64; divide them by something"
            ) from None
    else:
        y = check_array(
            y, dtype=None, ensure_2d=False, ensure_all_finite=True, input_name="y", estimator=name
        )
    check_consistent_length(sequences, y if steps is None else sequences)
    return sequences, y


def targets_of_steps(y: Any, sequences: Sequences, dimensions: int) -> NDArray[Any] | None:
    """The targets of all steps one after another, where y has as many for each sequence as it has steps, in
    an array of so many `dimensions`; None where it has targets of sequences.

    Raises
    ------
    ValueError
        A sequence has more or fewer of them than steps.
    """
    kind = isinstance(y, (list, tuple)) or (isinstance(y, np.ndarray) and y.ndim == dimensions + 1)
    if not kind or not len(y) or sequences.longest == 1 or np.ndim(y[0]) != dimensions:
        return None
    if dimensions == 1 and isinstance(y, np.ndarray) and y.shape[1] == 1:
        return None  # a column of labels, as scikit-learn takes it
    items = [np.asarray(item) for item in y]
    check_consistent_length(sequences, items)
    for row, (item, steps) in enumerate(zip(items, sequences.lengths, strict=True)):
        if item.ndim != dimensions or len(item) != steps:
            raise ValueError(
                f"row {row:,} of y has the shape {item.shape}, but row {row:,} of X has {steps:,} steps; give"
                " one value for each sequence, or for each step"
            )
    return np.concatenate(items)
