"""A layer of gated recurrent units as nodes of ONNX."""

from __future__ import annotations

import numpy as np

from truesparse.layers.chain import Place
from truesparse.layers.graph import Array, Graph
from truesparse.layers.gru.spec import GRU


def add_gru(graph: Graph, place: Place, x: str) -> str:
    """ONNX has an operator for it, with the gates in the order z, r, n and a second bias for each."""
    assert isinstance(place.spec, GRU)
    name, after = place.name, place.spec.reset_gate == "after"
    weights = [
        graph.weight(matrix.name, _reordered(graph.matrix(matrix.name))[None]) for matrix in place.matrices
    ]
    bias = graph.vector(f"{name}.bias")
    of_state = np.zeros_like(bias)
    if after:
        of_state[2 * place.output.size :] = graph.vector(f"{name}.bias_hn")
    both = np.concatenate((_reordered(bias), _reordered(of_state)))
    weights.append(graph.weight(f"{name}.bias", both[None]))
    first = graph.weight(f"{name}.directions", np.array([0], np.int64))
    (state,) = graph.states(place)
    h = graph.node("Unsqueeze", [state, first], f"{state}.first")
    outputs = [f"{name}.all", f"{name}.h.last"]
    sizes = {"hidden_size": place.output.size, "linear_before_reset": int(after)}
    graph.split("GRU", [x, *weights, "", h], outputs, **sizes)
    graph.node("Squeeze", [outputs[1], first], f"{name}.h.next")
    return graph.node("Squeeze", [outputs[0], graph.weight(f"{name}.axis", np.array([1]))], f"{name}.y")


def _reordered(stacked: Array) -> Array:
    r, z, n = np.split(stacked, 3)
    return np.concatenate((z, r, n))
