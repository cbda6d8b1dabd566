"""Layers to whose outputs their input is added, as C99; the sum is in ``step.c``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from truesparse.layers.chain import Place
from truesparse.layers.parts import part
from truesparse.layers.source import Source, identifier


class ResidualSource(Source):
    """The last layer in it writes where its output is to stand, and those before to the stack.

    The layers of a model may compute scores while the state stays as it is, so that has no room for them.
    """

    def __init__(
        self,
        place: Place,
        prefix: str,
        function: str,
        x: str | None,
        parts: Mapping[str, str],
        products: Mapping[str, str],
    ) -> None:
        super().__init__(place, prefix, function, x, parts, products)
        self._layers: list[Source] = []
        inner = place.inner
        outputs = [*(identifier("y", own.name) for own in inner[:-1]), parts["y"]]
        for own, y in zip(inner, outputs, strict=True):
            found = part(type(own.spec), "source")
            self._layers.append(found(own, prefix, identifier(prefix, own.name), x, {"y": y}, products))
            x = y

    @property
    def room(self) -> int:
        """As much as the layer in it that needs most."""
        return max(layer.room for layer in self._layers)

    @property
    def stack(self) -> int:
        """The outputs of all layers but the last, and what the layers themselves take."""
        outputs = sum(layer.place.output.size for layer in self._layers[:-1])
        return outputs + max(layer.stack for layer in self._layers)

    def definition(self, units: str) -> str:
        """The functions of its layers, and the sum."""
        own = (layer.definition(str(layer.place.output.size)) for layer in self._layers)
        return "\n".join(filter(None, (*own, super().definition(units))))

    def statements(self) -> Iterator[str]:
        """See `Source.statements`."""
        yield "{"
        for layer in self._layers[:-1]:
            yield f"    float {layer.parts['y']}[{layer.place.output.size}];"
        yield from (f"    {line}" for layer in self._layers for line in layer.statements())
        yield f"    {self.function}({self.parts['y']}, {self.x});"
        yield "}"
