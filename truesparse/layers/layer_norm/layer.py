"""Layer normalisation in training."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.kernels.threads import thread_count
from truesparse.layers.chain import Place
from truesparse.layers.layer import Layer, LayerState, Window
from truesparse.layers.layer_norm.kernels import layer_norm_backward, layer_norm_forward, scale_gradient
from truesparse.layers.layer_norm.spec import LayerNorm
from truesparse.sparse import Arena
from truesparse.sparse.panels import Panels


class LayerNormLayer(Layer):
    """See `Layer`."""

    __slots__ = ("_scale", "_bias", "_epsilon")

    def __init__(self, place: Place, arena: Arena) -> None:
        super().__init__(place, arena)
        assert isinstance(place.spec, LayerNorm)
        self._scale, self._bias = f"{place.name}.scale", f"{place.name}.bias"
        self._epsilon = np.float32(place.spec.epsilon)

    def workspace(self, panels: Panels, one: Panels) -> NDArray[np.float32]:
        """Mean and 1 / deviation of each step, shape (panels, 2, lanes)."""
        return panels.zeros(2)

    def forward(self, y: Any, x: Any, state: LayerState, ws: NDArray[np.float32], window: Window) -> None:
        """See `Layer.forward`."""
        used, vectors = window.used, self.arena.biases
        kernel = layer_norm_forward(x.shape[2])
        kernel(y[:used], ws[:used], x[:used], vectors[self._scale], vectors[self._bias], self._epsilon)

    def backward(self, dx: Any, dy: Any, x: Any, ws: NDArray[np.float32], window: Window) -> None:
        """See `Layer.backward`."""
        used, lanes, gradients = window.used, x.shape[2], self.arena.bias_grads
        window.panels.clear_after(dy, window.steps)
        given = dy[:used], x[:used], ws[:used]
        scale_gradient(lanes)(gradients[self._scale], gradients[self._bias], *given, thread_count())
        layer_norm_backward(lanes)(dx[:used], *given, self.arena.biases[self._scale])
