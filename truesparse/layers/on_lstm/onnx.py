"""An LSTM layer with ordered neurons as nodes of ONNX."""

from __future__ import annotations

import numpy as np

from truesparse.layers.chain import Place
from truesparse.layers.graph import Graph
from truesparse.layers.on_lstm.spec import ONLSTM


def add_on_lstm(graph: Graph, place: Place, x: str) -> str:
    """A Scan over the steps, whose body is one step; one product serves gates and master gates."""
    assert isinstance(place.spec, ONLSTM)
    name, units, chunks = place.name, place.output.size, place.spec.chunks
    rows = 4 * units + 2 * chunks
    of_input, of_state = (
        np.concatenate([graph.matrix(f"{name}.{kind}_{reads}") for kind in ("weight", "master")]).T
        for reads in ("ih", "hh")
    )
    bias = np.concatenate([graph.vector(vector.name) for vector in place.vectors])
    product = graph.node("MatMul", [x, graph.weight(f"{name}.of_input", of_input)], f"{name}.products")
    inputs = graph.node("Add", [product, graph.weight(f"{name}.biases", bias)], f"{name}.inputs")
    one = graph.weight(f"{name}.one", np.array(1, np.float32))
    axis = graph.weight(f"{name}.axis", np.array(1))
    sizes = graph.weight(f"{name}.sizes", np.array([units] * 4 + [chunks] * 2))
    spread = np.repeat(np.eye(chunks, dtype=np.float32), place.spec.chunk_size, axis=1)
    to_units = graph.weight(f"{name}.spread", spread)

    body = graph.inner()
    h, c, gates = f"{name}.h", f"{name}.c", f"{name}.x"

    def node(operator: str, *values: str, to: str, **attributes: int) -> str:
        return body.node(operator, values, f"{name}.{to}", **attributes)

    weight = body.weight(f"{name}.of_state", of_state)
    sums = node("Add", gates, node("MatMul", h, weight, to="of_h"), to="sums")
    parts = [f"{name}.sum.{part}" for part in (*place.spec.GATES, *place.spec.MASTERS)]
    body.split("Split", [sums, sizes], parts, axis=1)
    i, f, o = (node("Sigmoid", parts[k], to=f"gate.{k}") for k in (0, 1, 3))
    g = node("Tanh", parts[2], to="gate.2")
    levels = [
        node("CumSum", node("Softmax", part, to=f"softmax.{k}", axis=1), axis, to=f"level.{k}")
        for k, part in enumerate(parts[4:])
    ]
    kept = node("MatMul", levels[0], to_units, to="kept")
    added = node("MatMul", node("Sub", one, levels[1], to="rest"), to_units, to="added")
    both = node("Mul", kept, added, to="both")

    def share(gate: str, master: str, to: str) -> str:
        rest = node("Sub", master, both, to=f"{to}.rest")
        return node("Add", node("Mul", gate, both, to=f"{to}.both"), rest, to=to)

    old = node("Mul", share(f, kept, "forget"), c, to="old")
    new = node("Mul", share(i, added, "add"), g, to="new")
    cell = node("Add", old, new, to="c.after")
    out = node("Mul", o, node("Tanh", cell, to="tanh"), to="h.after")
    body.inputs = [body.value(part, ["B", units]) for part in (h, c)] + [body.value(gates, ["B", rows])]
    body.outputs = [
        body.value(node("Identity", value, to=to), ["B", units])
        for value, to in ((out, "h.carried"), (cell, "c.carried"), (out, "step"))
    ]
    states = graph.states(place)
    outputs = [f"{name}.h.next", f"{name}.c.next", f"{name}.y"]
    scan = body.whole(f"{name}.body", weights=False)
    graph.split("Scan", [*states, inputs], outputs, body=scan, num_scan_inputs=1)
    return outputs[2]
