"""An ONNX graph in the making, which the layers add their nodes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.csr import CSR
from truesparse.layers.chain import Place

Array = NDArray[np.float32]


class Graph:
    """Nodes, weights, inputs and outputs. Values are called by names.

    Parameters
    ----------
    onnx : module
    matrices : mapping of str to CSR
    vectors : mapping of str to ndarray of float32
        By their names in the chain.

    Attributes
    ----------
    nodes, weights, inputs, outputs : list
        What ONNX makes a graph of.
    """

    def __init__(self, onnx: Any, matrices: Mapping[str, CSR], vectors: Mapping[str, Array]) -> None:
        self._onnx = onnx
        self._matrices = matrices
        self._vectors = vectors
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []

    def node(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node of one output; returns that."""
        self.split(operator, inputs, [output], **attributes)
        return output

    def split(self, operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> None:
        """Add a node of several outputs."""
        self.nodes.append(self._onnx.helper.make_node(operator, inputs, outputs, **attributes))

    def weight(self, name: str, array: NDArray[Any]) -> str:
        """Add a constant; returns its name."""
        self.weights.append(self._onnx.numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

    def matrix(self, name: str) -> Array:
        """A matrix of the model, dense."""
        return self._matrices[name].to_dense()

    def vector(self, name: str) -> Array:
        """A vector of the model."""
        return self._vectors[name]

    def value(self, name: str, shape: Sequence[str | int], integers: bool = False) -> Any:
        """What an input or an output of a graph is: float32, or int64."""
        kinds = self._onnx.TensorProto
        return self._onnx.helper.make_tensor_value_info(
            name, kinds.INT64 if integers else kinds.FLOAT, list(shape)
        )

    def states(self, place: Place) -> list[str]:
        """Add an input, and an output ``.next``, for each part of a layer's state; returns the inputs.

        The layer has to make a node for each of these outputs.
        """
        for name, size in place.state.items():
            self.inputs.append(self.value(name, ["B", size]))
            self.outputs.append(self.value(f"{name}.next", ["B", size]))
        return list(place.state)

    def inner(self) -> Graph:
        """A graph in this one, whose weights are this one's."""
        graph = Graph(self._onnx, self._matrices, self._vectors)
        graph.weights = self.weights
        return graph

    def whole(self, name: str, weights: bool = True) -> Any:
        """The graph of ONNX."""
        return self._onnx.helper.make_graph(
            self.nodes, name, self.inputs, self.outputs, self.weights if weights else []
        )
