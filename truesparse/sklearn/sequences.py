"""What the estimators of sequences of numbers have in common."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_array, check_consistent_length

from truesparse.data import Sequences, SeriesEncoder
from truesparse.data.series_encoder import CLASSIFY, REGRESS, numbered
from truesparse.layers.chain import ChainSpec
from truesparse.modelfile import Encoder
from truesparse.sklearn.base import SparseNetworkEstimator, as_value_error
from truesparse.sklearn.inputs import read_sequences
from truesparse.sklearn.network import Samples
from truesparse.sklearn.targets import refuse_missing
from truesparse.tasks.sequences import SequenceConfig, sequence_chain


class SequenceEstimator(SparseNetworkEstimator):
    """Of sequences of numbers."""

    STORED = (*SparseNetworkEstimator.STORED, "n_features_in_", "feature_names_in_", "layout_", "_width")

    def _read(self, X: Any, reset: bool) -> Sequences:
        """See `read_sequences`."""
        return read_sequences(self, X, reset)

    def _chain(self, config: SequenceConfig, features: int, outputs: int, kind: str) -> ChainSpec:
        """The model for so many features and outputs."""
        return sequence_chain(config, 0, outputs, kind, features)

    def _begin(self, samples: Samples, outputs: int, kind: str, hold_out: bool) -> None:
        """Fit, with some of the samples held out if asked for."""
        config = self._configuration(self.CONFIG)
        with as_value_error():
            chain = self._chain(config, samples.sequences.values.shape[1], outputs, kind)
        stratify = samples.targets if kind == "classifier" else None
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
        return chain, SeriesEncoder(CLASSIFY if labels else REGRESS, features, told), labels

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
    refuse_missing(y)
    if isinstance(estimator, RegressorMixin):
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
    check_consistent_length(sequences, y)
    return sequences, y
