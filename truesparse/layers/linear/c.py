"""A linear layer as C99; an activation's function is in the file of its name, such as ``relu.c``."""

from __future__ import annotations

from collections.abc import Iterator

from truesparse.layers.linear.spec import Linear
from truesparse.layers.source import Source, identifier


class LinearSource(Source):
    """The outputs are summed up where they stay, and then what the activation makes of them."""

    @property
    def room(self) -> int:
        """None."""
        return 0

    @property
    def template(self) -> str:
        """One for each activation."""
        assert isinstance(self.place.spec, Linear)
        activation = self.place.spec.activation
        return "" if activation == "none" else f"{activation}.c"

    def statements(self) -> Iterator[str]:
        """See `Source.statements`."""
        y = self.parts["y"]
        yield from self.sum("bias", {"weight": self.x}, y)
        if self.template == "srelu.c":
            yield f"{self.function}({y}, {identifier(self.prefix, f'{self.place.name}.srelu')});"
        elif self.template:
            yield f"{self.function}({y});"
