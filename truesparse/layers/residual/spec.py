"""What layers are to whose outputs their input is added."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

from truesparse.errors import UsageError
from truesparse.layers.bidirectional.spec import Bidirectional
from truesparse.layers.output.spec import Head
from truesparse.layers.pool.spec import Pool
from truesparse.layers.spec import STEPS, LayerSpec, Matrix, Signal, Vector
from truesparse.settings import check_kind, shown


class Inner(NamedTuple):
    """A layer in a `Residual`: its name there, and what it gets and gives."""

    name: str
    spec: LayerSpec
    given: Signal
    output: Signal


@dataclass(frozen=True, init=False)
class Residual(LayerSpec):
    """``y = x + f(x)``, f being layers in a row that give as many features as they get.

    Parameters
    ----------
    *layers : LayerSpec
        Such as `LayerNorm`, `Attention` and `Linear`: without state, and the same in training and in use.

    References
    ----------
    He et al., "Deep residual learning for image recognition", 2016, equation 1.
    """

    TYPE: ClassVar[str] = "residual"
    TAKES: ClassVar[tuple[str, ...]] = (STEPS,)

    layers: tuple[LayerSpec, ...]

    def __init__(self, *layers: LayerSpec) -> None:
        object.__setattr__(self, "layers", layers)
        for number, layer in enumerate(layers):
            check_kind(
                f"layer {number} of the layer residual", layer, LayerSpec, "a layer, such as Linear(32)"
            )
            refused = Head, Pool, Bidirectional, Residual
            if isinstance(layer, refused) or layer.TRAINING_ONLY or layer.state or STEPS not in layer.TAKES:
                raise UsageError(
                    f"the layer residual cannot have the layer {layer.TYPE} in it; it takes layers such as"
                    " LayerNorm, Attention and Linear"
                )
        if not layers:
            raise UsageError("the layer residual has no layers; give it some, or leave it out")

    def inner(self, given: Signal) -> list[Inner]:
        """The layers in it with their names and signals."""
        numbers: Counter[str] = Counter()
        found = []
        for layer in self.layers:
            name = layer.NAME or layer.TYPE
            output = layer.output(given)
            found.append(
                Inner(f"{name}.{numbers[name]}" if layer.NUMBERED else name, layer, given, output),
            )
            numbers[name] += 1
            given = output
        return found

    def output(self, given: Signal) -> Signal:
        """As many features."""
        given = Signal(given.kind, given.size)
        last = self.inner(given)[-1].output
        if last != given:
            raise UsageError(
                f"the layers of the layer residual give {last.size} features, but get {given.size}; give the"
                " last one as many"
            )
        return given

    def matrices(self, given: Signal) -> tuple[Matrix, ...]:
        """Those of its layers."""
        every = ((own.name, matrix) for own in self.inner(given) for matrix in own.spec.matrices(own.given))
        return tuple(matrix._replace(name=f"{name}.{matrix.name}") for name, matrix in every)

    def vectors(self, given: Signal) -> tuple[Vector, ...]:
        """Those of its layers."""
        every = ((own.name, vector) for own in self.inner(given) for vector in own.spec.vectors(own.given))
        return tuple(vector._replace(name=f"{name}.{vector.name}") for name, vector in every)

    @property
    def matrix_count(self) -> int:
        """See `LayerSpec.matrix_count`."""
        return sum(layer.matrix_count for layer in self.layers)

    @property
    def whole(self) -> bool:
        """Whether one of its layers is."""
        return any(layer.whole for layer in self.layers)

    def to_document(self) -> dict[str, Any]:
        """The documents of its layers."""
        return {"type": self.TYPE, "layers": [layer.to_document() for layer in self.layers]}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """See `LayerSpec.from_document`."""
        from truesparse.layers.registry import layer_type  # which knows this layer too

        layers = document.get("layers")
        if document.keys() != {"type", "layers"} or not isinstance(layers, list):
            raise UsageError(f"the layer {cls.TYPE} has a list of layers and nothing else")
        specs = []
        for layer in layers:
            kind = layer.get("type") if isinstance(layer, dict) else None
            if not isinstance(kind, str) or kind == cls.TYPE:
                raise UsageError(
                    f"the layer {cls.TYPE} has the layer {shown(kind)} in it, which it cannot have"
                )
            specs.append(layer_type(kind[:40]).from_document(layer))
        return cls(*specs)
