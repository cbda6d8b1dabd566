"""Layers to whose outputs their input is added, in training."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.kernels.buffers import aligned_zeros
from truesparse.layers.chain import Place
from truesparse.layers.layer import Factors, Layer, LayerState, Window, computing
from truesparse.sparse import Arena
from truesparse.sparse.panels import Panels


class ResidualWorkspace:
    """What the forward pass leaves for the backward pass.

    Attributes
    ----------
    layers : list
        The workspaces of its layers.
    x : list of ndarray of float32
        What each of them but the first reads, in panels.
    """

    __slots__ = ("layers", "x", "_gradient")

    def __init__(self, layers: list[Layer], panels: Panels, one: Panels) -> None:
        self.layers = [layer.workspace(panels, one) for layer in layers]
        self.x = [panels.zeros(layer.place.given.size) for layer in layers[1:]]
        largest = max(layer.place.given.size for layer in layers)
        self._gradient = aligned_zeros(panels.panels * panels.lanes * largest)

    def gradient_like(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """The gradient of what a layer reads, in one buffer for all of them."""
        return self._gradient[: x.size].reshape(x.shape)


class ResidualLayer(Layer):
    """See `Layer`."""

    __slots__ = ("_layers",)

    def __init__(self, place: Place, arena: Arena) -> None:
        super().__init__(place, arena)
        self._layers: list[Layer] = [computing(own.spec)(own, arena) for own in place.inner]

    def workspace(self, panels: Panels, one: Panels) -> ResidualWorkspace:
        """Those of its layers, and what goes from one to the next."""
        return ResidualWorkspace(self._layers, panels, one)

    def forward(self, y: Any, x: Any, state: LayerState, ws: ResidualWorkspace, window: Window) -> None:
        """See `Layer.forward`."""
        for layer, out, given, own in zip(self._layers, [*ws.x, y], [x, *ws.x], ws.layers, strict=True):
            layer.forward(out, given, (), own, window)
        y[: window.used] += x[: window.used]

    def backward(self, dx: Any, dy: Any, x: Any, ws: ResidualWorkspace, window: Window) -> None:
        """See `Layer.backward`."""
        gradient = dy
        for layer, given, own in zip(self._layers[::-1], [x, *ws.x][::-1], ws.layers[::-1], strict=True):
            before = ws.gradient_like(given)
            layer.backward(before, gradient, given, own, window)
            gradient = before
        used = window.used
        np.add(dy[:used], gradient[:used], out=dx[:used])

    def factors(self, x: Any, ws: ResidualWorkspace, window: Window) -> Factors:
        """See `Layer.factors`."""
        found: Factors = {}
        for layer, given, own in zip(self._layers, [x, *ws.x], ws.layers, strict=True):
            found |= layer.factors(given, own, window)
        return found
