"""A mixture of softmaxes in NumPy alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from truesparse.csr import CSR
from truesparse.layers.chain import EMBEDDING, Place
from truesparse.layers.mos.spec import MixtureOfSoftmaxes
from truesparse.layers.product import Product
from truesparse.layers.step import Array, Step, StepState


class MixtureOfSoftmaxesStep(Step):
    """``log sum_k softmax(P x)_k softmax(W tanh(W_k x + b_k) + b)``: log-probabilities."""

    def __init__(self, place: Place, matrices: Mapping[str, CSR], vectors: Mapping[str, Array]) -> None:
        super().__init__(place, matrices, vectors)
        assert isinstance(place.spec, MixtureOfSoftmaxes)
        name, self._experts = place.name, place.spec.experts
        self._latent = Product(matrices[f"{name}.latent"])
        self._output = Product(matrices[EMBEDDING if place.spec.tied else f"{name}.weight"])
        self._prior = vectors[f"{name}.prior"].reshape(self._experts, -1)
        self._bias_latent = vectors[f"{name}.bias_latent"][:, None]
        self._bias = vectors[f"{name}.bias"][:, None]

    def step(self, x: Array, state: StepState) -> Array:
        """Log-probabilities of shape (outputs, B); see `Step.step`."""
        batch = x.shape[1]
        z = np.tanh(self._latent(x) + self._bias_latent).reshape(self._experts, -1, batch)
        # the experts side by side, as if they were sequences
        scores = self._output(np.concatenate(z, axis=1))
        scores += self._bias
        scores = _log_softmax(scores).reshape(-1, self._experts, batch)
        scores += _log_softmax(self._prior @ x)
        highest = scores.max(axis=1)
        said: Array = highest + np.log(np.exp(scores - highest[:, None]).sum(axis=1))
        return said


def _log_softmax(scores: Array) -> Array:
    scores -= scores.max(axis=0)
    scores -= np.log(np.exp(scores).sum(axis=0))
    return scores
