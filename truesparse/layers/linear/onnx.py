"""A linear layer as nodes of ONNX."""

from __future__ import annotations

from truesparse.layers.chain import Place
from truesparse.layers.graph import Graph
from truesparse.layers.linear.spec import Linear

_OPERATORS = {"relu": "Relu", "tanh": "Tanh"}


def add_linear(graph: Graph, place: Place, x: str) -> str:
    """A product, a bias, and the operator of the activation."""
    assert isinstance(place.spec, Linear)
    name = place.name
    weight = graph.weight(f"{name}.weight.transposed", graph.matrix(f"{name}.weight").T)
    bias = graph.weight(f"{name}.bias", graph.vector(f"{name}.bias"))
    sums = graph.node("Add", [graph.node("MatMul", [x, weight], f"{name}.products"), bias], f"{name}.sums")
    if place.spec.activation == "none":
        return sums
    return graph.node(_OPERATORS[place.spec.activation], [sums], f"{name}.y")
