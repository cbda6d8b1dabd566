"""The task of telling something of sequences of numbers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from truesparse.data import LabelledData, SequenceBatches, Sequences, SeriesEncoder
from truesparse.data.forecast import Windows
from truesparse.data.parts import Examples
from truesparse.data.series import SeriesColumns
from truesparse.data.series_encoder import AUTO, FORECAST
from truesparse.data.series_parts import DIGITS, ForecastData, load_series
from truesparse.data.weights import example_weights, weights_of
from truesparse.errors import UsageError
from truesparse.layers.chain import ChainSpec
from truesparse.layers.output.spec import SquaredError
from truesparse.layers.standardize.spec import Standardize
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
    from truesparse.model.loading import SavedModel


class SeriesLearning(LabelledTask):
    """Telling a label or numbers for each sequence, or for each of its steps.

    Features, and numbers to predict, are standardised by mean and deviation of the training part, which the
    model keeps.

    Parameters
    ----------
    config : SeriesConfig
        Filled in.
    data : LabelledData, optional
        What the configuration names if not given.
    like : ReadsAs, optional
        Has the names, and mean and deviation of what it reads and tells, for data that are read.

    Raises
    ------
    UsageError, TruesparseError
        The data are missing or cannot be read or learned from.
    """

    def __init__(
        self, config: SeriesConfig, data: LabelledData | None = None, like: ReadsAs | None = None
    ) -> None:
        data = data or load_data(config, like)
        encoder, train = data.encoder, _counting(data.parts["train"])
        assert isinstance(encoder, SeriesEncoder)
        self._like = None if config.horizon is not None else like  # a forecast is planned by the data
        chain = self._chain(config, data)
        inputs, labels, _ = train
        weights = self._weights(config, data, train)
        if encoder.per_step:
            inputs, labels = pieces(inputs, config.length), pieces(labels, config.length)
        batches = SequenceBatches(inputs, labels, config.batch_size, config.seed, weights)
        super().__init__(config, chain, batches, data)
        self.data, self._encoder = data, encoder
        self.longest = max(batches.longest, self._steps(data.parts["valid"]))
        self.chosen_by = chosen_by(config.choose_by if encoder.labels else "loss")

    def _chain(self, config: SeriesConfig, data: LabelledData) -> ChainSpec:
        """The model for some data."""
        encoder, train = data.encoder, _counting(data.parts["train"])
        assert isinstance(encoder, SeriesEncoder)
        more: dict[str, Any] = {"pooling": ""} if encoder.per_step else {}
        if encoder.per_step and config.pooling != type(config).fields()["pooling"].default:
            raise UsageError("--pooling is for sequences, and each step has an output here; leave it out")
        more |= scales(train, encoder) if self._like is None else scales_of(self._like.chain)
        outputs = len(data.labels) or len(encoder.told)
        kind = "classifier" if encoder.labels else "regressor"
        return sequence_chain(config, 0, outputs, kind, len(encoder.read), **more)

    @staticmethod
    def _weights(config: SeriesConfig, data: LabelledData, train: Examples) -> NDArray[np.float64] | None:
        """How much sequences or steps count in training, the most 1; None if all count the same."""
        if not data.labels:
            _refuse_settings_of_labels(config)
            own = train.weights
            return None if own is None else example_weights(np.ones(1), np.zeros(len(own), np.int32), own)
        weights = weights_of(config.class_weight, _right(train), data.labels, train.weights)
        if weights is not None and not weights.all():
            raise UsageError(
                "--class-weight is 0 for a label; give it a weight above 0, or take it out of the data"
            )
        return weights

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

    def finish(self, model: Model, test: bool, stop: Callable[[], bool]) -> tuple[Model, Measures]:
        """See `Task.finish`. With `refit` the linear part of forecasts is fitted once more, to the last steps
        too that the model was chosen by; one that came with another model stays, and none stays none."""
        data, config = self.data, self.config
        assert isinstance(config, SeriesConfig)
        if not (isinstance(data, ForecastData) and config.refit) or config.start_values == "last":
            return super().finish(model, test, stop)
        data = data.refitted()
        if data.encoder == self._encoder:
            return model, {}
        assert isinstance(data.encoder, SeriesEncoder)
        self.data, self._encoder = data, data.encoder
        self.reading["encoder"] = data.encoder
        return model, {"refit": True}

    def reads_like(self, saved: SavedModel) -> bool:
        """See `Task.reads_like`. The linear part of a forecaster is made of the data, and `finish` makes it
        anew; a checkpoint's is compared with the data that it makes."""
        mine, theirs = (
            replace(encoder, linear=()) if isinstance(encoder, SeriesEncoder) else encoder
            for encoder in (self._encoder, saved.encoder)
        )
        return mine == theirs and saved.labels == self.reading["labels"]

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


def _counting(train: Examples) -> Examples:
    """What is trained on, without sequences of the weight 0.

    Raises
    ------
    UsageError
        A step has that weight.
    """
    inputs, labels, weights = train
    if weights is None or weights.all():
        return train
    if isinstance(labels, Sequences):
        raise UsageError(
            "--weight-column has 0 for a step, and each step of a sequence is learned from; give it a small"
            " weight"
        )
    counts = np.flatnonzero(weights)
    return Examples(inputs.select(counts), labels[..., counts], weights[counts])


def _right(examples: Examples) -> NDArray[Any]:
    """What is right, as numbers of labels, or as numbers of shape (K, n)."""
    labels = examples.labels
    return labels.values.T if isinstance(labels, Sequences) else labels


def scales(train: Examples, encoder: SeriesEncoder) -> dict[str, tuple[float, ...]]:
    """Mean and deviation of the inputs and of predicted numbers: what `sequence_model` takes."""
    found = dict(
        zip(("feature_mean", "feature_scale"), scaling(train.inputs.values, encoder.read), strict=True)
    )
    if not encoder.labels:
        right = train.labels.values if encoder.per_step else train.labels.T
        found |= zip(("target_mean", "target_scale"), scaling(right, encoder.told), strict=True)
    return found


def scales_of(chain: ChainSpec) -> dict[str, tuple[float, ...]]:
    """The same of a model, which may have none."""
    found: dict[str, tuple[float, ...]] = {}
    for layer in chain.layers:
        if isinstance(layer, Standardize):
            found |= {"feature_mean": layer.mean, "feature_scale": layer.scale}
        if isinstance(layer, SquaredError):
            found |= {"target_mean": layer.mean, "target_scale": layer.scale}
    return found


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
    """Read the data that a configuration names, with the names of a model, or the linear part of a
    forecaster, if one is given; raises as `load_series`, and if it names none."""
    if config.data is None and not config.FLAT:
        raise UsageError(
            "--data is missing; give a CSV, NPZ, .ts or Parquet file, or a folder with train.csv"
        )
    encoder = getattr(like, "encoder", None)
    encoder = encoder if isinstance(encoder, SeriesEncoder) else None
    goal = encoder.goal if encoder is not None and config.goal == AUTO else config.goal
    columns = SeriesColumns(
        goal if config.horizon is None else FORECAST,
        config.target_column,
        config.id_column,
        config.time_column,
        config.known_columns,
        config.horizon or 0,
        config.lookback or 0,
        config.season or 0,
        weight=config.weight_column or "",
        flat=config.FLAT,
    )
    path = DIGITS if config.data is None else Path(config.data)
    parted = config.valid_fraction, config.test_fraction, config.seed
    linear = None if encoder is None else encoder.linear
    return load_series(path, columns, *parted, linear, encoder, () if like is None else like.labels)
