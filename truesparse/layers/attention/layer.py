"""Attention in training."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.kernels.buffers import aligned_zeros
from truesparse.kernels.sddmm import row_sums
from truesparse.kernels.threads import thread_count
from truesparse.layers.attention.kernels import attend, attend_backward, lanes_at_once, scratch_size
from truesparse.layers.attention.spec import PROJECTIONS, Attention
from truesparse.layers.chain import Place
from truesparse.layers.layer import Factors, Layer, LayerState, Window
from truesparse.sparse import Arena
from truesparse.sparse.panels import Panels
from truesparse.sparse.products import add_gradient, multiply, multiply_transposed


class AttentionWorkspace:
    """What the forward pass leaves for the backward pass.

    Attributes
    ----------
    given : ndarray of float32, shape (panels, 3 D, lanes)
        Queries, keys and values, then their gradients.
    read, dread, dy : ndarray of float32, shape (panels, D, lanes)
        What the heads have read, its gradient, and that of the outputs.
    """

    __slots__ = ("given", "read", "dread", "dy", "_scratch", "_size")

    def __init__(self, panels: Panels, features: int, heads: int) -> None:
        self.given = panels.zeros(len(PROJECTIONS) * features)
        self.read, self.dread, self.dy = (panels.zeros(features) for _ in range(3))
        self._size = scratch_size(panels.steps, features // heads, lanes_at_once(panels.step_lanes))
        self._scratch = aligned_zeros((0, 0))

    def scratch(self) -> NDArray[np.float32]:
        """Room for the scores of a task of each thread, `scratch_size` numbers each."""
        if len(self._scratch) != thread_count():
            self._scratch = aligned_zeros((thread_count(), self._size))
        return self._scratch


class AttentionLayer(Layer):
    """See `Layer`."""

    __slots__ = ("_in", "_out", "_heads")

    def __init__(self, place: Place, arena: Arena) -> None:
        super().__init__(place, arena)
        assert isinstance(place.spec, Attention)
        self._in, self._out = (arena.matrices[f"{place.name}.weight_{way}"] for way in ("in", "out"))
        self._heads = place.spec.heads

    def workspace(self, panels: Panels, one: Panels) -> AttentionWorkspace:
        """24 D bytes for each lane, and a scratch for each thread."""
        return AttentionWorkspace(panels, self.place.given.size, self._heads)

    def forward(self, y: Any, x: Any, state: LayerState, ws: AttentionWorkspace, window: Window) -> None:
        """See `Layer.forward`."""
        used = window.used
        bias_in, bias_out = self._biases(self.arena.biases)
        multiply(ws.given[:used], self._in, x[:used], bias_in)
        kernel = attend(lanes_at_once(window.panels.step_lanes))
        kernel(ws.read, ws.given, window.lengths, window.steps, self._heads, ws.scratch())
        multiply(y[:used], self._out, ws.read[:used], bias_out)

    def backward(self, dx: Any, dy: Any, x: Any, ws: AttentionWorkspace, window: Window) -> None:
        """See `Layer.backward`."""
        used, panels = window.used, window.panels
        bias_in, bias_out = self._biases(self.arena.bias_grads)
        ws.dy[:used] = dy[:used]
        panels.clear_after(ws.dy, window.steps)
        add_gradient(self._out, ws.dy[:used], ws.read[:used])
        row_sums(panels.lanes)(bias_out, ws.dy[:used], thread_count())
        multiply_transposed(ws.dread[:used], self._out, ws.dy[:used])
        kernel = attend_backward(lanes_at_once(panels.step_lanes))
        kernel(ws.given, ws.dread, window.lengths, window.steps, self._heads, ws.scratch())
        panels.clear_after(ws.given, window.steps)
        given = ws.given[:used]
        add_gradient(self._in, given, x[:used])
        row_sums(panels.lanes)(bias_in, given, thread_count())
        multiply_transposed(dx[:used], self._in, given)

    def factors(self, x: Any, ws: AttentionWorkspace, window: Window) -> Factors:
        """See `Layer.factors`."""
        used = window.used
        return {
            self._in.name: (ws.given[:used], x[:used]),
            self._out.name: (ws.dy[:used], ws.read[:used]),
        }

    def _biases(self, vectors: dict[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        return [vectors[f"{self.place.name}.bias_{way}"] for way in ("in", "out")]
