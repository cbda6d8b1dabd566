"""An LSTM layer with ordered neurons, one step at a time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from truesparse.csr import CSR
from truesparse.layers.chain import Place
from truesparse.layers.product import Product, above, beside
from truesparse.layers.step import Array, Step, StepState, sigmoid


class ONLSTMStep(Step):
    """``c <- (f w + F - w) c + (i w + I - w) g, h = o tanh(c)``, w = F I; F and I are the master gates,
    ``F = cumsum(softmax(a_F)), I = 1 - cumsum(softmax(a_I))``, each number of which serves a chunk."""

    def __init__(self, place: Place, matrices: Mapping[str, CSR], vectors: Mapping[str, Array]) -> None:
        super().__init__(place, matrices, vectors)
        name = place.name
        gates, masters = (
            beside(matrices[f"{name}.{kind}_ih"], matrices[f"{name}.{kind}_hh"])
            for kind in ("weight", "master")
        )
        self._product = Product(above(gates, masters))
        self._bias = np.concatenate((vectors[f"{name}.bias"], vectors[f"{name}.bias_master"]))[:, None]
        self._chunks = masters.shape[0] // 2

    def step(self, x: Array, state: StepState) -> Array:
        """See `Step.step`."""
        h, c = state
        sums, forget, add = self._sums(x, h)
        i, f, g, o = sums.reshape(4, len(h), -1)
        size = len(h) // self._chunks
        forget, add = np.repeat(forget, size, axis=0), np.repeat(1 - add, size, axis=0)
        both = forget * add
        c *= sigmoid(f) * both + (forget - both)
        c += (sigmoid(i) * both + (add - both)) * np.tanh(g)
        return np.multiply(sigmoid(o), np.tanh(c), out=h)

    def split_point(self, x: Array, state: StepState) -> Array:
        """Where the master forget gate is expected to split the chunks, of shape (B,): how many of them the
        input overwrites, from 0 to M.

        References
        ----------
        Shen, Tan, Sordoni & Courville, "Ordered neurons: integrating tree structures into recurrent neural
        networks", 2019, equation 15.
        """
        _, forget, _ = self._sums(x, state[0])
        split: Array = len(forget) - forget.sum(axis=0)
        return split

    def _sums(self, x: Array, h: Array) -> tuple[Array, Array, Array]:
        """What the gates are made of, and the running sums of both master gates' softmax."""
        sums = self._product(np.concatenate((x, h)))
        sums += self._bias
        forget, add = sums[4 * len(h) :].reshape(2, self._chunks, -1)
        return sums[: 4 * len(h)], _running_sums(forget), _running_sums(add)


def _running_sums(scores: Array) -> Array:
    """The running sums of the softmax over the first axis."""
    powers = np.exp(scores - scores.max(axis=0))
    powers /= powers.sum(axis=0)
    sums: Array = np.cumsum(powers, axis=0)
    return sums
