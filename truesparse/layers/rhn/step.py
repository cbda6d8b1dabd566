"""A recurrent highway layer, one step at a time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from truesparse.csr import CSR
from truesparse.layers.chain import Place
from truesparse.layers.product import Product, beside
from truesparse.layers.step import Array, Step, StepState, sigmoid


class RHNStep(Step):
    """L micro-steps ``h = tanh(a), t = sigmoid(a); s <- h t + s (1 - t)``, a = R_l s + b_l (l = 0: + W x)."""

    def __init__(self, place: Place, matrices: Mapping[str, CSR], vectors: Mapping[str, Array]) -> None:
        super().__init__(place, matrices, vectors)
        first, *others = (matrix.name for matrix in place.matrices)
        weights = [matrices[name] for name in others]
        weights[0] = beside(matrices[first], weights[0])
        self._products = [Product(weight) for weight in weights]
        self._biases = [vectors[vector.name][:, None] for vector in place.vectors]

    def step(self, x: Array, state: StepState) -> Array:
        """See `Step.step`."""
        (s,) = state
        inputs = np.concatenate((x, s))
        for product, bias in zip(self._products, self._biases, strict=True):
            gates = product(inputs)
            gates += bias
            h, t = gates.reshape(2, len(s), -1)
            t = sigmoid(t)
            s *= 1 - t
            s += np.tanh(h) * t
            inputs = s
        return s
