"""The ONNX file of a forecaster: from the last steps of a series to the next ones, in their own units."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from truesparse.data import SeriesEncoder
from truesparse.layers.graph import Graph
from truesparse.layers.output.onnx import output_name
from truesparse.modelfile import StoredModel


def forecast_graph(graph: Graph, stored: StoredModel, encoder: SeriesEncoder) -> Graph:
    """The graph of a whole forecast, made of that of its network, which becomes part of it.

    Its inputs are `history`, float32, (season + lookback, B, features), the last steps of B series; and where
    covariates are known ahead `known_ahead`, (horizon, B, known). Its output is `forecast`, (horizon, B,
    targets). The network begins with states of zero.

    Parameters
    ----------
    graph : Graph
        Of the network.
    stored : StoredModel
    encoder : SeriesEncoder
        Of the model.
    """
    whole = graph.inner()
    steps, targets = encoder.needed - encoder.horizon, len(encoder.targets)
    whole.inputs.append(whole.value("history", [steps, "B", len(encoder.features)]))
    features, *states = (value.name for value in graph.inputs)
    past = _slice(whole, "history", "past", 2, 0, targets)
    now = _slice(whole, "history", "now", 0, encoder.season, steps)
    change = whole.node(
        "Sub",
        [
            _slice(whole, past, "past.now", 0, encoder.season, steps),
            _slice(whole, past, "past.season", 0, 0, encoder.lookback),
        ],
        "change",
    )
    read = [now, change, *([_known(whole, encoder)] if encoder.known else [])]
    whole.node("Concat", read, features, axis=2)
    _begin(whole, states, stored)
    whole.nodes += graph.nodes
    told = _reshaped(whole, output_name(stored.chain), "told", [-1, encoder.horizon, targets], [1, 0, 2])
    places = steps - encoder.season + np.arange(encoder.horizon) % encoder.season
    naive = whole.node("Gather", [past, whole.weight("places", places)], "naive", axis=0)
    if encoder.linear:
        naive = whole.node("Add", [naive, _linear(whole, past, encoder, steps)], "simple")
    whole.node("Add", [told, naive], "forecast")
    whole.outputs.append(whole.value("forecast", [encoder.horizon, "B", targets]))
    return whole


def _slice(graph: Graph, x: str, name: str, axis: int, first: int, end: int) -> str:
    """Part of an axis."""
    bounds = [
        graph.weight(f"{name}.{key}", np.array([value]))
        for key, value in {"first": first, "end": end, "axis": axis}.items()
    ]
    return graph.node("Slice", [x, *bounds], name)


def _reshaped(
    graph: Graph, x: str, name: str, shape: Sequence[int], order: Sequence[int], first: bool = True
) -> str:
    """Another shape, then another order of the axes; the other way round if not `first`."""
    size = graph.weight(f"{name}.shape", np.array(shape))
    if first:
        return graph.node("Transpose", [graph.node("Reshape", [x, size], f"{name}.rows")], name, perm=order)
    return graph.node("Reshape", [graph.node("Transpose", [x], f"{name}.turned", perm=order), size], name)


def _known(graph: Graph, encoder: SeriesEncoder) -> str:
    """What is known of the next steps of each step that is read: (lookback, B, horizon * known)."""
    count, horizon = len(encoder.known), encoder.horizon
    graph.inputs.append(graph.value("known_ahead", [horizon, "B", count]))
    columns = np.array([encoder.features.index(name) for name in encoder.known])
    past = graph.node("Gather", ["history", graph.weight("known.columns", columns)], "known.past", axis=2)
    every = graph.node("Concat", [past, "known_ahead"], "known.every", axis=0)
    steps = encoder.season + np.arange(encoder.lookback)[:, None] + np.arange(1, horizon + 1)
    ahead = graph.node("Gather", [every, graph.weight("known.steps", steps)], "known.ahead", axis=0)
    shape = [encoder.lookback, -1, horizon * count]
    return _reshaped(graph, ahead, "known", shape, [0, 2, 1, 3], first=False)


def _begin(graph: Graph, states: Sequence[str], stored: StoredModel) -> None:
    """Let the states of the network be zero."""
    sizes = {name: size for place in stored.chain.places for name, size in place.state.items()}
    if states:
        count = _slice(graph, graph.node("Shape", ["history"], "history.shape"), "B", 0, 1, 2)
    for name in states:
        one = graph.weight(f"{name}.one", np.array([1]))
        shape = graph.node("Concat", [count, one], f"{name}.shape", axis=0)
        graph.node(
            "Expand", [graph.weight(f"{name}.zero", np.zeros((1, sizes[name]), np.float32)), shape], name
        )


def _linear(graph: Graph, past: str, encoder: SeriesEncoder, steps: int) -> str:
    """The linear part: (horizon, B, targets)."""
    lags, targets = encoder.lags, len(encoder.targets)
    factors = np.array(encoder.linear, np.float32).reshape(targets, encoder.horizon, lags)
    alone = graph.weight("linear.alone", factors[:, :, -1].T[:, None].copy())
    if lags == 1:
        return alone
    last = _slice(graph, past, "linear.last", 0, steps - 1, steps)
    before = _slice(graph, past, "linear.before", 0, steps - lags, steps - 1)
    changes = graph.node("Sub", [before, last], "linear.changes")
    turned = graph.node("Transpose", [changes], "linear.turned", perm=[2, 1, 0])
    weight = graph.weight("linear.weight", factors[:, :, :-1].transpose(0, 2, 1))
    products = graph.node("MatMul", [turned, weight], "linear.products")
    ordered = graph.node("Transpose", [products], "linear.ordered", perm=[2, 1, 0])
    return graph.node("Add", [ordered, alone], "linear")
