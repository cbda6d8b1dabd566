"""Models for ONNX Runtime and what else reads ONNX, with dense weights: it has no sparse recurrence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import truesparse
from truesparse.errors import TruesparseError
from truesparse.export.c import finite_scores
from truesparse.export.interchange import need, write_description
from truesparse.modelfile import StoredModel
from truesparse.runtime.layers import LAYERS

_OPSET = 17
_LARGEST = (1 << 31) - (1 << 20)  # what a file of protocol buffers may hold, less what is not weights
_TOLERANCE = 1e-4


def write_onnx(stored: StoredModel, folder: Path) -> dict[str, Any]:
    """Write `model.onnx` and `model.json`, and compare with the runtime if onnxruntime is installed.

    Inputs are `tokens` (int64, (T, B)) and a state for each part of each layer, such as `lstm.0.h`, float32,
    (B, H). Outputs are the states after the last step, such as `lstm.0.h.next`, and `scores`: float32,
    (T, B, V), or of a classifier (B, classes), after the last step. Sequences of a batch are equally long.

    Returns
    -------
    dict
        `largest_difference` of the scores from the runtime's, None without onnxruntime.

    Raises
    ------
    TruesparseError
        onnx is not installed, the model is too large, or the comparison failed.
    """
    onnx = need("onnx", "onnx")
    if 4 * stored.architecture.dense_parameters > _LARGEST:
        raise TruesparseError(
            f"{stored.path} has {stored.architecture.dense_parameters:,} positions, too many for an ONNX file"
            f", where weights are dense; export to C or scipy"
        )
    file = folder / "model.onnx"
    onnx.save(_Graph(stored, onnx).model(), file)
    onnx.checker.check_model(file)
    write_description(stored, folder)
    return {"largest_difference": _largest_difference(stored, file)}


class _Graph:
    """An ONNX graph in the making."""

    def __init__(self, stored: StoredModel, onnx: Any) -> None:
        self._stored = stored
        self._onnx = onnx
        self._nodes: list[Any] = []
        self._weights: list[Any] = []
        self._inputs = [self._value("tokens", onnx.TensorProto.INT64, ["T", "B"])]
        steps = [] if stored.labels else ["T"]
        shape = [*steps, "B", stored.architecture.outputs]
        self._outputs = [self._value("scores", onnx.TensorProto.FLOAT, shape)]

    def model(self) -> Any:
        """The whole model."""
        helper, architecture = self._onnx.helper, self._stored.architecture
        embedding = self._weight("embedding.weight", self._dense("embedding.weight"))
        x = self._node("Gather", [embedding, "tokens"], "embedded", axis=0)
        add_layer = {"lstm": self._lstm, "rhn": self._rhn}.get(architecture.cell)
        if add_layer is None:
            raise TruesparseError(f"the cell {architecture.cell} cannot be exported to ONNX; export to scipy")
        for name in architecture.layer_names:
            x = add_layer(name, x)
        if self._stored.labels:
            x = self._pooled(x)
        if architecture.tied:
            output = self._node("Transpose", [embedding], "output.weight.transposed", perm=[1, 0])
        else:
            output = self._weight("output.weight.transposed", self._dense("output.weight").T)
        bias = self._weight("output.bias", self._stored.biases["output.bias"])
        self._node("Add", [self._node("MatMul", [x, output], "products"), bias], "scores")
        graph = helper.make_graph(self._nodes, "truesparse", self._inputs, self._outputs, self._weights)
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", _OPSET)],
            ir_version=8,
            producer_name="truesparse",
            producer_version=truesparse.__version__,
        )

    def _pooled(self, x: str) -> str:
        pooling = self._stored.architecture.pooling
        if pooling == "last":
            return self._node("Gather", [x, self._weight("last", np.array(-1, np.int64))], "pooled", axis=0)
        operator = {"mean": "ReduceMean", "max": "ReduceMax"}[pooling]
        return self._node(operator, [x], "pooled", axes=[0], keepdims=0)

    def _lstm(self, name: str, x: str) -> str:
        """ONNX has the gates in the order i, o, f, g."""
        units = self._stored.architecture.hidden_size
        weights = [
            self._weight(matrix, _reordered(self._dense(matrix))[None])
            for matrix in (f"{name}.weight_ih", f"{name}.weight_hh")
        ]
        bias = _reordered(self._stored.biases[f"{name}.bias"])
        weights.append(self._weight(f"{name}.bias", np.concatenate((bias, np.zeros_like(bias)))[None]))
        first = self._weight(f"{name}.directions", np.array([0], np.int64))
        h, c = (self._node("Unsqueeze", [state, first], f"{state}.first") for state in self._states(name))
        outputs = [f"{name}.all", f"{name}.h.last", f"{name}.c.last"]
        self._nodes.append(
            self._onnx.helper.make_node("LSTM", [x, *weights, "", h, c], outputs, hidden_size=units)
        )
        for part in ("h", "c"):
            self._node("Squeeze", [f"{name}.{part}.last", first], f"{name}.{part}.next")
        return self._node("Squeeze", [outputs[0], self._weight(f"{name}.axis", np.array([1]))], f"{name}.y")

    def _rhn(self, name: str, x: str) -> str:
        """A Scan over the steps, whose body is one step."""
        helper, architecture = self._onnx.helper, self._stored.architecture
        units = architecture.hidden_size
        input_weight = self._weight(f"{name}.weight_ih", self._dense(f"{name}.weight_ih").T)
        inputs = self._node("MatMul", [x, input_weight], f"{name}.inputs")
        one = self._weight(f"{name}.one", np.array(1, np.float32))
        outer, self._nodes = self._nodes, []
        s = f"{name}.s"
        for level in range(architecture.depth):
            own = f"{name}.{level}"
            weight = self._weight(f"{own}.weight_hh", self._dense(f"{name}.weight_hh.{level}").T)
            bias = self._weight(f"{own}.bias", self._stored.biases[f"{name}.bias.{level}"])
            gates = self._node(
                "Add", [self._node("MatMul", [s, weight], f"{own}.product"), bias], f"{own}.sum"
            )
            if level == 0:
                gates = self._node("Add", [gates, f"{name}.x"], f"{own}.gates")
            halves = [f"{own}.candidate", f"{own}.transform"]
            self._nodes.append(helper.make_node("Split", [gates], halves, axis=1))
            h = self._node("Tanh", [halves[0]], f"{own}.h")
            t = self._node("Sigmoid", [halves[1]], f"{own}.t")
            carried = self._node("Mul", [s, self._node("Sub", [one, t], f"{own}.carry")], f"{own}.carried")
            s = self._node("Add", [self._node("Mul", [h, t], f"{own}.new"), carried], f"{own}.s")
        self._node("Identity", [s], f"{name}.s.next")
        self._node("Identity", [s], f"{name}.step")
        body, self._nodes = self._nodes, outer
        kind = self._onnx.TensorProto.FLOAT
        graph = helper.make_graph(
            body,
            f"{name}.body",
            [self._value(f"{name}.s", kind, ["B", units]), self._value(f"{name}.x", kind, ["B", 2 * units])],
            [
                self._value(f"{name}.s.next", kind, ["B", units]),
                self._value(f"{name}.step", kind, ["B", units]),
            ],
        )
        (state,) = self._states(name)
        outputs = [f"{name}.h.next", f"{name}.y"]
        self._nodes.append(helper.make_node("Scan", [state, inputs], outputs, body=graph, num_scan_inputs=1))
        return outputs[1]

    def _states(self, name: str) -> list[str]:
        """Make an input and an output for each part of a layer's state; returns the inputs."""
        architecture = self._stored.architecture
        names = [f"{name}.{part}" for part in LAYERS[architecture.cell].PARTS]
        shape = ["B", architecture.hidden_size]
        for state in names:
            self._inputs.append(self._value(state, self._onnx.TensorProto.FLOAT, shape))
            self._outputs.append(self._value(f"{state}.next", self._onnx.TensorProto.FLOAT, shape))
        return names

    def _node(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self._nodes.append(self._onnx.helper.make_node(operator, inputs, [output], **attributes))
        return output

    def _weight(self, name: str, array: NDArray[Any]) -> str:
        self._weights.append(self._onnx.numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

    def _value(self, name: str, kind: int, shape: list[Any]) -> Any:
        return self._onnx.helper.make_tensor_value_info(name, kind, shape)

    def _dense(self, name: str) -> NDArray[np.float32]:
        return self._stored.matrices[name].to_dense()


def _reordered(stacked: NDArray[np.float32]) -> NDArray[np.float32]:
    i, f, g, o = np.split(stacked, 4)
    return np.concatenate((i, o, f, g))


def _largest_difference(stored: StoredModel, file: Path) -> float | None:
    try:
        import onnxruntime
    except ImportError:
        return None
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    tokens = np.random.default_rng(1).integers(0, stored.architecture.vocab_size, (5, 2))
    names = [value.name for value in session.get_inputs() if value.name != "tokens"]
    zeros = np.zeros((2, stored.architecture.hidden_size), np.float32)
    scores = session.run(["scores"], {"tokens": tokens, **dict.fromkeys(names, zeros)})[0]
    expected = finite_scores(stored, tokens)
    wanted = expected[-1] if stored.labels else np.stack(expected)
    difference = float(np.abs(wanted - scores).max()) if scores.shape == wanted.shape else np.inf
    if not difference <= _TOLERANCE:
        raise TruesparseError(
            f"onnxruntime computes other scores than truesparse (a difference of {difference:.1e})"
            f"; update onnxruntime, or export to another form"
        )
    return difference
