"""What a model is: layers in a row, and what follows from them."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple, Self

from truesparse.errors import UsageError
from truesparse.layers.bidirectional.spec import DIRECTIONS, Bidirectional
from truesparse.layers.embedding.spec import Embedding
from truesparse.layers.layer_norm.spec import LayerNorm
from truesparse.layers.linear.spec import Linear
from truesparse.layers.output.spec import Head, Softmax
from truesparse.layers.pool.spec import Pool
from truesparse.layers.positions.spec import Positions
from truesparse.layers.registry import layer_type
from truesparse.layers.residual.spec import Residual
from truesparse.layers.spec import (
    LARGEST,
    SEQUENCE,
    STEPS,
    TOKENS,
    WORDS,
    LayerSpec,
    Matrix,
    Recurrent,
    Signal,
    Vector,
)
from truesparse.layers.standardize.spec import Standardize
from truesparse.settings import check_kind, checked, setting, shown

EMBEDDING = "embedding.weight"
_OF_ALL_UNITS = LayerNorm, Positions, Residual  # behind them, a unit without weights is not 0


class Place(NamedTuple):
    """A layer in a chain.

    Attributes
    ----------
    name : str
        What the names of its parameters begin with, such as ``lstm.0``.
    spec : LayerSpec
    given, output : Signal
        What it gets and what it makes of it.
    """

    name: str
    spec: LayerSpec
    given: Signal
    output: Signal

    @property
    def matrices(self) -> list[Matrix]:
        """Its matrices by their names in the chain."""
        own = self.spec.matrices(self.given)
        return [matrix._replace(name=f"{self.name}.{matrix.name}") for matrix in own]

    @property
    def vectors(self) -> list[Vector]:
        """Its vectors by their names in the chain."""
        own = self.spec.vectors(self.given)
        return [vector._replace(name=f"{self.name}.{vector.name}") for vector in own]

    @property
    def names(self) -> list[str]:
        """Those of its matrices and vectors."""
        return [*(matrix.name for matrix in self.matrices), *(vector.name for vector in self.vectors)]

    @property
    def state(self) -> dict[str, int]:
        """Sizes of the parts of its state by their names in the chain."""
        return {f"{self.name}.{part}": size for part, size in self.spec.state.items()}

    @property
    def directions(self) -> tuple[Place, ...]:
        """The recurrent layers in it: itself, those of both directions, or none."""
        if isinstance(self.spec, Recurrent):
            return (self,)
        if not isinstance(self.spec, Bidirectional):
            return ()
        cell = self.spec.cell
        output = cell.output(self.given)
        return tuple(Place(f"{self.name}.{way}", cell, self.given, output) for way in DIRECTIONS)

    @property
    def inner(self) -> tuple[Place, ...]:
        """The layers of a residual layer; none of another."""
        if not isinstance(self.spec, Residual):
            return ()
        return tuple(
            Place(f"{self.name}.{own.name}", own.spec, own.given, own.output)
            for own in self.spec.inner(self.given)
        )


@dataclass(frozen=True, init=False)
class ChainSpec:
    """Layers in a row; the last one is a head.

    Parameters
    ----------
    *layers : LayerSpec
        The first is an embedding, which reads tokens; or any other, which reads `features`.
    features : int
        Features at each step, for a chain without an embedding; 0 with one.

    Raises
    ------
    UsageError
        The layers do not fit each other.
    """

    layers: tuple[LayerSpec, ...]
    features: int = setting(0, "Numbers at each step.", low=0, high=LARGEST)

    def __init__(self, *layers: LayerSpec, features: int = 0) -> None:
        _, field = dataclasses.fields(self)
        for number, layer in enumerate(layers):
            check_kind(f"layer {number}", layer, LayerSpec, "a layer, such as LSTM(32)")
        object.__setattr__(self, "layers", layers)
        object.__setattr__(self, "features", checked(field, features, "features of the model"))
        if not layers or not isinstance(layers[-1], Head):
            raise UsageError("the last layer of a model must be a head, such as softmax")
        if any(isinstance(layer, Head) for layer in layers[:-1]):
            raise UsageError("only the last layer of a model can be a head")
        if any(isinstance(layer, Standardize) for layer in layers[1:]):
            raise UsageError("only the first layer of a model can standardize what it reads")
        for place in self.places:
            if place.given.kind not in place.spec.TAKES:
                raise UsageError(
                    f"the layer {place.name} cannot follow what gives {WORDS[place.given.kind]}"
                    f"; it takes {' or '.join(WORDS[kind] for kind in place.spec.TAKES)}"
                )
        if self.head.tied:
            self._check_tied()

    def _check_tied(self) -> None:
        embedding = next((layer for layer in self.layers if isinstance(layer, Embedding)), None)
        size = self.head.width(self.places[-1].given)
        if embedding is None:
            raise UsageError("there is no embedding to tie the output layer to; leave out --tied")
        if embedding.size != size:
            raise UsageError(
                f"tied weights need equal sizes, but the embedding has {embedding.size} and the hidden"
                f" layer {size}; give both the same size or leave out --tied"
            )
        if (embedding.tokens, embedding.group) != (self.head.outputs, self.head.group):
            raise UsageError(
                f"tied weights need the {embedding.tokens} tokens of the embedding, in groups of"
                f" {embedding.group}, as outputs, not {self.head.outputs} in groups of {self.head.group}"
            )

    def __eq__(self, other: object) -> bool:
        """Whether the layers are the same, whatever else the chains can do."""
        return isinstance(other, ChainSpec) and (self.layers, self.features) == (other.layers, other.features)

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """The layers with their names and signals."""
        return tuple(self._places())

    def _places(self) -> Iterator[Place]:
        signal = Signal(STEPS, self.features)
        if self.tokens:
            signal = Signal(TOKENS, self.tokens)
            if self.features:
                raise UsageError("a model with an embedding reads tokens; leave out its features")
        elif not self.features:
            raise UsageError("a model without an embedding must say how many features it reads")
        numbers: Counter[str] = Counter()
        for layer in self.layers:
            name = layer.NAME or layer.TYPE
            if numbers[name] and not layer.NUMBERED:
                raise UsageError(f"a model can have only one layer {name}")
            numbers[name] += 1
            name = f"{name}.{numbers[name] - 1}" if layer.NUMBERED else name
            output = layer.output(signal)
            yield Place(name, layer, signal, output)
            signal = output

    @cached_property
    def tokens(self) -> int:
        """Different tokens that it reads; 0 if it reads features."""
        return next((layer.tokens for layer in self.layers if isinstance(layer, Embedding)), 0)

    @cached_property
    def head(self) -> Head:
        """The last layer."""
        head = self.layers[-1]
        assert isinstance(head, Head)
        return head

    @property
    def recurrent(self) -> list[Place]:
        """The recurrent layers."""
        return [place for place in self.places if place.directions]

    @property
    def whole(self) -> bool:
        """Whether it has to know a sequence to its end before it has any output."""
        return any(layer.whole for layer in self.layers)

    @property
    def feed_forward(self) -> bool:
        """Whether it reads features and no layer knows of other steps than its own."""
        return bool(self.features) and not any(place.spec.state or place.spec.whole for place in self.places)

    def split(self) -> tuple[list[Place], list[Place]]:
        """What a reader of one token after another computes at each step, and what only for scores.

        Returns
        -------
        list of Place
            The layers up to the pooling, or without one up to the last layer that knows of other steps.
        list of Place
            Those behind. Neither has embedding, pooling and head, nor what is for training only.
        """
        every = (place for place in self.places[:-1] if not place.spec.TRAINING_ONLY)
        places = [place for place in every if not isinstance(place.spec, (Embedding, Pool))]
        if self.pooling:
            number = sum(place.given.kind == STEPS for place in places)
        else:
            number = max(
                (n for n, place in enumerate(places, 1) if place.spec.state or place.spec.whole), default=0
            )
        return places[:number], places[number:]

    @property
    def gates(self) -> dict[str, tuple[str, ...]]:
        """What is stacked in each matrix of several gates."""
        return {matrix.name: matrix.gates for matrix in self.matrices if matrix.blocks > 1}

    @cached_property
    def per_step(self) -> bool:
        """Whether the head has an output at each step, not one for a sequence."""
        return self.places[-1].given.kind == STEPS

    @property
    def pooling(self) -> str:
        """How a sequence becomes one vector; empty where it does not."""
        kinds = [layer.kind for layer in self.layers if isinstance(layer, Pool)]
        return kinds[0] if self.places[-1].given.kind == SEQUENCE else ""

    @property
    def pooled_size(self) -> int:
        """Length of the vector of a sequence; 0 without pooling."""
        return next((place.output.size for place in self.places if isinstance(place.spec, Pool)), 0)

    @cached_property
    def matrices(self) -> tuple[Matrix, ...]:
        """All sparse matrices, in the order of the arena; a tied embedding takes a product at every step."""
        every = [matrix for place in self.places for matrix in place.matrices]
        if self.head.tied:
            every = [m._replace(used="step") if m.name == EMBEDDING else m for m in every]
        return tuple(every)

    @property
    def shapes(self) -> list[tuple[str, tuple[int, int], int]]:
        """Name, shape and number of blocks of each matrix, as `truesparse.topology.initial` takes them."""
        return [(matrix.name, matrix.shape, matrix.blocks) for matrix in self.matrices]

    @property
    def lookups(self) -> list[str]:
        """Names of the matrices whose rows are looked up, and that are not multiplied."""
        return [matrix.name for matrix in self.matrices if matrix.used == "lookup"]

    @property
    def token_matrices(self) -> list[str]:
        """Names of the matrices with a row for each token: the embedding, and the weights of a softmax that
        has as many outputs at each step."""
        rows = {matrix.name: matrix.shape[0] for matrix in self.matrices if matrix.used != "sequence"}
        names = dict.fromkeys([EMBEDDING, *[self.output_matrix] * isinstance(self.head, Softmax)])
        return [name for name in names if EMBEDDING in rows and rows.get(name) == rows[EMBEDDING]]

    def own_densities(self, embedding: float | None) -> dict[str, float]:
        """Densities of matrices that do not share one with the others, as `initial_counts` takes them.

        Parameters
        ----------
        embedding : float, optional
            That of the embedding.

        Raises
        ------
        UsageError
            There is no embedding that is only looked up.
        """
        if embedding is None:
            return {}
        if EMBEDDING not in self.lookups:
            raise UsageError(
                "an embedding density is for a model with an embedding that is not the output layer too"
                "; leave it out"
            )
        return {EMBEDDING: embedding}

    @property
    def vectors(self) -> tuple[Vector, ...]:
        """All dense vectors, in the order of the arena."""
        return tuple(vector for place in self.places for vector in place.vectors)

    @property
    def output_matrix(self) -> str:
        """Name of the head's weights."""
        return EMBEDDING if self.head.tied else f"{self.head.NAME}.weight"

    @property
    def dense_parameters(self) -> int:
        """Positions of all sparse matrices: what a dense model would store, without biases."""
        return sum(matrix.positions for matrix in self.matrices)

    @property
    def units(self) -> int:
        """Length of the vector that the head reads, of one direction: units of the last recurrent layer."""
        given = self.places[-1].given
        return given.size - given.backward

    @property
    def hidden_units(self) -> list[tuple[int, tuple[str, ...], tuple[str, ...]]]:
        """For each recurrent layer, or direction of one, and each linear layer how many units it has, and of
        which matrices they are rows and columns; of none whose outputs are normalised or added to."""
        ends = [n for n, place in enumerate(self.places) if place.matrices or place.spec is self.head]
        found = []
        for first, last in pairwise(ends):
            place, behind = self.places[first], self.places[last]
            if any(isinstance(after.spec, _OF_ALL_UNITS) for after in self.places[first + 1 : last + 1]):
                continue
            for layer in place.directions or (place,) * isinstance(place.spec, Linear):
                size, own = layer.output.size, layer.matrices
                rows = tuple(matrix.name for matrix in own if matrix.shape[0] == matrix.blocks * size)
                reads = [matrix.name for matrix in own if matrix.reads == "state"]
                reads += [matrix.name for matrix in behind.matrices if matrix.reads == "input"]
                if behind.spec is self.head and self.head.tied and self.head.DIRECT:
                    reads.append(self.output_matrix)
                found.append((size, rows, tuple(reads)))
        return found

    def with_head(self, **changes: Any) -> ChainSpec:
        """The chain whose head has other settings."""
        head = dataclasses.replace(self.head, **changes)
        return ChainSpec(*self.layers[:-1], head, features=self.features)

    def resized(self, numerator: int, denominator: int) -> ChainSpec:
        """The chain with the sizes of its layers in proportion; inputs and outputs stay as large."""
        layers = (layer.resized(numerator, denominator) for layer in self.layers)
        return ChainSpec(*layers, features=self.features)

    def with_parameters(self, count: int) -> ChainSpec:
        """Return a chain whose dense matrices have as near to `count` positions as can be.

        Raises
        ------
        UsageError
            If one hidden unit has more already, or no layer has a size of its own.
        """

        def sized(units: int) -> ChainSpec:
            return self.resized(units, self.units)

        if sized(2 * self.units) == sized(self.units):
            raise UsageError("no layer of this model has a size that could change")
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

    def to_document(self) -> dict[str, Any]:
        """What JSON can hold."""
        return {"features": self.features, "layers": [layer.to_document() for layer in self.layers]}

    @classmethod
    def from_document(cls, document: Any) -> Self:
        """The chain that `to_document` wrote.

        Raises
        ------
        UsageError
            The document is not one, or has a layer that is unknown or cannot be.
        """
        layers = document.get("layers") if isinstance(document, dict) else None
        if not isinstance(layers, list) or not all(
            isinstance(layer, dict) and isinstance(layer.get("type"), str) for layer in layers
        ):
            raise UsageError("the model's document has no list of layers")
        unknown = sorted(document.keys() - {"features", "layers"})
        if unknown:
            raise UsageError(f"the model's document has {shown(unknown[0])}, which is unknown")
        specs = tuple(layer_type(layer["type"][:40]).from_document(layer) for layer in layers)
        return cls(*specs, features=document.get("features", 0))
