"""A layer of two directions in NumPy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from truesparse.csr import CSR
from truesparse.errors import TruesparseError
from truesparse.layers.chain import Place
from truesparse.layers.step import Array, Step, StepState, step_of


class BidirectionalStep(Step):
    """Runs the cells of both directions over whole sequences; there is no single step."""

    def __init__(self, place: Place, matrices: Mapping[str, CSR], vectors: Mapping[str, Array]) -> None:
        super().__init__(place, matrices, vectors)
        self._forward, self._backward = (step_of(own, matrices, vectors) for own in place.directions)

    def step(self, x: Array, state: StepState) -> Array:
        """Nothing can be said of a step before the sequence is whole."""
        raise TruesparseError(
            f"the layer {self.place.name} reads in both directions; it needs the whole sequence"
        )

    def run(self, inputs: Iterable[Array]) -> list[Array]:
        """See `Step.run`. From the end, more and more sequences have inputs: each begins with its last."""
        steps = list(inputs)
        both = zip(self._forward.run(steps), reversed(self._backward.run(reversed(steps))), strict=True)
        return [np.concatenate(halves) for halves in both]
