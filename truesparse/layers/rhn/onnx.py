"""A recurrent highway layer as nodes of ONNX."""

from __future__ import annotations

import numpy as np

from truesparse.layers.chain import Place
from truesparse.layers.graph import Graph


def add_rhn(graph: Graph, place: Place, x: str) -> str:
    """A Scan over the steps, whose body is one step."""
    name, units = place.name, place.output.size
    input_weight = graph.weight(f"{name}.weight_ih", graph.matrix(f"{name}.weight_ih").T)
    inputs = graph.node("MatMul", [x, input_weight], f"{name}.inputs")
    one = graph.weight(f"{name}.one", np.array(1, np.float32))
    body = graph.inner()
    s = f"{name}.s"
    for level, vector in enumerate(place.vectors):
        own = f"{name}.{level}"
        weight = body.weight(f"{own}.weight_hh", body.matrix(f"{name}.weight_hh.{level}").T)
        bias = body.weight(f"{own}.bias", body.vector(vector.name))
        gates = body.node("Add", [body.node("MatMul", [s, weight], f"{own}.product"), bias], f"{own}.sum")
        if level == 0:
            gates = body.node("Add", [gates, f"{name}.x"], f"{own}.gates")
        halves = [f"{own}.candidate", f"{own}.transform"]
        body.split("Split", [gates], halves, axis=1)
        h = body.node("Tanh", [halves[0]], f"{own}.h")
        t = body.node("Sigmoid", [halves[1]], f"{own}.t")
        carried = body.node("Mul", [s, body.node("Sub", [one, t], f"{own}.carry")], f"{own}.carried")
        s = body.node("Add", [body.node("Mul", [h, t], f"{own}.new"), carried], f"{own}.s")
    body.inputs = [body.value(f"{name}.s", ["B", units]), body.value(f"{name}.x", ["B", 2 * units])]
    body.outputs = [
        body.value(body.node("Identity", [s], f"{name}.{output}"), ["B", units])
        for output in ("s.next", "step")
    ]
    (state,) = graph.states(place)
    outputs = [f"{name}.h.next", f"{name}.y"]
    scan = body.whole(f"{name}.body", weights=False)
    graph.split("Scan", [state, inputs], outputs, body=scan, num_scan_inputs=1)
    return outputs[1]
