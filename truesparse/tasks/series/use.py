"""Measuring a saved model of sequences of numbers, and what it says of others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.data import Sequences, SeriesEncoder
from truesparse.data.forecast import Windows
from truesparse.data.parts import Examples
from truesparse.data.series import Series, SeriesColumns
from truesparse.data.series_parts import ROWS, SERIES
from truesparse.model.loading import SavedModel
from truesparse.modelfile import StoredModel, scores_overflow
from truesparse.tasks.classifier.use import ClassifierEvaluation
from truesparse.tasks.labelled import examples_to_measure
from truesparse.tasks.registry import task_of
from truesparse.tasks.rundata import LARGEST_BATCH
from truesparse.tasks.series.measures import Estimated, measure
from truesparse.tasks.series.settings import reads_rows
from truesparse.tasks.steps import outputs, steps_at_once
from truesparse.training.task import Evaluated


@dataclass(frozen=True)
class SeriesEvaluation:
    """How a model has estimated numbers that are known.

    Attributes
    ----------
    names : tuple of str
        Of the numbers.
    estimated : Estimated
    """

    names: tuple[str, ...]
    estimated: Estimated

    def values(self) -> dict[str, Any]:
        """See `Evaluated.values`."""
        return {**self.estimated.measures, "targets": self._each()}

    def _each(self) -> dict[str, dict[str, float]]:
        each = self.estimated.each()
        return {name: {key: float(v[k]) for key, v in each.items()} for k, name in enumerate(self.names)}

    def summary(self) -> str:
        """See `Evaluated.summary`."""
        measures, counted = self.estimated.measures, self.estimated.counted
        return (
            f"RMSE {measures['rmse']:.6g}, MAE {measures['mae']:.6g}, R² {measures['r2']:.4f} (loss"
            f" {measures['loss']:.4f} over {self.estimated.count:,} {counted})"
        )

    def table(self) -> list[list[str]]:
        """A row for each number, if there are several."""
        if len(self.names) == 1:
            return []
        rows = [[name, *(f"{value:.6g}" for value in own.values())] for name, own in self._each().items()]
        return [["target", "RMSE", "MAE", "R²"], *rows]


def encoder_of(saved: SavedModel | StoredModel) -> SeriesEncoder:
    """How a model of the task reads."""
    assert isinstance(saved.encoder, SeriesEncoder)
    return saved.encoder


def columns_of(saved: SavedModel | StoredModel, **given: str) -> SeriesColumns:
    """Which columns a file has, as in training if not given."""
    names = {name: getattr(saved.data, name) for name in ("target_column", "id_column", "time_column")}
    encoder = encoder_of(saved)
    target, id, time = (names | given).values()
    weight = saved.data.weight_column
    return SeriesColumns(
        encoder.goal, target, id, time, encoder=encoder, weight=weight, flat=reads_rows(saved)
    )


def examples_of(
    saved: SavedModel | StoredModel, data: Path | None, split: str | None, **columns: str
) -> tuple[Series, Examples]:
    """See `examples_to_measure`."""
    kind = ROWS if reads_rows(saved) else SERIES
    return examples_to_measure(saved, data, split, task_of(saved), kind, columns_of(saved, **columns))


def evaluate(saved: SavedModel, data: Path | None, split: str | None, **columns: str) -> Evaluated:
    """See `truesparse.tasks.use.evaluate_file`."""
    encoder = encoder_of(saved)
    _, examples = examples_of(saved, data, split, **columns)
    size = min(saved.data.batch_size, LARGEST_BATCH, len(examples.inputs))
    workspace = saved.model.workspace(steps_at_once(saved.model.chain, examples.inputs, "sequence"), size)
    measured = measure(saved.model, examples, encoder, workspace)
    if isinstance(measured, Estimated):
        return SeriesEvaluation(encoder.targets, measured)
    return ClassifierEvaluation(saved.labels, measured)


class SavedSeriesModel:
    """A trained model, for sequences of which nobody knows more.

    Parameters
    ----------
    saved : SavedModel

    Raises
    ------
    TruesparseError
        A weight is not finite.
    """

    def __init__(self, saved: SavedModel) -> None:
        saved.check_finite()
        self._saved = saved

    def predict(self, sequences: Sequences) -> NDArray[np.float32]:
        """What it tells of sequences, or of all their steps: probabilities of labels, or numbers.

        Returns
        -------
        ndarray of float32, shape (sequences or steps, outputs)

        Raises
        ------
        TruesparseError
            They are not finite.
        """
        encoder, model = encoder_of(self._saved), self._saved.model
        size = min(self._saved.data.batch_size, LARGEST_BATCH, len(sequences))
        workspace = model.workspace(steps_at_once(model.chain, sequences, "sequence"), size)
        said = outputs(model, sequences, workspace)
        said = np.exp(said) if encoder.labels else said
        if isinstance(sequences, Windows):
            said = said + sequences.simple.T.astype(np.float32)
        if not np.isfinite(said).all():
            raise scores_overflow(self._saved.path)
        return said
