"""A head as nodes of ONNX."""

from __future__ import annotations

from truesparse.layers.chain import EMBEDDING, Place
from truesparse.layers.graph import Graph
from truesparse.layers.output.spec import Head

SCORES = "scores"


def add_softmax(graph: Graph, place: Place, x: str) -> str:
    """Scores: a linear layer, whose matrix may be the embedding's."""
    assert isinstance(place.spec, Head)
    transposed = f"{place.name}.weight.transposed"
    if place.spec.tied:
        weight = graph.node("Transpose", [EMBEDDING], transposed, perm=[1, 0])
    else:
        weight = graph.weight(transposed, graph.matrix(f"{place.name}.weight").T)
    bias = graph.weight(f"{place.name}.bias", graph.vector(f"{place.name}.bias"))
    return graph.node("Add", [graph.node("MatMul", [x, weight], "products"), bias], SCORES)
