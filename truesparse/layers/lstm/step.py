"""An LSTM layer, one step at a time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from truesparse.csr import CSR
from truesparse.layers.chain import Place
from truesparse.layers.product import Product, beside
from truesparse.layers.step import Array, Step, StepState, sigmoid


class LSTMStep(Step):
    """``i, f, o = sigmoid(a), g = tanh(a); c = f c_prev + i g, h = o tanh(c)``, a = W_ih x + W_hh h + b."""

    def __init__(self, place: Place, matrices: Mapping[str, CSR], vectors: Mapping[str, Array]) -> None:
        super().__init__(place, matrices, vectors)
        name = place.name
        self._product = Product(beside(matrices[f"{name}.weight_ih"], matrices[f"{name}.weight_hh"]))
        self._bias = vectors[f"{name}.bias"][:, None]

    def step(self, x: Array, state: StepState) -> Array:
        """See `Step.step`."""
        h, c = state
        gates = self._product(np.concatenate((x, h)))
        gates += self._bias
        i, f, g, o = gates.reshape(4, len(h), -1)
        c *= sigmoid(f)
        c += sigmoid(i) * np.tanh(g)
        return np.multiply(sigmoid(o), np.tanh(c), out=h)
