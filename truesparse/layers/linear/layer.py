"""A linear layer with sparse weights: ``y = f(W x + b)``, with W `[H, D]` and b `[H]`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.kernels.activation import (
    activation_backward,
    activation_forward,
    srelu_backward,
    srelu_forward,
)
from truesparse.kernels.sddmm import row_sums
from truesparse.kernels.threads import thread_count
from truesparse.layers.chain import Place
from truesparse.layers.layer import Factors, Layer, LayerState, Window
from truesparse.layers.linear.spec import Linear
from truesparse.layers.spec import SEQUENCE
from truesparse.sparse import Arena
from truesparse.sparse.panels import Panels
from truesparse.sparse.products import add_gradient, multiply, multiply_transposed


class LinearLayer(Layer):
    """See `Layer`."""

    FIRST = True

    __slots__ = ("weight", "bias", "_activation", "_bends", "_once")

    def __init__(self, place: Place, arena: Arena) -> None:
        super().__init__(place, arena)
        assert isinstance(place.spec, Linear)
        self.weight = arena.matrices[f"{place.name}.weight"]
        self.bias = f"{place.name}.bias"
        self._activation = place.spec.activation
        self._bends = f"{place.name}.srelu"
        self._once = place.given.kind == SEQUENCE

    def workspace(self, panels: Panels, one: Panels) -> NDArray[np.float32]:
        """Outputs, of which dropout may change the next layer's copy; then the gradients of W x + b."""
        return (one if self._once else panels).zeros(self.place.output.size)

    def forward(self, y: Any, x: Any, state: LayerState, ws: NDArray[np.float32], window: Window) -> None:
        """See `Layer.forward`."""
        used, bias = self._used(window), self.arena.biases[self.bias]
        multiply(y[:used], self.weight, x[:used], bias)
        if self._activation == "srelu":
            srelu_forward(y.shape[2])(y[:used], ws[:used], self.arena.biases[self._bends])
        elif self._activation != "none":
            activation_forward(self._activation, y.shape[2])(y[:used], ws[:used])

    def backward(self, dx: Any, dy: Any, x: Any, ws: NDArray[np.float32], window: Window) -> None:
        """See `Layer.backward`."""
        used = self._used(window)
        sums, x = ws[:used], x[:used]
        if self._activation == "srelu":
            bends, gradients = self.arena.biases[self._bends], self.arena.bias_grads[self._bends]
            srelu_backward(ws.shape[2])(sums, gradients, dy[:used], bends)
        else:
            activation_backward(self._activation, ws.shape[2])(sums, dy[:used])
        if not self._once:
            window.panels.clear_after(ws, window.steps)
        if dx is not None:
            multiply_transposed(dx[:used], self.weight, sums)
        add_gradient(self.weight, sums, x)
        row_sums(ws.shape[2])(self.arena.bias_grads[self.bias], sums, thread_count())

    def factors(self, x: Any, ws: NDArray[np.float32], window: Window) -> Factors:
        """See `Layer.factors`."""
        used = self._used(window)
        return {self.weight.name: (ws[:used], x[:used])}

    def _used(self, window: Window) -> int:
        return window.one.panels if self._once else window.used
