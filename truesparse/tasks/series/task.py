"""The task of telling something of sequences of numbers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from truesparse.data import LabelledData, SequenceBatches, Sequences, SeriesEncoder
from truesparse.data.forecast import Windows
from truesparse.data.parts import Examples
from truesparse.data.series import SeriesColumns
from truesparse.data.series_encoder import FORECAST
from truesparse.data.series_parts import DIGITS, load_series
from truesparse.data.weights import weights_of
from truesparse.errors import UsageError
from truesparse.layers.chain import ChainSpec
from truesparse.settings import flag, joined
from truesparse.tasks.label_settings import chosen_by
from truesparse.tasks.labelled import LabelledTask
from truesparse.tasks.sequences import sequence_chain
from truesparse.tasks.series.measures import Estimated, measure
from truesparse.tasks.series.settings import SeriesConfig
from truesparse.tasks.steps import outputs, pieces, steps_at_once
from truesparse.training.task import Measures, ReadsAs, Workspaces

if TYPE_CHECKING:
    from truesparse.model import Model


class SeriesLearning(LabelledTask):
    """Telling a label or numbers for each sequence, or for each of its steps.

    Features, and numbers to be told, are standardised by mean and deviation of the training part, which the
    model keeps.

    Parameters
    ----------
    config : SeriesConfig
        Filled in.
    data : LabelledData, optional
        What the configuration names if not given.

    Raises
    ------
    UsageError, TruesparseError
        The data are missing or cannot be read or learned from.
    """

    def __init__(self, config: SeriesConfig, data: LabelledData | None = None) -> None:
        data = data or load_data(config)
        encoder, train = data.encoder, data.parts["train"]
        assert isinstance(encoder, SeriesEncoder)
        chain = self._chain(config, data)
        inputs, labels, _ = train
        weights = None
        if encoder.labels:
            weights = weights_of(config.class_weight, _right(train), data.labels)
            if weights is not None and not weights.all():
                raise UsageError(
                    "--class-weight is 0 for a label; give it a weight above 0, or take it out of the data"
                )
        else:
            _refuse_settings_of_labels(config)
        if encoder.per_step:
            inputs, labels = pieces(inputs, config.length), pieces(labels, config.length)
        batches = SequenceBatches(inputs, labels, config.batch_size, config.seed, weights)
        super().__init__(config, chain, batches, data)
        self.data, self._encoder = data, encoder
        self.longest = max(batches.longest, self._steps(data.parts["valid"]))
        self.chosen_by = chosen_by(config.choose_by if encoder.labels else "loss")

    def _chain(self, config: SeriesConfig, data: LabelledData) -> ChainSpec:
        """The model for some data."""
        encoder, train = data.encoder, data.parts["train"]
        assert isinstance(encoder, SeriesEncoder)
        more: dict[str, Any] = {"pooling": ""} if encoder.per_step else {}
        more["feature_mean"], more["feature_scale"] = scaling(train.inputs.values, encoder.read)
        if not encoder.labels:
            right = train.labels.values if encoder.per_step else train.labels.T
            more["target_mean"], more["target_scale"] = scaling(right, encoder.told)
        outputs = len(data.labels) or len(more["target_mean"])
        kind = "classifier" if encoder.labels else "regressor"
        return sequence_chain(config, 0, outputs, kind, len(encoder.read), **more)

    def _steps(self, part: Examples) -> int:
        """How many steps a workspace must have to measure a part."""
        return steps_at_once(self.chain, part.inputs, "sequence")

    def evaluate(
        self, model: Model, part: str, workspaces: Workspaces, stop: Callable[[], bool] = lambda: False
    ) -> Measures:
        """See `Task.evaluate`; also `accuracy` and `macro_f1`, or `rmse`, `mae` and `r2`; and how many
        `sequences` or `steps`."""
        examples = self.data.parts[part]
        workspace = workspaces(self._steps(examples), self.config.batch_size // self.communicator.size)
        return measure(model, examples, self._encoder, workspace, stop, self.communicator).measures

    def log_probabilities(
        self, model: Model, part: str, stop: Callable[[], bool]
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """See `LabelledTask.log_probabilities`."""
        examples = self.data.parts[part]
        workspace = model.workspace(self._steps(examples), self.config.batch_size)
        return outputs(model, examples.inputs, workspace, stop), _right(examples)

    def results(self, valid: Measures, test: Measures) -> Measures:
        """What was measured, and the same measures of telling always the most frequent label, or
        the mean, or of the seasonal naive forecast and of the linear part alone."""
        inputs = self.data.parts["test"].inputs
        train, tested = (_right(self.data.parts[part]) for part in ("train", "test"))
        if self._encoder.labels:
            return {
                "valid_accuracy": valid["accuracy"],
                "test_accuracy": test["accuracy"],
                "test_macro_f1": test["macro_f1"],
                "majority_accuracy": float(np.mean(tested == np.bincount(train).argmax())),
            }
        simple, name = np.broadcast_to(train.mean(axis=1, dtype=np.float64)[:, None], tested.shape), "mean"
        if isinstance(inputs, Windows):
            simple, name, tested = inputs.naive, "naive", tested + inputs.simple
        baselines = {name: simple}
        if isinstance(inputs, Windows) and self._encoder.linear:
            baselines["linear"] = inputs.simple
        horizon, ones = self._encoder.horizon or 1, np.ones(len(tested))
        measured = {
            name: Estimated.of(own, tested, ones, "", horizon).measures for name, own in baselines.items()
        }
        return {
            "valid_rmse": valid["rmse"],
            **{f"test_{measure}": test[measure] for measure in ("rmse", "mae", "r2")},
            **{f"{name}_{key}": own[key] for name, own in measured.items() for key in ("rmse", "mae")},
            **({"season": self._encoder.season} if isinstance(inputs, Windows) else {}),
        }


def _refuse_settings_of_labels(config: SeriesConfig) -> None:
    """Raise UsageError for what has a meaning for labels only."""
    for name in ("class_weight", "choose_by", "label_smoothing", "calibrate"):
        if getattr(config, name) != type(config).fields()[name].default:
            raise UsageError(f"{flag(name)} is for labels, but this model predicts numbers; leave it out")


def _right(examples: Examples) -> NDArray[Any]:
    """What is right, as numbers of labels, or as numbers of shape (K, n)."""
    labels = examples.labels
    return labels.values.T if isinstance(labels, Sequences) else labels


def scaling(values: NDArray[Any], names: Sequence[str]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each column; the deviation of one that is constant counts as 1.

    A warning tells of these.

    Parameters
    ----------
    values : ndarray of float, shape (n, columns)
    names : sequence of str
        Of the columns.
    """
    mean, scale = values.mean(axis=0, dtype=np.float64), values.std(axis=0, dtype=np.float64)
    constant = np.ptp(values, axis=0) == 0
    if constant.any():
        lost = [name for name, still in zip(names, constant, strict=False) if still]
        warnings.warn(
            f"{joined(map(repr, lost), 'and')} {'is' if len(lost) == 1 else 'are'} the same at all training"
            " steps, so nothing can be learned from it",
            stacklevel=2,
        )
    return tuple(mean.tolist()), tuple(np.where(constant, 1.0, scale).tolist())


def load_data(config: SeriesConfig, like: ReadsAs | None = None) -> LabelledData:
    """Read the data that a configuration names, with the linear part of a model if one is given; raises as
    `load_series`, and if it names none."""
    if config.data is None and not config.FLAT:
        raise UsageError(
            "--data is missing; give a CSV, NPZ, .ts or Parquet file, or a folder with train.csv"
        )
    columns = SeriesColumns(
        config.goal if config.horizon is None else FORECAST,
        config.target_column,
        config.id_column,
        config.time_column,
        config.known_columns,
        config.horizon or 0,
        config.lookback or 0,
        config.season or 0,
        flat=config.FLAT,
    )
    path = DIGITS if config.data is None else Path(config.data)
    encoder = getattr(like, "encoder", None)
    linear = encoder.linear if isinstance(encoder, SeriesEncoder) else None
    parted = config.valid_fraction, config.test_fraction, config.seed
    return load_series(path, columns, *parted, linear)
