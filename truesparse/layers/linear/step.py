"""A linear layer, one step at a time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from truesparse.csr import CSR
from truesparse.layers.chain import Place
from truesparse.layers.linear.spec import Linear
from truesparse.layers.product import Product
from truesparse.layers.step import Array, Step, StepState


class LinearStep(Step):
    """``y = f(W x + b)``."""

    def __init__(self, place: Place, matrices: Mapping[str, CSR], vectors: Mapping[str, Array]) -> None:
        super().__init__(place, matrices, vectors)
        assert isinstance(place.spec, Linear)
        self._product = Product(matrices[f"{place.name}.weight"])
        self._bias = vectors[f"{place.name}.bias"][:, None]
        self._activation = place.spec.activation

    def step(self, x: Array, state: StepState) -> Array:
        """See `Step.step`."""
        y = self._product(x)
        y += self._bias
        if self._activation == "relu":
            np.maximum(y, np.float32(0), out=y)
        elif self._activation == "tanh":
            np.tanh(y, out=y)
        return y
