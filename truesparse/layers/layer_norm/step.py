"""Layer normalisation, one step at a time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from truesparse.csr import CSR
from truesparse.layers.chain import Place
from truesparse.layers.layer_norm.spec import LayerNorm
from truesparse.layers.step import Array, Step, StepState


class LayerNormStep(Step):
    """``y = scale (x - mean) / deviation + bias``."""

    def __init__(self, place: Place, matrices: Mapping[str, CSR], vectors: Mapping[str, Array]) -> None:
        super().__init__(place, matrices, vectors)
        assert isinstance(place.spec, LayerNorm)
        self._scale, self._bias = (vectors[f"{place.name}.{own}"][:, None] for own in ("scale", "bias"))
        self._epsilon = np.float32(place.spec.epsilon)

    def step(self, x: Array, state: StepState) -> Array:
        """See `Step.step`."""
        y = x - x.mean(axis=0)
        y /= np.sqrt((y * y).mean(axis=0) + self._epsilon)
        y *= self._scale
        y += self._bias
        return y
