"""A layer of gated recurrent units as C99; its function is in ``step.c``."""

from __future__ import annotations

from collections.abc import Iterator

from truesparse.layers.gru.spec import GRU
from truesparse.layers.source import ROOM, Source, identifier


class GRUSource(Source):
    """What the reset gate multiplies is apart from the rest of the candidate. Where the gate comes before the
    product, that is nothing, and there are two products with the state, of which parts are used."""

    @property
    def room(self) -> int:
        """See `Source.room`."""
        return (4 if self._after else 6) * self.place.output.size

    @property
    def _after(self) -> bool:
        assert isinstance(self.place.spec, GRU)
        return self.place.spec.reset_gate == "after"

    def statements(self) -> Iterator[str]:
        """See `Source.statements`."""
        units, h, copy = self.place.output.size, self.parts["h"], f"{self.prefix}_copy"
        rest = f"{ROOM} + {2 * units}"
        if self._after:
            candidate = f"{ROOM} + {3 * units}"
            yield from self.sum("bias", {"weight_ih": self.x})
            yield f"{copy}({candidate}, {rest}, {units});"
            yield f"{copy}({rest}, {identifier(self.prefix, f'{self.place.name}.bias_hn')}, {units});"
            yield self.product("weight_hh", ROOM, h)
        else:
            candidate = f"{ROOM} + {5 * units}"
            every = f"for (size_t j = 0; j < {units}; j++)"
            yield from self.sum("bias", {"weight_ih": self.x}, f"{ROOM} + {3 * units}")
            yield f"{copy}({ROOM}, {ROOM} + {3 * units}, {3 * units});"
            yield self.product("weight_hh", ROOM, h)
            yield f"{every} ({rest})[j] = {self.prefix}_sigmoid({ROOM}[j]) * {h}[j];"
            yield self.product("weight_hh", f"{ROOM} + {3 * units}", rest)
            yield f"{every} ({rest})[j] = 0.0f;"
        yield f"{self.function}({h}, {ROOM}, {candidate});"
