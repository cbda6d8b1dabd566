"""What an ON-LSTM layer is; see `truesparse.layers.on_lstm.layer` for its equations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from truesparse.errors import UsageError
from truesparse.layers.spec import Matrix, Recurrent, Signal, Vector, count


@dataclass(frozen=True)
class ONLSTM(Recurrent):
    """Long short-term memory with ordered neurons: chunks of units that are overwritten together, the first
    ones most often.

    References
    ----------
    Shen, Tan, Sordoni & Courville, "Ordered neurons: integrating tree structures into recurrent neural
    networks", 2019.
    """

    TYPE: ClassVar[str] = "on-lstm"
    NAME: ClassVar[str] = "on_lstm"
    GATES: ClassVar[tuple[str, ...]] = ("i", "f", "g", "o")
    MASTERS: ClassVar[tuple[str, ...]] = ("master_f", "master_i")
    ORDERED: ClassVar[bool] = True

    chunk_size: int = count("Units that share their master gates; divides the units.", 8)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.units % self.chunk_size:
            raise UsageError(
                f"the layer {self.TYPE} has {self.units} units, which chunks of {self.chunk_size} do not"
                " divide; change --chunk-size or the units"
            )

    @property
    def chunks(self) -> int:
        """How many chunks there are, M."""
        return self.units // self.chunk_size

    def matrices(self, given: Signal) -> tuple[Matrix, ...]:
        """`weight_ih` and `weight_hh`, and the same of the master gates: `master_ih` and `master_hh`.

        A master gate belongs to no unit, and shares its connections with no other one.
        """
        usual = super().matrices(given)
        masters = (
            own._replace(
                name=own.name.replace("weight", "master"),
                shape=(len(self.MASTERS) * self.chunks, own.shape[1]),
                gates=self.MASTERS,
                group=1,
            )
            for own in usual
        )
        return *usual, *masters

    def vectors(self, given: Signal) -> tuple[Vector, ...]:
        """`bias`, and `bias_master` of the master gates."""
        return self._bias("bias"), Vector("bias_master", len(self.MASTERS) * self.chunks, self.MASTERS)

    @property
    def state(self) -> dict[str, int]:
        """Output and cell."""
        return {"h": self.units, "c": self.units}

    @property
    def sums(self) -> tuple[tuple[str, ...], ...]:
        """A gate gets its inputs from both products, and so does a master gate."""
        return ("weight_ih", "weight_hh"), ("master_ih", "master_hh")

    def resized(self, numerator: int, denominator: int) -> Self:
        """See `LayerSpec.resized`; whole chunks."""
        chunks = max(1, round(self.chunks * numerator / denominator))
        return replace(self, units=chunks * self.chunk_size)
