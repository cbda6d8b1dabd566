"""How far apart two topologies are, whatever the order of their hidden units.

The inputs of a unit are a set. Two sets are as far apart as the share of their union that they do not have in
common (the Jaccard distance): 0 for equal sets, 1 for disjoint ones. Hidden units have no order of their own:
those of one network are matched with those of the other, so that the mean distance of matched units is least,
and from then on the units of the second network are counted in the order of their partners.

In a recurrent layer one matching serves the rows of all gates and the columns of the recurrent matrices. Its
distance is then no sum over pairs of units, and the least one is a graph matching problem; what is found here
is a distance that a matching really has, and so at least the least one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array, hstack

from truesparse.sparse.pattern import Pattern

FIXED = ""  # name of units whose order means something, such as words
_MOST_ROUNDS = 20  # of matching recurrent units again; about five are needed

# order[i] is the unit of the second network that unit i of the first one is matched with
Order = NDArray[np.int64]
Orders = Mapping[str, Order]
Distances = NDArray[np.float64]
# for each gate of a matrix the inputs of its units, one a row
Sets = dict[str, list[csr_array]]


class Input(NamedTuple):
    """A matrix that leads into a layer, and the name of the units that its columns are, or `FIXED`; several
    where those of several layers come one after the other."""

    matrix: str
    source: str | tuple[str, ...]

    @property
    def sources(self) -> tuple[str, ...]:
        """The names."""
        return (self.source,) if isinstance(self.source, str) else self.source


class LayerWiring(NamedTuple):
    """Units, and what they get their inputs from.

    Parameters
    ----------
    name : str
    units : str
        Name of its units, or `FIXED`. Layers that name the same units have one order of them.
    sums : tuple of tuple of Input
        The products that are added up for a unit: those of one tuple make one set of inputs, for each gate.
    gates : tuple of str
        Names of the equal row blocks that are stacked in its matrices, if any are.
    by_column : bool
        The matrix has its units as columns and what leads into them as rows, as an embedding has.
    """

    name: str
    units: str
    sums: tuple[tuple[Input, ...], ...]
    gates: tuple[str, ...] = ()
    by_column: bool = False

    @property
    def blocks(self) -> int:
        """How many row blocks its matrices have."""
        return max(len(self.gates), 1)


@dataclass(frozen=True)
class PartDistance:
    """The distance of a layer, or of one of its matrices by itself.

    Attributes
    ----------
    name : str
    distance : float
        Mean over units, gates and sets of inputs, after matching; in [0, 1].
    unmatched : float
        The same with the units of both networks in the order they have.
    per_gate : dict of str to float
        `distance` of each gate, by name.
    matrices : tuple of PartDistance
        Of a layer: the distance of each of its matrices by itself.
    """

    name: str
    distance: float
    unmatched: float
    per_gate: dict[str, float]
    matrices: tuple[PartDistance, ...] = ()


@dataclass(frozen=True)
class TopologyDistance:
    """How far apart two networks are.

    Attributes
    ----------
    distance, unmatched : float
        Mean of the layers.
    layers : tuple of PartDistance
        In the order of the network.
    orders : dict of str to ndarray of int64
        For each name of units, which unit of the second network each one of the first is matched with.
    """

    distance: float
    unmatched: float
    layers: tuple[PartDistance, ...]
    orders: dict[str, Order]


def topology_distance(
    first: Mapping[str, Pattern], second: Mapping[str, Pattern], layers: Sequence[LayerWiring]
) -> TopologyDistance:
    """Return the normalised distance of two topologies.

    Parameters
    ----------
    first, second : mapping of str to Pattern
        The matrices of both networks by name, of equal shapes.
    layers : sequence of LayerWiring
        From the inputs to the outputs.

    Returns
    -------
    TopologyDistance
        Where no matching makes the whole smaller, that without matching.

    Notes
    -----
    Layer by layer, units are matched by their inputs from units that have been matched, with the Hungarian
    method. In a recurrent layer the own units are left out at first; then they are taken in the best order
    yet, which may be that of the start, and matched again until the layer's distance falls no more.

    Work, for H units with k inputs each, is ``O(H^2 k d + H^3)`` a matching, d being the density. Memory: 8
    bytes for each weight of both networks, the costs of matching any unit with any, ``8 H^2`` bytes, and some
    ``40 H^2`` while they are added up. No array has the size of a weight matrix.

    References
    ----------
    Liu, van der Lee, Yaman, Atashgahi, Ferraro, Sokar, Pechenizkiy & Mocanu, "Topological insights into
    sparse neural networks", 2020, section 3: for feed-forward networks. Tying the order of recurrent columns
    to that of the rows is ours.
    """
    pairs = _Pair(_sets(first, layers), _sets(second, layers), layers)
    orders: dict[str, Order] = {}
    for units in pairs.unmatched:
        orders[units] = pairs.match(units, orders)
    distance, unmatched = pairs.total(orders), pairs.total(pairs.unmatched)
    if distance >= unmatched:
        orders, distance = pairs.unmatched, unmatched
    return TopologyDistance(
        distance, unmatched, tuple(pairs.layer(layer, orders) for layer in layers), orders
    )


def _sets(patterns: Mapping[str, Pattern], layers: Sequence[LayerWiring]) -> Sets:
    sets: Sets = {}
    for layer in layers:
        for item in (item for inputs in layer.sums for item in inputs):
            pattern = patterns[item.matrix]
            ones = np.ones(pattern.nnz, np.int32)
            matrix = csr_array((ones, pattern.indices.astype(np.int32), pattern.indptr), pattern.shape)
            if layer.by_column:
                matrix = matrix.T.tocsr()
            height = matrix.shape[0] // layer.blocks
            sets[item.matrix] = [matrix[k * height : (k + 1) * height] for k in range(layer.blocks)]
    return sets


class _Pair:
    """Two networks with the same layers; `unmatched` are the orders their units have."""

    def __init__(self, first: Sets, second: Sets, layers: Sequence[LayerWiring]) -> None:
        self._first = first
        self._second = second
        self._layers = layers
        self.unmatched: dict[str, Order] = {
            layer.units: np.arange(first[layer.sums[0][0].matrix][0].shape[0])
            for layer in layers
            if layer.units != FIXED
        }

    def total(self, orders: Orders) -> float:
        """Mean distance of the layers."""
        return _mean([self._distances(layer, layer.sums, orders) for layer in self._layers])

    def layer(self, layer: LayerWiring, orders: Orders) -> PartDistance:
        """The distance of a layer and those of its matrices."""
        matrices = tuple(
            self._part(item.matrix, layer, ((item,),), orders) for inputs in layer.sums for item in inputs
        )
        return replace(self._part(layer.name, layer, layer.sums, orders), matrices=matrices)

    def _part(
        self, name: str, layer: LayerWiring, sums: Sequence[Sequence[Input]], orders: Orders
    ) -> PartDistance:
        """The distance of a layer by some of its inputs."""
        matched = self._distances(layer, sums, orders)
        unmatched = self._distances(layer, sums, self.unmatched)
        per_gate = dict(zip(layer.gates, matched.mean(axis=(1, 2)).tolist(), strict=False))
        return PartDistance(name, float(matched.mean()), float(unmatched.mean()), per_gate)

    def match(self, units: str, known: Orders) -> Order:
        """The best order found for some units, given the orders of others."""
        layers = [layer for layer in self._layers if layer.units == units]
        usable = [(layer, _inputs_from({FIXED, units, *known}, layer)) for layer in layers]
        recurrent = any(units in item.sources for _, sums in usable for inputs in sums for item in inputs)

        def distance(order: Order) -> float:
            orders = {**known, units: order}
            return _mean([self._distances(layer, sums, orders) for layer, sums in usable if sums])

        best = self.unmatched[units]
        least = distance(best)
        orders = known
        for _ in range(_MOST_ROUNDS if recurrent else 1):
            order = self._assign(layers, orders)
            value = distance(order)
            if value < least:
                best, least = order, value
            elif orders is not known:
                break
            orders = {**known, units: best}
        return best

    def _assign(self, layers: Sequence[LayerWiring], known: Orders) -> Order:
        """The assignment of least cost, a unit's cost being its distance by inputs of known order."""
        size = self.unmatched[layers[0].units].size
        costs = np.zeros((size, size))
        for layer in layers:
            sums = _inputs_from({FIXED, *known}, layer)
            for inputs in sums:
                for gate in range(layer.blocks):
                    first, second = self._inputs(gate, inputs, known)
                    common = (first @ second.T).toarray()
                    cost = _jaccard(common, first.sum(axis=1)[:, None], second.sum(axis=1))
                    costs += cost / (len(sums) * layer.blocks)
        return linear_sum_assignment(costs)[1]

    def _distances(self, layer: LayerWiring, sums: Sequence[Sequence[Input]], orders: Orders) -> Distances:
        """The distance of each unit from its partner, shape (gates, len(sums), units)."""
        result = []
        for gate in range(layer.blocks):
            for inputs in sums:
                first, second = self._inputs(gate, inputs, orders)
                if layer.units != FIXED:
                    second = second[orders[layer.units]]
                common = first.multiply(second).sum(axis=1)
                result.append(_jaccard(common, first.sum(axis=1), second.sum(axis=1)))
        return np.reshape(result, (layer.blocks, len(sums), -1))

    def _inputs(self, gate: int, inputs: Sequence[Input], orders: Orders) -> tuple[csr_array, csr_array]:
        """What leads into the units of both networks, in columns that belong together."""
        first = [self._first[item.matrix][gate] for item in inputs]
        second = [
            self._second[item.matrix][gate]
            if item.source == FIXED
            else self._second[item.matrix][gate][:, _side_by_side([orders[name] for name in item.sources])]
            for item in inputs
        ]
        return hstack(first, format="csr"), hstack(second, format="csr")


def _inputs_from(sources: set[str], layer: LayerWiring) -> list[list[Input]]:
    """What leads into a layer from some units only."""
    sums = [[item for item in inputs if sources.issuperset(item.sources)] for inputs in layer.sums]
    return [inputs for inputs in sums if inputs]


def _side_by_side(orders: Sequence[Order]) -> Order:
    """The order of the units of several layers, one layer after the other."""
    before = np.cumsum([0, *(order.size for order in orders[:-1])])
    return np.concatenate([order + start for order, start in zip(orders, before, strict=True)])


def _jaccard(common: NDArray[np.int64], first: NDArray[np.int64], second: NDArray[np.int64]) -> Distances:
    """Share of a union that two sets do not have in common; 0 where both are empty."""
    union = first + second - common
    return 1 - np.divide(common, union, out=np.ones(union.shape), where=union > 0)


def _mean(distances: Sequence[Distances]) -> float:
    """Mean of the layers' means."""
    return float(np.mean([distance.mean() for distance in distances]))
