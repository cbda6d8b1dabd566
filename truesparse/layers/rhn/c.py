"""A recurrent highway layer as C99; its function is in ``step.c``."""

from __future__ import annotations

from collections.abc import Iterator

from truesparse.layers.source import Source


class RHNSource(Source):
    """The same for each micro-step; the first reads the input too."""

    def statements(self) -> Iterator[str]:
        """See `Source.statements`."""
        inputs = {"weight_ih": self.x}
        for level, _ in enumerate(self.place.vectors):
            yield from self.sum(f"bias.{level}", {**inputs, f"weight_hh.{level}": self.parts["h"]})
            yield self.call()
            inputs = {}
