"""What a layer of two directions is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Self

from truesparse.errors import UsageError
from truesparse.layers.spec import STEPS, LayerSpec, Matrix, Recurrent, Signal, Vector
from truesparse.settings import check_kind, shown

DIRECTIONS = ("forward", "backward")


@dataclass(frozen=True)
class Bidirectional(LayerSpec):
    """Two recurrent layers of one kind: one reads a sequence from its first step, one from its last.

    The output of a step is that of the first layer, followed by that of the second.

    It carries no state, because its output at a step depends on the whole sequence.

    Parameters
    ----------
    cell : Recurrent
        The kind of both. The names of their parameters are the cell's, behind ``forward.`` or ``backward.``.

    References
    ----------
    M. Schuster, K. K. Paliwal, "Bidirectional recurrent neural networks", 1997.
    """

    TYPE: ClassVar[str] = "bidirectional"
    SPARED: ClassVar[tuple[str, ...]] = ("source", "parameters")

    cell: Recurrent

    def __post_init__(self) -> None:
        check_kind("cell of the layer bidirectional", self.cell, Recurrent, "a recurrent layer, as LSTM(32)")
        own = type(self.cell)
        object.__setattr__(self, "NAME", own.NAME or own.TYPE)
        object.__setattr__(self, "FREE", own.FREE)

    def output(self, given: Signal) -> Signal:
        """The outputs of both, at each step."""
        size = self.cell.output(given).size
        return Signal(STEPS, 2 * size, size)

    def matrices(self, given: Signal) -> tuple[Matrix, ...]:
        """Those of both."""
        own = self.cell.matrices(given)
        return tuple(m._replace(name=f"{way}.{m.name}") for way in DIRECTIONS for m in own)

    def vectors(self, given: Signal) -> tuple[Vector, ...]:
        """Those of both."""
        own = self.cell.vectors(given)
        return tuple(v._replace(name=f"{way}.{v.name}") for way in DIRECTIONS for v in own)

    @property
    def whole(self) -> bool:
        """The second layer begins at the end."""
        return True

    @property
    def matrix_count(self) -> int:
        """See `LayerSpec.matrix_count`."""
        return len(DIRECTIONS) * self.cell.matrix_count

    def resized(self, numerator: int, denominator: int) -> Self:
        """See `LayerSpec.resized`."""
        return replace(self, cell=self.cell.resized(numerator, denominator))

    def to_document(self) -> dict[str, Any]:
        """The cell's settings, and its type as `cell`."""
        return {"type": self.TYPE, "cell": self.cell.TYPE, **asdict(self.cell)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """See `LayerSpec.from_document`."""
        from truesparse.layers.registry import cells  # which knows this layer too

        own = {name: value for name, value in document.items() if name != "cell"}
        cell = document.get("cell")
        if not isinstance(cell, str) or cell not in cells():
            raise UsageError(f"the layer {cls.TYPE} has the cell {shown(cell)}, which is unknown")
        return cls(cells()[cell].from_document(own))
