"""Layers to whose outputs their input is added, in NumPy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from truesparse.csr import CSR
from truesparse.layers.chain import Place
from truesparse.layers.step import Array, Step, StepState, step_of


class ResidualStep(Step):
    """``y = x + f(x)``."""

    def __init__(self, place: Place, matrices: Mapping[str, CSR], vectors: Mapping[str, Array]) -> None:
        super().__init__(place, matrices, vectors)
        self._layers = [step_of(own, matrices, vectors) for own in place.inner]

    def step(self, x: Array, state: StepState) -> Array:
        """See `Step.step`."""
        y = x
        for layer in self._layers:
            y = layer.step(y, ())
        return x + y

    def run(self, inputs: Iterable[Array]) -> list[Array]:
        """See `Step.run`."""
        steps = list(inputs)
        own = steps
        for layer in self._layers:
            own = layer.run(own)
        return [x + y for x, y in zip(steps, own, strict=True)]
