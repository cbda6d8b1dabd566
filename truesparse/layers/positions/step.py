"""Learned positions in NumPy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from truesparse.csr import CSR
from truesparse.errors import TruesparseError
from truesparse.layers.chain import Place
from truesparse.layers.positions.spec import Positions
from truesparse.layers.step import Array, Step, StepState


class PositionsStep(Step):
    """``y_t = x_t + p_t``, over whole sequences."""

    def __init__(self, place: Place, matrices: Mapping[str, CSR], vectors: Mapping[str, Array]) -> None:
        super().__init__(place, matrices, vectors)
        assert isinstance(place.spec, Positions)
        self._weight = vectors[f"{place.name}.weight"].reshape(place.spec.longest, -1, 1)

    def step(self, x: Array, state: StepState) -> Array:
        """A step alone does not know its position."""
        raise TruesparseError(f"the layer {self.place.name} needs the whole sequence")

    def run(self, inputs: Iterable[Array]) -> list[Array]:
        """See `Step.run`."""
        steps = list(inputs)
        if len(steps) > len(self._weight):
            raise TruesparseError(
                f"the model knows {len(self._weight)} positions, but a sequence has {len(steps)} steps; give"
                " it shorter ones"
            )
        return [x + own for x, own in zip(steps, self._weight, strict=False)]
