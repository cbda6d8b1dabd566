"""What an LSTM layer is; see `truesparse.layers.lstm.layer` for its equations."""

from __future__ import annotations

from typing import ClassVar

from truesparse.layers.spec import Recurrent


class LSTM(Recurrent):
    """Long short-term memory: gates i, f, g, o, and a cell c that carries on.

    References
    ----------
    Hochreiter & Schmidhuber, "Long short-term memory", 1997.
    """

    TYPE: ClassVar[str] = "lstm"
    GATES: ClassVar[tuple[str, ...]] = ("i", "f", "g", "o")

    @property
    def state(self) -> dict[str, int]:
        """Output and cell."""
        return {"h": self.units, "c": self.units}
