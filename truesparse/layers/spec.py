"""What a layer is: its sizes, parameters, state and cost. Everything else that needs to know asks here."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple, Self

from truesparse.errors import UsageError
from truesparse.settings import checked, fraction, setting, shown

LARGEST = (1 << 31) - 1  # numbers of units and tokens are 32-bit integers everywhere

TOKENS, STEPS, SEQUENCE = "tokens", "steps", "sequence"
WORDS = {TOKENS: "tokens", STEPS: "features at each step", SEQUENCE: "one vector a sequence"}


class Signal(NamedTuple):
    """What goes from one layer to the next.

    Attributes
    ----------
    kind : {"tokens", "steps", "sequence"}
        A number at each step, a vector at each step, or one vector for the whole sequence.
    size : int
        Different tokens, or length of the vector.
    backward : int
        How many of the vector's numbers, the last ones, come from a layer that reads from the end on: what
        that says last stands at the first step.
    """

    kind: str
    size: int
    backward: int = 0


class Matrix(NamedTuple):
    """A sparse weight matrix.

    Attributes
    ----------
    name : str
        Within its layer, such as ``weight_ih``; within a chain with the layer's name before it.
    shape : tuple of int
        Rows (outputs) and columns (inputs).
    gates : tuple of str
        Names of the equal blocks of rows that are stacked in it; empty if there is one.
    group : int
        How many rows share their positions; see `truesparse.sparse.SparseMatrix`.
    used : {"step", "lookup", "sequence"}
        Whether it takes a product at every step, none, or one a sequence.
    reads : {"input", "state"}
        Whether its columns are the layer's inputs, or its own units.
    dropped : float
        Which fraction of its weights a window of training is without.
    """

    name: str
    shape: tuple[int, int]
    gates: tuple[str, ...] = ()
    group: int = 1
    used: Literal["step", "lookup", "sequence"] = "step"
    reads: Literal["input", "state"] = "input"
    dropped: float = 0.0

    @property
    def blocks(self) -> int:
        """How many blocks of rows are stacked."""
        return max(1, len(self.gates))

    @property
    def positions(self) -> int:
        """Rows times columns."""
        return self.shape[0] * self.shape[1]


class Vector(NamedTuple):
    """A dense vector of trainable numbers.

    Attributes
    ----------
    name : str
    size : int
    gates : tuple of str
        Names of its equal parts; empty if it has none.
    first : float or mapping of str to float
        What it starts with, or each gate that does not start with 0.
    drawn : bool
        It starts with random numbers instead, like the weights of a dense matrix.
    """

    name: str
    size: int
    gates: tuple[str, ...] = ()
    first: Mapping[str, float] = {}
    drawn: bool = False


def count(help: str, default: Any = dataclasses.MISSING) -> Any:
    """A field for a number of things, at least 1."""
    return setting(default, help, low=1, high=LARGEST)


def rate(help: str) -> Any:
    """A field for a fraction that is dropped in training."""
    return fraction(0.0, help, none=True)


def pattern() -> Any:
    """A field for what a method makes and removes."""
    return setting(
        "weight",
        "What exists or not: each weight, or each connection of two units, with a weight for each gate.",
        choices=("weight", "unit"),
    )


@dataclass(frozen=True, init=False, repr=False, eq=False)
class LayerSpec(ABC):
    """What a layer is. A subclass that has fields is a frozen dataclass; `setting` makes them.

    Attributes
    ----------
    TYPE : str
        What documents and the registry call it.
    TAKES : tuple of str
        Kinds of signals that it can follow.
    TRAINING_ONLY : bool
        Whether it passes on what it gets, except in training.
    NUMBERED : bool
        Whether there may be several in a chain, so that their names have a number.
    NAME : str
        What the names of its parameters begin with; the type if empty.
    SPARED : tuple of str
        Parts that it needs not have, as forms write what it computes themselves; see
        `truesparse.layers.parts.part`. A layer that is derived from it does not inherit this.
    LACKS : mapping of str to str
        Of parts that it cannot have, the reason: what follows "because" in a sentence.
    FREE : tuple of str
        Settings that do not matter to what its connections mean: topologies of models with other values can
        be compared.
    """

    TYPE: ClassVar[str]
    TAKES: ClassVar[tuple[str, ...]] = (STEPS,)
    TRAINING_ONLY: ClassVar[bool] = False
    NUMBERED: ClassVar[bool] = True
    NAME: ClassVar[str] = ""
    SPARED: ClassVar[tuple[str, ...]] = ()
    LACKS: ClassVar[Mapping[str, str]] = {}
    FREE: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            name = f"{field.name} of the layer {self.TYPE}"
            value = checked(field, getattr(self, field.name), name)
            object.__setattr__(self, field.name, value)

    @abstractmethod
    def output(self, given: Signal) -> Signal:
        """What it makes of a signal.

        Raises
        ------
        UsageError
            It cannot follow one of that size.
        """

    def matrices(self, given: Signal) -> tuple[Matrix, ...]:
        """Its sparse matrices, in the order of the arena."""
        return ()

    def vectors(self, given: Signal) -> tuple[Vector, ...]:
        """Its dense vectors."""
        return ()

    @property
    def matrix_count(self) -> int:
        """How many sparse matrices it has, whatever it follows; nothing is made to tell."""
        return len(self.matrices(Signal(STEPS, 1)))

    @property
    def state(self) -> dict[str, int]:
        """Parts of what it carries from step to step, and how many numbers of a sequence each one has; the
        first is its output."""
        return {}

    @property
    def whole(self) -> bool:
        """Whether it has to know a sequence to its end before it has any output."""
        return False

    @property
    def sums(self) -> tuple[tuple[str, ...], ...]:
        """Names of matrices whose products are added up, so that a unit has one set of inputs for all of
        them."""
        return ()

    def resized(self, numerator: int, denominator: int) -> Self:
        """The layer with its own sizes in proportion, each at least 1."""
        return self

    def to_document(self) -> dict[str, Any]:
        """What JSON can hold; tuples that are empty are left out."""
        given = {name: value for name, value in dataclasses.asdict(self).items() if value != ()}
        lists = {name: list(value) for name, value in given.items() if isinstance(value, tuple)}
        return {"type": self.TYPE, **given, **lists}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """The layer that `to_document` wrote.

        Raises
        ------
        UsageError
            A setting is unknown, missing or out of range.
        """
        given = {name: value for name, value in document.items() if name != "type"}
        fields = {field.name: field for field in dataclasses.fields(cls)}
        unknown = sorted(given.keys() - fields)
        if unknown:
            raise UsageError(f"the layer {cls.TYPE} has no setting {shown(unknown[0])}")
        for name, field in fields.items():
            if name not in given and field.default is dataclasses.MISSING:
                raise UsageError(f"the layer {cls.TYPE} lacks its {name}")
        spec = cls(**given)
        for name in spec.to_document():
            if name not in document:  # it is never left out, so somebody lost it
                raise UsageError(f"the layer {cls.TYPE} lacks its {name}")
        return spec


@dataclass(frozen=True)
class Recurrent(LayerSpec):
    """A layer of units that read their own outputs of the step before.

    Attributes
    ----------
    GATES : tuple of str
        What is stacked in its matrices and biases, in order.
    MASTERS : tuple of str
        The same of matrices that have fewer rows, for gates of whole chunks of units.
    ORDERED : bool
        Whether its units have an order that means something.
    LOCKED : bool
        Whether models of it drop the same units at every step if nothing is said; then words and its own
        state too.
    """

    GATES: ClassVar[tuple[str, ...]]
    MASTERS: ClassVar[tuple[str, ...]] = ()
    ORDERED: ClassVar[bool] = False
    LOCKED: ClassVar[bool] = False
    FREE: ClassVar[tuple[str, ...]] = ("pattern", "dropout", "dropout_weights")

    units: int = count("Units, H.")
    pattern: str = pattern()
    _: KW_ONLY
    dropout_weights: float = rate("Fraction of the recurrent weights dropped from a window in training.")

    def output(self, given: Signal) -> Signal:
        """A vector of its units at each step."""
        return Signal(STEPS, self.units)

    def matrices(self, given: Signal) -> tuple[Matrix, ...]:
        """`weight_ih` and `weight_hh`."""
        return self._matrix("weight_ih", given.size), self._matrix("weight_hh", self.units, "state")

    def vectors(self, given: Signal) -> tuple[Vector, ...]:
        """`bias`."""
        return (self._bias("bias"),)

    @property
    def state(self) -> dict[str, int]:
        """The output is all."""
        return {"h": self.units}

    @property
    def sums(self) -> tuple[tuple[str, ...], ...]:
        """A gate gets its inputs from both products."""
        return (("weight_ih", "weight_hh"),)

    def resized(self, numerator: int, denominator: int) -> Self:
        """See `LayerSpec.resized`."""
        return replace(self, units=max(1, round(self.units * numerator / denominator)))

    @classmethod
    def own_fields(cls) -> tuple[dataclasses.Field[Any], ...]:
        """The settings that not all recurrent layers have."""
        common = {field.name for field in dataclasses.fields(Recurrent)}
        return tuple(field for field in dataclasses.fields(cls) if field.name not in common)

    def _matrix(self, name: str, columns: int, reads: Literal["input", "state"] = "input") -> Matrix:
        """A matrix of all gates."""
        gates = self.GATES
        group = len(gates) if self.pattern == "unit" else 1
        dropped = self.dropout_weights if reads == "state" else 0.0
        return Matrix(name, (len(gates) * self.units, columns), gates, group, "step", reads, dropped)

    def _bias(self, name: str, first: Mapping[str, float] | None = None) -> Vector:
        """A bias of all gates."""
        return Vector(name, len(self.GATES) * self.units, self.GATES, first or {})
