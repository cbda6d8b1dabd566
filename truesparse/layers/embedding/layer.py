"""A lookup of sparse rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.kernels.dense import lookup_rows
from truesparse.kernels.embedding import embedding_backward, embedding_forward
from truesparse.kernels.threads import thread_count
from truesparse.layers.chain import Place
from truesparse.layers.layer import GradientRows, Layer, LayerState, Window
from truesparse.sparse import Arena


class EmbeddingLayer(Layer):
    """See `Layer`. A lane whose token is -1 becomes zero."""

    __slots__ = ("weight",)

    def __init__(self, place: Place, arena: Arena) -> None:
        super().__init__(place, arena)
        self.weight = arena.matrices[f"{place.name}.weight"]

    def forward(self, y: Any, x: Any, state: LayerState, ws: Any, window: Window) -> None:
        """Write the rows of the tokens."""
        weight = self.weight
        embedding_forward(x.shape[1])(
            y[: window.used], weight.indptr, weight.indices, weight.data, weight.group, x[: window.used]
        )

    def backward(self, dx: Any, dy: Any, x: Any, ws: Any, window: Window) -> None:
        """Add the gradient of the rows that were looked up."""
        weight = self.weight
        embedding_backward(x.shape[1])(
            weight.grad,
            weight.indptr,
            weight.indices,
            weight.group,
            x[: window.used],
            dy[: window.used],
            thread_count(),
        )

    def gradient_rows(self, dy: Any, x: Any, ws: Any, window: Window) -> dict[str, GradientRows]:
        """With `add`, the gradient is added to what is in the rows: an output layer may share the matrix."""

        def lookup(out: NDArray[np.float32], first: int, add: bool = False) -> None:
            if not add:
                out.fill(0)
            lookup_rows(x.shape[1])(out, x[: window.used], first, dy[: window.used])

        return {self.weight.name: lookup}
