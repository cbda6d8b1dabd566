"""A head as nodes of ONNX."""

from __future__ import annotations

import numpy as np

from truesparse.layers.chain import EMBEDDING, ChainSpec, Place
from truesparse.layers.graph import Graph
from truesparse.layers.output.spec import Head, SquaredError


def output_name(chain: ChainSpec) -> str:
    """What the output of a model is called: ``scores``, or ``numbers``."""
    return "numbers" if isinstance(chain.head, SquaredError) else "scores"


def add_softmax(graph: Graph, place: Place, x: str) -> str:
    """Scores: a linear layer, whose matrix may be the embedding's."""
    return _linear(graph, place, x, "scores")


def add_squared_error(graph: Graph, place: Place, x: str) -> str:
    """Numbers in their own units: a linear layer, times the scale, plus the mean."""
    assert isinstance(place.spec, SquaredError)
    if not place.spec.mean:
        return _linear(graph, place, x, "numbers")
    scale = graph.weight(f"{place.name}.scale", np.array(place.spec.scale, np.float32))
    mean = graph.weight(f"{place.name}.mean", np.array(place.spec.mean, np.float32))
    scaled = graph.node("Mul", [_linear(graph, place, x, "standardized"), scale], "scaled")
    return graph.node("Add", [scaled, mean], "numbers")


def _linear(graph: Graph, place: Place, x: str, name: str) -> str:
    assert isinstance(place.spec, Head)
    transposed = f"{place.name}.weight.transposed"
    if place.spec.tied:
        weight = graph.node("Transpose", [EMBEDDING], transposed, perm=[1, 0])
    else:
        weight = graph.weight(transposed, graph.matrix(f"{place.name}.weight").T)
    bias = graph.weight(f"{place.name}.bias", graph.vector(f"{place.name}.bias"))
    return graph.node("Add", [graph.node("MatMul", [x, weight], "products"), bias], name)
