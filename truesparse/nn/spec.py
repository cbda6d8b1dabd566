"""The sizes of models, and the table of cells."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from truesparse.errors import UsageError
from truesparse.modelfile.architecture import PATTERNS
from truesparse.nn.cell import Cell, MatrixShape
from truesparse.nn.lstm import LSTM
from truesparse.nn.rhn import RHN

# Your own cell goes here; `truesparse.nn.cell` says what it has to offer. The choices of the flag --cell are
# in `truesparse.training.config`; what files and the runtime know of it is in
# `truesparse.modelfile.architecture` and `truesparse.runtime.layers`.
CELLS: dict[str, type[Cell]] = {"lstm": LSTM, "rhn": RHN}


@dataclass(frozen=True)
class RecurrentSpec:
    """The sizes of what models of sequences have in common: an embedding and recurrent layers.

    Parameters
    ----------
    vocab_size : int
        Tokens; 0 for a model without embedding, whose inputs are `embedding_size` features.
    embedding_size, hidden_size, layers : int
    cell : str
        A name in `CELLS`.
    depth : int
        Recurrence depth: micro-steps of a time step. 1 for cells that have none.
    pattern : {"weight", "unit"}
        Whether each weight of a cell is there or not by itself, or each connection between an input and a
        unit, with a weight for each gate.

    Raises
    ------
    UsageError
        If a size is less than 1, the cell is unknown or it has no depth, or the pattern is unknown.
    """

    vocab_size: int
    embedding_size: int
    hidden_size: int
    layers: int
    cell: str = "lstm"
    depth: int = 1
    pattern: str = "weight"

    def __post_init__(self) -> None:
        for name in ("embedding_size", "hidden_size", "layers", "depth"):
            self._need_one(name)
        if self.cell not in CELLS:
            raise UsageError(f"there is no cell {self.cell!r}; use {' or '.join(CELLS)}")
        if self.depth > 1 and not CELLS[self.cell].DEEP:
            raise UsageError(f"the cell {self.cell} has no recurrence depth; leave out --depth")
        if self.pattern not in PATTERNS:
            raise UsageError(f"there is no pattern {self.pattern!r}; use {' or '.join(PATTERNS)}")

    def _need_one(self, name: str) -> None:
        if getattr(self, name) < 1:
            raise UsageError(f"{name} must be at least 1, not {getattr(self, name)}")

    @property
    def shapes(self) -> list[MatrixShape]:
        """The weight matrices, in the order of the arena."""
        shapes = []
        if self.vocab_size:
            shapes.append(MatrixShape("embedding.weight", (self.vocab_size, self.embedding_size), 1))
        inputs = self.embedding_size
        for name in self.layer_names:
            shapes += CELLS[self.cell].shapes(name, inputs, self.hidden_size, self.depth)
            inputs = self.hidden_size
        return shapes

    @property
    def groups(self) -> dict[str, int]:
        """For each weight matrix how many of its rows share their positions; see
        `truesparse.sparse.SparseMatrix`."""
        unit = self.pattern == "unit"
        return {shape.name: shape.blocks if unit else 1 for shape in self.shapes}

    @property
    def bias_sizes(self) -> dict[str, int]:
        """Length of each bias, and of what else is dense, by name."""
        sizes: dict[str, int] = {}
        for name in self.layer_names:
            sizes |= CELLS[self.cell].bias_sizes(name, self.hidden_size, self.depth)
        return sizes

    @property
    def layer_names(self) -> list[str]:
        """What the names of each layer's parameters begin with."""
        return [f"{self.cell}.{layer}" for layer in range(self.layers)]

    @property
    def gates(self) -> tuple[str, ...]:
        """What is stacked in the matrices of the layers, in order."""
        return CELLS[self.cell].GATES

    @property
    def dense_parameters(self) -> int:
        """Positions of all weight matrices: what a dense model would store, without biases."""
        return sum(rows * columns for _, (rows, columns), _ in self.shapes)

    def works_on_tokens(self, name: str) -> bool:
        """Whether every token that is read takes a product with a matrix; a lookup is none."""
        return name != "embedding.weight"

    def with_parameters(self, count: int) -> Self:
        """Return sizes whose dense matrices have as near to `count` positions as can be.

        The hidden size changes, and the embedding size in proportion; the rest stays.

        Parameters
        ----------
        count : int

        Returns
        -------
        RecurrentSpec
            Of the same class.

        Raises
        ------
        UsageError
            If one hidden unit has more already.
        """
        sized = self._with_hidden_size
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

    def _with_hidden_size(self, hidden: int) -> Self:
        """Sizes in proportion; features that are given stay as many."""
        embedding = self.embedding_size
        if self.vocab_size:
            embedding = max(1, round(embedding * hidden / self.hidden_size))
        return replace(self, hidden_size=hidden, embedding_size=embedding)


