"""A layer of two directions as nodes of ONNX."""

from __future__ import annotations

import numpy as np

from truesparse.layers.chain import Place
from truesparse.layers.graph import Graph
from truesparse.layers.parts import part

_LAST = np.iinfo(np.int64).min  # where a slice ends that goes back to the first step


class _FromZeros(Graph):
    """The same graph, in which layers begin with zeros and show no state."""

    def __init__(self, graph: Graph, x: str) -> None:
        vars(self).update(vars(graph))
        self._x = x

    def states(self, place: Place) -> list[str]:
        """Zeros for each part of a layer's state, for as many sequences as `x` has."""
        for name, size in place.state.items():
            batch = self.node("Shape", [self._x], f"{name}.batch", start=1, end=2)
            wide = self.weight(f"{name}.size", np.array([size], np.int64))
            shape = self.node("Concat", [batch, wide], f"{name}.shape", axis=0)
            self.node("ConstantOfShape", [shape], name)
        return list(place.state)


def add_bidirectional(graph: Graph, place: Place, x: str) -> str:
    """The nodes of both cells, the second one's between two nodes that reverse the steps."""
    whole = _FromZeros(graph, x)
    forward, backward = place.directions
    nodes = part(type(forward.spec), "nodes")
    other = nodes(whole, backward, _reversed(graph, x, f"{backward.name}.x"))
    both = [nodes(whole, forward, x), _reversed(graph, other, f"{backward.name}.in_order")]
    return graph.node("Concat", both, f"{place.name}.y", axis=2)


def _reversed(graph: Graph, x: str, name: str) -> str:
    """A node with the steps in the other order."""
    slices = {"starts": -1, "ends": _LAST, "axes": 0, "steps": -1}
    bounds = [graph.weight(f"{name}.{bound}", np.array([n], np.int64)) for bound, n in slices.items()]
    return graph.node("Slice", [x, *bounds], name)
