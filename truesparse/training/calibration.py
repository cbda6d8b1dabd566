"""How far a classifier's probabilities are to be believed, and the temperature that makes them so."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from truesparse.model import Model

BINS = 15
LIMITS = 0.1, 10.0  # of temperatures: classes that are all predicted right ask for 0
_FOLDS = 5


def fit_temperature(log_probabilities: NDArray[Any], labels: NDArray[np.integer[Any]]) -> float:
    """Return what scores are to be divided by for the highest likelihood of labels, between 0.1 and 10.

    Parameters
    ----------
    log_probabilities : ndarray of float, shape (n, classes)
        As the model says them without temperature.
    labels : ndarray of int, shape (n,)

    Notes
    -----
    Brent's bounded method on the logarithm of the temperature. No class changes its rank.

    References
    ----------
    Guo et al., "On calibration of modern neural networks", 2017, section 4.2.
    """
    from scipy.optimize import minimize_scalar

    scores = np.asarray(log_probabilities, np.float64)
    scores = scores - scores.max(axis=1, keepdims=True)
    own = np.take_along_axis(scores, labels[:, None], axis=1).mean()

    def loss(log_temperature: float) -> float:
        cold = math.exp(-log_temperature)
        return float(np.mean(np.log(np.exp(scores * cold).sum(axis=1))) - own * cold)

    bounds = math.log(LIMITS[0]), math.log(LIMITS[1])
    return math.exp(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6}).x)


def helps(
    temperature: float, log_probabilities: NDArray[Any], labels: NDArray[np.integer[Any]], ordered: bool
) -> bool:
    """Whether a temperature can be trusted that was fitted to labels.

    It is within its limits, and labels that it is not fitted to become more likely: a fifth each, by the
    temperature of the others, on average by more than the standard error of that.

    Parameters
    ----------
    temperature : float
        As `fit_temperature` says it of all.
    log_probabilities : ndarray of float, shape (n, classes)
    labels : ndarray of int, shape (n,)
    ordered : bool
        Whether neighbours are steps of one sequence, which are alike: a fifth is steps that follow one
        another then.
    """
    count = len(labels)
    within = LIMITS[0] * 1.001 < temperature < LIMITS[1] / 1.001
    if not within or count < 2 * _FOLDS:
        return False
    numbers = np.arange(count)
    gains = np.empty(count)
    for fold in range(_FOLDS):
        out = (numbers * _FOLDS // count if ordered else numbers % _FOLDS) == fold
        own = with_temperature(log_probabilities[out], fit_temperature(log_probabilities[~out], labels[~out]))
        gain = own - with_temperature(log_probabilities[out], 1.0)
        gains[out] = np.take_along_axis(gain, labels[out, None], axis=1)[:, 0]
    return bool(gains.mean() > gains.std(ddof=1) / math.sqrt(count))


def with_temperature(log_probabilities: NDArray[Any], temperature: float) -> NDArray[np.float64]:
    """Log-probabilities, shape (n, classes), whose scores are divided by a temperature."""
    scores = np.asarray(log_probabilities, np.float64) / temperature
    scores -= scores.max(axis=1, keepdims=True)
    return np.asarray(scores - np.log(np.exp(scores).sum(axis=1, keepdims=True)))


def model_with_temperature(model: Model, temperature: float) -> Model:
    """A model with the same numbers, whose scores are divided by a temperature."""
    chain = model.chain.with_head(temperature=temperature)
    return type(model)(chain, model.arena, model.vocabulary, model.encoder, model.labels)


def calibration_error(log_probabilities: NDArray[Any], labels: NDArray[np.integer[Any]]) -> float:
    """Return the expected calibration error: how far the probability of the predicted class is from how
    often it is right, the mean over 15 equally wide bins of that probability, by how many fall into each.

    Parameters
    ----------
    log_probabilities : ndarray of float, shape (n, classes)
    labels : ndarray of int, shape (n,)

    References
    ----------
    Guo et al., 2017, equation 3.
    """
    confidence = np.exp(log_probabilities.max(axis=1).astype(np.float64))
    right = log_probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    return float(np.abs(np.bincount(bins, right - confidence)).sum() / len(labels))
