"""A linear layer, one step at a time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from truesparse.csr import CSR
from truesparse.layers.chain import Place
from truesparse.layers.linear.spec import SELU_ALPHA, SELU_SCALE, SRELU, Linear
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
        if self._activation == "srelu":
            self._bends = vectors[f"{place.name}.srelu"].reshape(len(SRELU), -1, 1)

    def step(self, x: Array, state: StepState) -> Array:
        """See `Step.step`."""
        y = self._product(x)
        y += self._bias
        if self._activation == "relu":
            np.maximum(y, np.float32(0), out=y)
        elif self._activation == "tanh":
            np.tanh(y, out=y)
        elif self._activation == "selu":
            y = np.float32(SELU_SCALE) * np.where(
                y > 0, y, np.float32(SELU_ALPHA) * np.expm1(np.minimum(y, 0))
            )
        elif self._activation == "srelu":
            t_left, a_left, t_right, a_right = self._bends
            left = np.where(y < t_left, t_left + a_left * (y - t_left), y)
            y = np.where(y < t_right, left, t_right + a_right * (y - t_right))
        return y
