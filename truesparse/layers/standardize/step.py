"""Features brought to mean 0 and deviation 1, one step at a time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from truesparse.csr import CSR
from truesparse.layers.chain import Place
from truesparse.layers.standardize.spec import Standardize
from truesparse.layers.step import Array, Step, StepState


class StandardizeStep(Step):
    """``y = (x - mean) / scale``."""

    def __init__(self, place: Place, matrices: Mapping[str, CSR], vectors: Mapping[str, Array]) -> None:
        super().__init__(place, matrices, vectors)
        assert isinstance(place.spec, Standardize)
        self._mean = np.array(place.spec.mean, np.float32)[:, None]
        self._scale = np.array(place.spec.scale, np.float32)[:, None]

    def step(self, x: Array, state: StepState) -> Array:
        """See `Step.step`."""
        return (x - self._mean) / self._scale
