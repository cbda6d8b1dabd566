"""An LSTM layer as C99; its function is in ``step.c``."""

from __future__ import annotations

from collections.abc import Iterator

from truesparse.layers.source import Source


class LSTMSource(Source):
    """All gates are summed up, then the function carries the state on."""

    def statements(self) -> Iterator[str]:
        """See `Source.statements`."""
        yield from self.sum("bias", {"weight_ih": self.x, "weight_hh": self.parts["h"]})
        yield self.call()
