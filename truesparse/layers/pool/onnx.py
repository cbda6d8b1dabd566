"""Pooling as nodes of ONNX."""

from __future__ import annotations

import numpy as np

from truesparse.layers.chain import Place
from truesparse.layers.graph import Graph
from truesparse.layers.pool.spec import Pool

_OPERATORS = {"mean": "ReduceMean", "max": "ReduceMax"}


def add_pool(graph: Graph, place: Place, x: str) -> str:
    """The last step, or the mean or maximum over all steps."""
    assert isinstance(place.spec, Pool)
    if place.spec.kind == "last":
        last = graph.weight("last", np.array(-1, np.int64))
        return graph.node("Gather", [x, last], "pooled", axis=0)
    return graph.node(_OPERATORS[place.spec.kind], [x], "pooled", axes=[0], keepdims=0)
