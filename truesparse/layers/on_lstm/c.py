"""An LSTM layer with ordered neurons as C99; its function is in ``step.c``."""

from __future__ import annotations

from collections.abc import Iterator

from truesparse.layers.source import ROOM, Source


class ONLSTMSource(Source):
    """All gates are summed up, the master gates above the others, then the function carries the state on."""

    @property
    def room(self) -> int:
        """See `Source.room`."""
        return sum(vector.size for vector in self.place.vectors)

    def statements(self) -> Iterator[str]:
        """See `Source.statements`."""
        gates, masters = (vector.size for vector in self.place.vectors)
        h, c = self.parts.values()
        yield from self.sum("bias", {"weight_ih": self.x, "weight_hh": h})
        yield from self.sum("bias_master", {"master_ih": self.x, "master_hh": h}, f"{ROOM} + {gates}")
        yield f"{self.function}({h}, {c}, {ROOM}, {masters // 2});"
