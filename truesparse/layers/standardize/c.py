"""Features brought to mean 0 and deviation 1, as C99; the function is in ``step.c``."""

from __future__ import annotations

from collections.abc import Iterator

from truesparse.layers.source import Source


class StandardizeSource(Source):
    """A loop over the features, which writes its output."""

    @property
    def room(self) -> int:
        """None."""
        return 0

    def statements(self) -> Iterator[str]:
        """See `Source.statements`."""
        yield f"{self.function}({self.parts['y']}, {self.x});"
