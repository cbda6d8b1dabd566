"""An LSTM layer as nodes of ONNX."""

from __future__ import annotations

import numpy as np

from truesparse.layers.chain import Place
from truesparse.layers.graph import Array, Graph


def add_lstm(graph: Graph, place: Place, x: str) -> str:
    """ONNX has an operator for it, with the gates in the order i, o, f, g."""
    name = place.name
    weights = [
        graph.weight(matrix.name, _reordered(graph.matrix(matrix.name))[None]) for matrix in place.matrices
    ]
    bias = _reordered(graph.vector(f"{name}.bias"))
    weights.append(graph.weight(f"{name}.bias", np.concatenate((bias, np.zeros_like(bias)))[None]))
    first = graph.weight(f"{name}.directions", np.array([0], np.int64))
    h, c = (graph.node("Unsqueeze", [state, first], f"{state}.first") for state in graph.states(place))
    outputs = [f"{name}.all", f"{name}.h.last", f"{name}.c.last"]
    graph.split("LSTM", [x, *weights, "", h, c], outputs, hidden_size=place.output.size)
    for part in ("h", "c"):
        graph.node("Squeeze", [f"{name}.{part}.last", first], f"{name}.{part}.next")
    return graph.node("Squeeze", [outputs[0], graph.weight(f"{name}.axis", np.array([1]))], f"{name}.y")


def _reordered(stacked: Array) -> Array:
    i, f, g, o = np.split(stacked, 4)
    return np.concatenate((i, o, f, g))
