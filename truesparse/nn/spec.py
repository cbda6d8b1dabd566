"""The sizes of a language model, and the table of cells."""

from __future__ import annotations

from dataclasses import dataclass, replace

from truesparse.errors import UsageError
from truesparse.nn.cell import Cell, MatrixShape
from truesparse.nn.lstm import LSTM
from truesparse.nn.rhn import RHN

# Your own cell goes here; `truesparse.nn.cell` says what it has to offer. The choices of the flag --cell are
# in `truesparse.training.config`.
CELLS: dict[str, type[Cell]] = {"lstm": LSTM, "rhn": RHN}


@dataclass(frozen=True)
class LanguageModelSpec:
    """The sizes of a language model.

    Parameters
    ----------
    vocab_size, embedding_size, hidden_size, layers : int
    tied : bool
        The output layer uses the embedding's matrix, which asks for `embedding_size == hidden_size`.
    cell : str
        A name in `CELLS`.
    depth : int
        Recurrence depth: micro-steps of a time step. 1 for cells that have none.

    Raises
    ------
    UsageError
        If a size is less than 1, `tied` with different sizes, the cell is unknown or it has no depth.
    """

    vocab_size: int
    embedding_size: int
    hidden_size: int
    layers: int
    tied: bool = False
    cell: str = "lstm"
    depth: int = 1

    def __post_init__(self) -> None:
        for name in ("vocab_size", "embedding_size", "hidden_size", "layers", "depth"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.tied and self.embedding_size != self.hidden_size:
            raise UsageError(
                f"tied weights need equal sizes, but the embedding has {self.embedding_size} and the hidden"
                f" layer {self.hidden_size}; give both the same size or leave out --tied"
            )
        if self.cell not in CELLS:
            raise UsageError(f"there is no cell {self.cell!r}; use {' or '.join(CELLS)}")
        if self.depth > 1 and not CELLS[self.cell].DEEP:
            raise UsageError(f"the cell {self.cell} has no recurrence depth; leave out --depth")

    @property
    def shapes(self) -> list[MatrixShape]:
        """The weight matrices, in the order of the arena."""
        shapes = [MatrixShape("embedding.weight", (self.vocab_size, self.embedding_size), 1)]
        inputs = self.embedding_size
        for name in self.layer_names:
            shapes += CELLS[self.cell].shapes(name, inputs, self.hidden_size, self.depth)
            inputs = self.hidden_size
        if not self.tied:
            shapes.append(MatrixShape("output.weight", (self.vocab_size, self.hidden_size), 1))
        return shapes

    @property
    def bias_sizes(self) -> dict[str, int]:
        """Length of each bias by name."""
        sizes: dict[str, int] = {}
        for name in self.layer_names:
            sizes |= CELLS[self.cell].bias_sizes(name, self.hidden_size, self.depth)
        return sizes | {"output.bias": self.vocab_size}

    @property
    def layer_names(self) -> list[str]:
        """What the names of each layer's parameters begin with."""
        return [f"{self.cell}.{layer}" for layer in range(self.layers)]

    @property
    def gates(self) -> tuple[str, ...]:
        """What is stacked in the matrices of the layers, in order."""
        return CELLS[self.cell].GATES

    def with_parameters(self, count: int) -> LanguageModelSpec:
        """Return sizes whose dense matrices have as near to `count` positions as can be.

        The hidden size changes, and the embedding size in proportion; the rest stays.

        Parameters
        ----------
        count : int

        Returns
        -------
        LanguageModelSpec

        Raises
        ------
        UsageError
            If one hidden unit has more already.
        """

        def sized(hidden: int) -> LanguageModelSpec:
            embedding = max(1, round(self.embedding_size * hidden / self.hidden_size))
            return replace(self, hidden_size=hidden, embedding_size=embedding)

        if sized(1).dense_parameters > count:
            raise UsageError(
                f"a dense model of one unit has more than {count:,} weights, namely"
                f" {sized(1).dense_parameters:,}; use a higher density"
            )
        low, high = 1, 2
        while sized(high).dense_parameters <= count:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if sized(middle).dense_parameters <= count else (low, middle)
        below, above = sized(low), sized(high)
        nearer = count - below.dense_parameters <= above.dense_parameters - count
        return below if nearer else above

    @property
    def dense_parameters(self) -> int:
        """Positions of all weight matrices: what a dense model would store, without biases."""
        return sum(rows * columns for _, (rows, columns), _ in self.shapes)
