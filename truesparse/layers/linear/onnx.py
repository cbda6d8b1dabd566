"""A linear layer as nodes of ONNX."""

from __future__ import annotations

from truesparse.layers.chain import Place
from truesparse.layers.graph import Graph
from truesparse.layers.linear.spec import SRELU, Linear

_OPERATORS = {"relu": "Relu", "tanh": "Tanh", "selu": "Selu"}


def add_linear(graph: Graph, place: Place, x: str) -> str:
    """A product, a bias, and the operator of the activation."""
    assert isinstance(place.spec, Linear)
    name = place.name
    weight = graph.weight(f"{name}.weight.transposed", graph.matrix(f"{name}.weight").T)
    bias = graph.weight(f"{name}.bias", graph.vector(f"{name}.bias"))
    sums = graph.node("Add", [graph.node("MatMul", [x, weight], f"{name}.products"), bias], f"{name}.sums")
    if place.spec.activation == "none":
        return sums
    if place.spec.activation == "srelu":
        return _add_srelu(graph, name, sums)
    return graph.node(_OPERATORS[place.spec.activation], [sums], f"{name}.y")


def _add_srelu(graph: Graph, name: str, x: str) -> str:
    """Both lines, and which of them, or x itself, counts where."""
    arrays = zip(SRELU, graph.vector(f"{name}.srelu").reshape(len(SRELU), -1), strict=True)
    bends = {part: graph.weight(f"{name}.{part}", array) for part, array in arrays}
    y = x
    for side in ("left", "right"):
        bend, slope, own = bends[f"t_{side}"], bends[f"a_{side}"], f"{name}.{side}"
        beyond = graph.node("Mul", [graph.node("Sub", [x, bend], f"{own}.beyond"), slope], f"{own}.sloped")
        line = graph.node("Add", [beyond, bend], f"{own}.line")
        below = graph.node("Less", [x, bend], f"{own}.below")
        y = graph.node("Where", [below, line, y] if side == "left" else [below, y, line], f"{own}.y")
    return y
