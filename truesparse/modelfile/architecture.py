"""The sizes of a model, and which matrices and biases follow from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from truesparse.errors import TruesparseError

LANGUAGE_MODEL = "language-model"
CLASSIFIER = "classifier"
POOLINGS = ("last", "mean", "max")
_LARGEST = 1 << 31  # of a size: numbers of units and tokens are 32-bit integers everywhere
PATTERNS = ("weight", "unit")
_SIZES = ("vocab_size", "embedding_size", "hidden_size", "layers", "depth")
_DEFAULTS = {"depth": 1, "pattern": "weight"}
# For each head the keys that it alone has, with their defaults; None where there must be a value.
_HEADS: dict[str, dict[str, Any]] = {
    LANGUAGE_MODEL: {"tied": False, "output_group": 1},
    CLASSIFIER: {"outputs": None, "pooling": None, "sparse_output": None},
}


class _Cell(NamedTuple):
    """Parameters of a layer with `inputs` inputs, `units` units and recurrence depth `depth`."""

    gates: tuple[str, ...]
    matrices: Callable[[int, int, int], dict[str, tuple[int, int]]]
    biases: Callable[[int], list[str]]
    deep: bool


def _rhn_matrices(inputs: int, units: int, depth: int) -> dict[str, tuple[int, int]]:
    return {
        "weight_ih": (2 * units, inputs),
        **{f"weight_hh.{level}": (2 * units, units) for level in range(depth)},
    }


CELLS: Mapping[str, _Cell] = {
    "lstm": _Cell(
        ("i", "f", "g", "o"),
        lambda inputs, units, depth: {"weight_ih": (4 * units, inputs), "weight_hh": (4 * units, units)},
        lambda depth: ["bias"],
        deep=False,
    ),
    "rhn": _Cell(
        ("h", "t"), _rhn_matrices, lambda depth: [f"bias.{level}" for level in range(depth)], deep=True
    ),
}


@dataclass(frozen=True)
class Architecture:
    """What a model computes, but for its weights.

    Parameters
    ----------
    cell : str
        A key of `CELLS`.
    vocab_size, embedding_size, hidden_size, layers : int
    depth : int
        Recurrence depth; 1 for an LSTM.
    head : {"language-model", "classifier"}
        Whether it says what the next token is, or to which class a text belongs.
    tied : bool
        The output layer uses the matrix of the embedding.
    outputs : int
        Rows of the output layer: classes, or in a language model tokens.
    pooling : {"last", "mean", "max"}
        What the output layer of a classifier sees: the top layer's last output, their mean or maximum.
    sparse_output : bool
        Whether the output layer is a sparse matrix. Otherwise its weights are a dense vector, row by row.
    pattern : {"weight", "unit"}
        Whether the gates of a unit share its connections.
    output_group : int
        How many words, with numbers next to each other, share their positions in embedding and output layer.
    """

    cell: str
    vocab_size: int
    embedding_size: int
    hidden_size: int
    layers: int
    depth: int = 1
    head: str = LANGUAGE_MODEL
    tied: bool = False
    outputs: int = 0
    pooling: str = "last"
    sparse_output: bool = True
    pattern: str = "weight"
    output_group: int = 1

    def __post_init__(self) -> None:
        if self.head == LANGUAGE_MODEL:
            object.__setattr__(self, "outputs", self.vocab_size)

    @classmethod
    def from_document(cls, sizes: Any, tensors: int) -> Architecture:
        """Read and check the sizes in the document of a file.

        Parameters
        ----------
        sizes : object
            The document's `model`: anything.
        tensors : int
            How many there are in the file. Sizes that ask for more are refused before anything is made from
            them.

        Returns
        -------
        Architecture

        Raises
        ------
        TruesparseError
            Something is missing, unknown, of another type or out of range; the sentence has no subject.
        """
        if not isinstance(sizes, dict) or not isinstance(sizes.get("type"), str):
            raise TruesparseError("says nothing of its model")
        kind = sizes["type"]
        cell, _, head = kind.partition("-")
        if head not in _HEADS:
            raise TruesparseError(f"is of another model: its type is {kind[:40]}")
        if cell not in CELLS:
            raise TruesparseError(f"is of another model: its cell is {cell!r}, not {' or '.join(CELLS)}")
        own = {name: value for name, value in _HEADS[head].items() if value is not None}
        sizes = {**_DEFAULTS, **own, **sizes}
        del sizes["type"]
        unknown = sizes.keys() - {*_SIZES, *_DEFAULTS, *_HEADS[head]}
        missing = {*_SIZES, *_HEADS[head]} - sizes.keys()
        if unknown or missing:
            key = min(unknown or missing)
            raise TruesparseError(f"is of another model: {key!r} is {'unknown' if unknown else 'missing'}")
        for name in (*_SIZES, "outputs", "output_group"):
            size = sizes.get(name, 1)
            if type(size) is not int or not 1 <= size < _LARGEST:
                raise TruesparseError(f"is of no model: {name} is {str(size)[:20]}")
        for name in ("tied", "sparse_output"):
            if type(sizes.get(name, False)) is not bool:
                raise TruesparseError(f"is of no model: {name} is neither true nor false")
        if sizes.get("pooling", "last") not in POOLINGS:
            raise TruesparseError(f"is of no model: its pooling is {str(sizes['pooling'])[:20]!r}")
        if sizes.get("outputs", 2) < 2:
            raise TruesparseError("is of no model: it has one class")
        if sizes["pattern"] not in PATTERNS:
            raise TruesparseError(f"is of no model: its pattern is {str(sizes['pattern'])[:20]!r}")
        if sizes["vocab_size"] % sizes.get("output_group", 1):
            raise TruesparseError("is of no model: its groups of words leave some over")
        if sizes["depth"] > 1 and not CELLS[cell].deep:
            raise TruesparseError(f"is of no model: the cell {cell} has no recurrence depth")
        if sizes["layers"] * sizes["depth"] > tensors:
            raise TruesparseError("is of no model: it has fewer tensors than layers")
        if sizes.get("tied") and sizes["embedding_size"] != sizes["hidden_size"]:
            raise TruesparseError("is of no model: weights of different sizes are tied")
        return cls(cell=cell, head=head, **sizes)

    @property
    def sizes(self) -> dict[str, Any]:
        """What a file says of it, but for the type."""
        return {name: getattr(self, name) for name in (*_SIZES, "pattern", *_HEADS[self.head])}

    @property
    def layer_names(self) -> list[str]:
        """What the names of each layer's parameters begin with."""
        return [f"{self.cell}.{layer}" for layer in range(self.layers)]

    @property
    def gates(self) -> tuple[str, ...]:
        """What is stacked in the matrices of the layers, in order."""
        return CELLS[self.cell].gates

    def works_on_tokens(self, name: str) -> bool:
        """Whether every token that is read takes a product with a matrix; a lookup is none."""
        if self.head == CLASSIFIER and name == "output.weight":
            return False
        return self.tied or name != "embedding.weight"

    @property
    def matrices(self) -> dict[str, tuple[int, int]]:
        """Shape of each sparse matrix by name."""
        shapes = {"embedding.weight": (self.vocab_size, self.embedding_size)}
        inputs = self.embedding_size
        for layer in self.layer_names:
            own = CELLS[self.cell].matrices(inputs, self.hidden_size, self.depth)
            shapes |= {f"{layer}.{name}": shape for name, shape in own.items()}
            inputs = self.hidden_size
        if self.sparse_output and not self.tied:
            shapes["output.weight"] = (self.outputs, self.hidden_size)
        return shapes

    @property
    def groups(self) -> dict[str, tuple[int, int]]:
        """For each sparse matrix how many blocks of rows are stacked in it, and how many of its rows share
        their positions; see `truesparse.csr.row_steps`."""
        gates = len(self.gates)
        words = {"embedding.weight": (1, self.output_group), "output.weight": (1, self.output_group)}
        own = (gates, gates if self.pattern == "unit" else 1)
        return {name: words.get(name, own) for name in self.matrices}

    @property
    def biases(self) -> dict[str, int]:
        """Length of each bias by name, and of an output layer's weights that are dense."""
        cell = CELLS[self.cell]
        rows = len(cell.gates) * self.hidden_size
        sizes = {f"{layer}.{name}": rows for layer in self.layer_names for name in cell.biases(self.depth)}
        sizes["output.bias"] = self.outputs
        return sizes if self.sparse_output else sizes | {"output.weight": self.outputs * self.hidden_size}

    @property
    def dense_parameters(self) -> int:
        """Positions of all matrices: what a dense model would store, without biases."""
        return sum(rows * columns for rows, columns in self.matrices.values())
