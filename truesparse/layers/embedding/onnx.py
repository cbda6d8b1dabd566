"""An embedding as nodes of ONNX."""

from __future__ import annotations

from truesparse.layers.chain import EMBEDDING, Place
from truesparse.layers.graph import Graph


def add_embedding(graph: Graph, place: Place, x: str) -> str:
    """Rows of the matrix, which a tied output layer uses too."""
    weight = graph.weight(EMBEDDING, graph.matrix(EMBEDDING))
    return graph.node("Gather", [weight, x], "embedded", axis=0)
