"""Models for ONNX Runtime and what else reads ONNX, with dense weights: it has no sparse recurrence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.data import SeriesEncoder
from truesparse.errors import TruesparseError, need
from truesparse.export.c import finite_scores
from truesparse.export.c_forecast import encoder_of_forecasts, forecasts_to_test
from truesparse.export.c_inputs import test_inputs
from truesparse.export.interchange import write_description
from truesparse.export.layers import check_layers
from truesparse.export.onnx_forecast import forecast_graph
from truesparse.layers.graph import Graph
from truesparse.layers.output.onnx import output_name
from truesparse.layers.output.spec import SquaredError
from truesparse.layers.parts import part
from truesparse.modelfile import StoredModel
from truesparse.version import __version__

_OPSET = 17
_LARGEST = (1 << 31) - (1 << 20)  # what a file of protocol buffers may hold, less what is not weights
_TOLERANCE, _LARGE = 1e-5, 10.0  # the difference that may be, times the largest score, at most this


def write_onnx(stored: StoredModel, folder: Path) -> dict[str, Any]:
    """Write `model.onnx` and `model.json`, and compare with the runtime if onnxruntime is installed.

    Inputs are `tokens` (int64, (T, B)) or `features` (float32, (T, B, D)) and a state for each part of each
    layer, such as `lstm.0.h`, float32, (B, H). Outputs are the states after the last step, such as
    `lstm.0.h.next`, and `scores` or `numbers`: float32, (T, B, V), or of a model of whole sequences (B, V),
    after the last step. Sequences of a batch are equally long. That is the network of a forecaster; its whole
    forecast goes to `forecast.onnx`, see `truesparse.export.onnx_forecast.forecast_graph`.

    Returns
    -------
    dict
        `largest_difference` of the scores from the runtime's, or of the numbers, in units of their scale;
        None without onnxruntime.

    Raises
    ------
    TruesparseError
        onnx is not installed, the model is too large or has a layer of which there are no nodes, or the
        comparison failed.
    """
    onnx = need("onnx", "onnx")
    check_layers(stored, "nodes", "ONNX has nothing for", "export to scipy")
    if 4 * stored.chain.dense_parameters > _LARGEST:
        raise TruesparseError(
            f"{stored.path} has {stored.chain.dense_parameters:,} positions, too many for an ONNX file"
            f", where weights are dense; export to C or scipy"
        )
    network, encoder = _network(stored, onnx), encoder_of_forecasts(stored)
    difference = _largest_difference(stored, _write(network, onnx, folder / "model.onnx"))
    if encoder is not None:
        file = _write(forecast_graph(network, stored, encoder), onnx, folder / "forecast.onnx")
        of_forecasts = _difference_of_forecasts(stored, encoder, file)
        difference = None if difference is None or of_forecasts is None else max(difference, of_forecasts)
    write_description(stored, folder)
    return {"largest_difference": difference}


def _write(graph: Graph, onnx: Any, file: Path) -> Path:
    """Write a graph as a model."""
    helper = onnx.helper
    model = helper.make_model(
        graph.whole("truesparse"),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=8,
        producer_name="truesparse",
        producer_version=__version__,
    )
    onnx.save(model, file)
    onnx.checker.check_model(file)
    return file


def _network(stored: StoredModel, onnx: Any) -> Graph:
    """The layers."""
    chain = stored.chain
    graph = Graph(onnx, stored.matrices, stored.vectors)
    if chain.tokens:
        graph.inputs.append(graph.value("tokens", ["T", "B"], integers=True))
    else:
        graph.inputs.append(graph.value("features", ["T", "B", chain.features]))
    x, said = graph.inputs[0].name, output_name(chain)
    graph.outputs.append(graph.value(said, [*(["T"] if chain.per_step else []), "B", chain.head.outputs]))
    for place in chain.places:
        if not place.spec.TRAINING_ONLY:
            x = part(type(place.spec), "nodes")(graph, place, x)
    return graph


def _session(file: Path) -> Any:
    """What runs a model, or None without onnxruntime."""
    try:
        import onnxruntime
    except ImportError:
        return None
    return onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])


def _largest_difference(stored: StoredModel, file: Path) -> float | None:
    session = _session(file)
    if session is None:
        return None
    chain, rng = stored.chain, np.random.default_rng(1)
    if chain.tokens:
        inputs: Any = rng.integers(0, chain.tokens, (5, 2))
    else:
        inputs = np.stack([test_inputs(chain)[:5], test_inputs(chain)[5:10]], axis=1)
    zeros = {
        name: np.zeros((2, size), np.float32)
        for place in stored.chain.places
        for name, size in place.state.items()
    }
    given = {session.get_inputs()[0].name: inputs, **zeros}
    said = session.run([output_name(chain)], given)[0]
    expected = finite_scores(stored, inputs)
    wanted = np.stack(expected) if stored.chain.per_step else expected[-1]
    if isinstance(chain.head, SquaredError):
        return _agreed(said, wanted, np.array(chain.head.scale or 1.0))
    return _agreed(said, wanted, 1.0, float(np.clip(np.abs(wanted).max(), 1.0, _LARGE)))


def _difference_of_forecasts(stored: StoredModel, encoder: SeriesEncoder, file: Path) -> float | None:
    """The same of two series, in units of the scale of what the network says, or of the numbers themselves
    where these are larger."""
    session = _session(file)
    if session is None:
        return None
    history, later, wanted = (every.swapaxes(0, 1) for every in forecasts_to_test(stored, encoder, 2))
    given = {"history": history, **({"known_ahead": later} if encoder.known else {})}
    said = session.run(["forecast"], given)[0]
    scale = np.reshape(getattr(stored.chain.head, "scale", ()) or 1.0, (-1, 1, len(encoder.targets)))
    return _agreed(said, wanted, np.maximum(scale, np.abs(wanted)))


def _agreed(said: NDArray[Any], wanted: NDArray[Any], unit: Any, size: float = 1.0) -> float:
    """The largest difference in such units, if it is small beside a size in them."""
    difference = float(np.abs((wanted - said) / unit).max()) if said.shape == wanted.shape else np.inf
    if not difference <= _TOLERANCE * size:
        raise TruesparseError(
            f"onnxruntime computes other scores than truesparse (a difference of {difference:.1e})"
            f"; update onnxruntime, or export to another form"
        )
    return difference
