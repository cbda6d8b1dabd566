"""How well a model tells labels or numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from truesparse.data import Sequences, SeriesEncoder
from truesparse.data.forecast import Windows
from truesparse.data.parts import Examples
from truesparse.layers.output.spec import SquaredError
from truesparse.tasks.classifier.task import Classified
from truesparse.tasks.steps import outputs
from truesparse.training.communicator import SERIAL, Communicator
from truesparse.training.task import Measures

if TYPE_CHECKING:
    from truesparse.model import Model, Workspace


@dataclass(frozen=True)
class Estimated:
    """How a model has estimated numbers.

    Attributes
    ----------
    loss : float
        Mean half squared error of a sequence or step, in the units that the model learns in, summed over its
        numbers.
    errors : ndarray of float64, shape (K, n)
        Prediction minus target, for each number; of a forecast at all next steps.
    variances : ndarray of float64, shape (K,)
        Of what is right.
    count : int
    counted : str
        Of how many sequences, steps or forecasts.
    """

    loss: float
    errors: NDArray[np.float64]
    variances: NDArray[np.float64]
    count: int
    counted: str

    @classmethod
    def of(
        cls,
        told: NDArray[Any],
        right: NDArray[Any],
        scale: NDArray[np.float64],
        counted: str,
        horizon: int = 1,
    ) -> Estimated:
        """From predictions and targets, both of shape (horizon * K, n), and the `scale` of each."""
        errors = told.astype(np.float64) - right
        with np.errstate(over="ignore", invalid="ignore"):  # a wild prediction is reported as such
            loss = float(np.square(errors / scale[:, None]).sum() / (2 * errors.shape[1]))
        count = errors.shape[1]
        # All next steps of a number together.
        errors, right = (x.reshape(horizon, -1, count).swapaxes(0, 1) for x in (errors, right))
        errors, right = (x.reshape(len(x), -1) for x in (errors, right))
        return cls(loss, errors, right.astype(np.float64).var(axis=1), count, counted)

    def each(self) -> dict[str, NDArray[np.float64]]:
        """Root of the mean squared error, mean absolute error and R² of each number.

        R² is 1 minus the mean squared error over the variance; of what does not vary, 1 without an error and
        0 with one, as in scikit-learn.
        """
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            squared = np.square(self.errors).mean(axis=1)
            r2 = 1 - squared / self.variances
            r2 = np.where(self.variances > 0, r2, (squared == 0).astype(np.float64))
            return {"rmse": np.sqrt(squared), "mae": np.abs(self.errors).mean(axis=1), "r2": r2}

    @property
    def measures(self) -> Measures:
        """In numbers for a record: RMSE and MAE of all numbers together, and the mean of their R²."""
        each = self.each()
        return {
            "loss": self.loss,
            "rmse": float(np.sqrt(np.mean(np.square(each["rmse"])))),
            "mae": float(each["mae"].mean()),
            "r2": float(each["r2"].mean()),
            self.counted: self.count,
        }


def measure(
    model: Model,
    examples: Examples,
    encoder: SeriesEncoder,
    workspace: Workspace,
    stop: Callable[[], bool] = lambda: False,
    communicator: Communicator = SERIAL,
) -> Classified | Estimated:
    """Let a model tell what is known, without dropout.

    Parameters
    ----------
    model : Model
    examples : Examples
    encoder : SeriesEncoder
        Of the model.
    workspace, stop, communicator
        See `truesparse.tasks.steps.outputs`.

    Raises
    ------
    EvaluationStopped
        `stop` returned True.
    """
    said = outputs(model, examples.inputs, workspace, stop, communicator)
    right = examples.labels.values if isinstance(examples.labels, Sequences) else examples.labels
    counted = "steps" if encoder.per_step else "rows" if model.chain.feed_forward else "sequences"
    if encoder.labels:
        return classified(said, right, counted)
    head = model.chain.head
    assert isinstance(head, SquaredError)
    right = right.T if encoder.per_step else right
    told: NDArray[Any] = said.T
    if isinstance(examples.inputs, Windows):
        counted = "forecasts"
        told, right = told + examples.inputs.simple, right + examples.inputs.simple
    return Estimated.of(
        told, right, np.array(head.scale or np.ones(len(right))), counted, encoder.horizon or 1
    )


def classified(said: NDArray[np.float32], right: NDArray[np.int32], counted: str) -> Classified:
    """How log-probabilities of shape (n, labels) tell labels."""
    confusion = np.zeros((said.shape[1], said.shape[1]), np.int64)
    np.add.at(confusion, (right, said.argmax(axis=1)), 1)
    loss = -float(said[np.arange(len(right)), right].mean(dtype=np.float64))
    return Classified(loss, confusion, counted)