@dataclass(frozen=True)
class LanguageModelSpec(RecurrentSpec):
    """The sizes of a language model.

    Parameters
    ----------
    vocab_size, embedding_size, hidden_size, layers, cell, depth, pattern
        As in `RecurrentSpec`; every size is at least 1.
    tied : bool
        The output layer uses the embedding's matrix, which asks for `embedding_size == hidden_size`.
    output_group : int
        How many words, with numbers next to each other, share their positions in the output layer, and in the
        embedding; divides the vocabulary.

    Raises
    ------
    UsageError
        As `RecurrentSpec`; also if `tied` with different sizes, or if groups of words leave some over.
    """

    tied: bool = False
    output_group: int = 1

    def __post_init__(self) -> None:
        self._need_one("vocab_size")
        super().__post_init__()
        if self.tied and self.embedding_size != self.hidden_size:
            raise UsageError(
                f"tied weights need equal sizes, but the embedding has {self.embedding_size} and the hidden"
                f" layer {self.hidden_size}; give both the same size or leave out --tied"
            )
        if self.output_group < 1 or self.vocab_size % self.output_group:
            raise UsageError(
                f"a vocabulary of {self.vocab_size} cannot be cut into groups of {self.output_group}"
                "; give --output-group a number that divides it"
            )

    @property
    def groups(self) -> dict[str, int]:
        """For each weight matrix how many of its rows share their positions."""
        words = dict.fromkeys(("embedding.weight", "output.weight"), self.output_group)
        return {name: words.get(name, group) for name, group in super().groups.items()}

    @property
    def shapes(self) -> list[MatrixShape]:
        """The weight matrices, in the order of the arena."""
        shapes = super().shapes
        if not self.tied:
            shapes.append(MatrixShape("output.weight", (self.vocab_size, self.hidden_size), 1))
        return shapes

    @property
    def bias_sizes(self) -> dict[str, int]:
        """Length of each bias by name."""
        return super().bias_sizes | {"output.bias": self.vocab_size}

    def works_on_tokens(self, name: str) -> bool:
        """See `RecurrentSpec.works_on_tokens`; a tied embedding is the output layer too."""
        return self.tied or super().works_on_tokens(name)


POOLINGS = ("last", "mean", "max")


@dataclass(frozen=True)
class SequenceSpec(RecurrentSpec):
    """The sizes of a model that maps a sequence to a class or to numbers.

    Parameters
    ----------
    vocab_size, embedding_size, hidden_size, layers, cell, depth, pattern
        As in `RecurrentSpec`.
    outputs : int
        Classes, or numbers to be estimated.
    kind : {"classifier", "regressor"}
        Whether outputs are the logits of classes, two or more, or the numbers themselves.
    pooling : {"last", "mean", "max"}
        What the output layer sees of the top layer's outputs: the one at a sequence's last step, or their
        mean or maximum over its steps.
    sparse_output : bool
        Whether the output layer is sparse. If not, its weights are all there and counted with the biases.

    Raises
    ------
    UsageError
        As `RecurrentSpec`; also if `outputs` is too small, or a name unknown.
    """

    outputs: int = 2
    kind: str = "classifier"
    pooling: str = "last"
    sparse_output: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind not in ("classifier", "regressor"):
            raise UsageError(f"a model of sequences is a classifier or a regressor, not a {self.kind!r}")
        least = 2 if self.kind == "classifier" else 1
        if self.outputs < least:
            raise UsageError(f"a {self.kind} needs {least} or more outputs, not {self.outputs}")
        if self.pooling not in POOLINGS:
            raise UsageError(f"there is no pooling {self.pooling!r}; use {', '.join(POOLINGS)}")

    @property
    def shapes(self) -> list[MatrixShape]:
        """The sparse weight matrices, in the order of the arena."""
        output = MatrixShape("output.weight", (self.outputs, self.hidden_size), 1)
        return [*super().shapes, output] if self.sparse_output else super().shapes

    @property
    def bias_sizes(self) -> dict[str, int]:
        """Length of each bias by name, and of the weights of an output layer that is dense."""
        sizes = super().bias_sizes | {"output.bias": self.outputs}
        return sizes if self.sparse_output else sizes | {"output.weight": self.outputs * self.hidden_size}

    def works_on_tokens(self, name: str) -> bool:
        """See `RecurrentSpec.works_on_tokens`; the output layer is used once a sequence."""
        return name != "output.weight" and super().works_on_tokens(name)
