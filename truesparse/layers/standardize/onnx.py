"""Features brought to mean 0 and deviation 1, as nodes of ONNX."""

from __future__ import annotations

import numpy as np

from truesparse.layers.chain import Place
from truesparse.layers.graph import Graph
from truesparse.layers.standardize.spec import Standardize


def add_standardize(graph: Graph, place: Place, x: str) -> str:
    """A difference and a quotient."""
    assert isinstance(place.spec, Standardize)
    name = place.name
    mean = graph.weight(f"{name}.mean", np.array(place.spec.mean, np.float32))
    scale = graph.weight(f"{name}.scale", np.array(place.spec.scale, np.float32))
    return graph.node("Div", [graph.node("Sub", [x, mean], f"{name}.centred"), scale], f"{name}.y")
