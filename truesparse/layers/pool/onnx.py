"""Pooling as nodes of ONNX."""

from __future__ import annotations

import numpy as np

from truesparse.layers.chain import Place
from truesparse.layers.graph import Graph
from truesparse.layers.pool.spec import Pool

_OPERATORS = {"mean": "ReduceMean", "max": "ReduceMax"}


def add_pool(graph: Graph, place: Place, x: str) -> str:
    """The last step, which is the first one of what reads from the end; or the mean or maximum of all."""
    assert isinstance(place.spec, Pool)
    if place.spec.kind == "last":
        last = graph.weight("last", np.array(-1, np.int64))
        if not place.given.backward:
            return graph.node("Gather", [x, last], "pooled", axis=0)
        sizes = np.array([place.given.size - place.given.backward, place.given.backward])
        halves = ["forward", "backward"]
        graph.split("Split", [x, graph.weight("directions", sizes)], halves, axis=2)
        ends = last, graph.weight("first", np.array(0, np.int64))
        both = [
            graph.node("Gather", [half, end], f"{half}.end", axis=0)
            for half, end in zip(halves, ends, strict=True)
        ]
        return graph.node("Concat", both, "pooled", axis=1)
    return graph.node(_OPERATORS[place.spec.kind], [x], "pooled", axes=[0], keepdims=0)
