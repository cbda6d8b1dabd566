"""What an LSTM layer is; see `truesparse.layers.lstm.layer` for its equations."""

from __future__ import annotations

from typing import ClassVar

from truesparse.layers.spec import Matrix, Recurrent, Signal, Vector


class LSTM(Recurrent):
    """Long short-term memory: gates i, f, g, o, and a cell c that carries on.

    References
    ----------
    Hochreiter & Schmidhuber, "Long short-term memory", 1997.
    """

    TYPE: ClassVar[str] = "lstm"
    GATES: ClassVar[tuple[str, ...]] = ("i", "f", "g", "o")

    def matrices(self, given: Signal) -> tuple[Matrix, ...]:
        """`weight_ih` and `weight_hh`."""
        return self._matrix("weight_ih", given.size), self._matrix("weight_hh", self.units, "state")

    def vectors(self, given: Signal) -> tuple[Vector, ...]:
        """`bias`."""
        return (self._bias("bias"),)

    @property
    def state(self) -> dict[str, int]:
        """Output and cell."""
        return {"h": self.units, "c": self.units}

    @property
    def sums(self) -> tuple[tuple[str, ...], ...]:
        """A gate adds up both products."""
        return (("weight_ih", "weight_hh"),)
