"""Models for ONNX Runtime and what else reads ONNX, with dense weights: it has no sparse recurrence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from truesparse.errors import TruesparseError, need
from truesparse.export.c import finite_scores
from truesparse.export.c_inputs import test_inputs
from truesparse.export.interchange import write_description
from truesparse.export.layers import check_layers
from truesparse.layers.graph import Graph
from truesparse.layers.output.onnx import output_name
from truesparse.layers.output.spec import SquaredError
from truesparse.layers.parts import part
from truesparse.modelfile import StoredModel
from truesparse.version import __version__

_OPSET = 17
_LARGEST = (1 << 31) - (1 << 20)  # what a file of protocol buffers may hold, less what is not weights
_TOLERANCE = 1e-4


def write_onnx(stored: StoredModel, folder: Path) -> dict[str, Any]:
    """Write `model.onnx` and `model.json`, and compare with the runtime if onnxruntime is installed.

    Inputs are `tokens` (int64, (T, B)) or `features` (float32, (T, B, D)) and a state for each part of each
    layer, such as `lstm.0.h`, float32, (B, H). Outputs are the states after the last step, such as
    `lstm.0.h.next`, and `scores` or `numbers`: float32, (T, B, V), or of a model of whole sequences (B, V),
    after the last step. Sequences of a batch are equally long.

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
    file = folder / "model.onnx"
    onnx.save(_model(stored, onnx), file)
    onnx.checker.check_model(file)
    write_description(stored, folder)
    return {"largest_difference": _largest_difference(stored, file)}


def _model(stored: StoredModel, onnx: Any) -> Any:
    """The whole model."""
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
    helper = onnx.helper
    return helper.make_model(
        graph.whole("truesparse"),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=8,
        producer_name="truesparse",
        producer_version=__version__,
    )


def _largest_difference(stored: StoredModel, file: Path) -> float | None:
    try:
        import onnxruntime
    except ImportError:
        return None
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
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
    unit = np.array(chain.head.scale or 1.0) if isinstance(chain.head, SquaredError) else 1.0
    difference = float(np.abs((wanted - said) / unit).max()) if said.shape == wanted.shape else np.inf
    if not difference <= _TOLERANCE:
        raise TruesparseError(
            f"onnxruntime computes other scores than truesparse (a difference of {difference:.1e})"
            f"; update onnxruntime, or export to another form"
        )
    return difference
