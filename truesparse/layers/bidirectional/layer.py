"""Two recurrent layers, one of which reads each sequence from its end.

The second one gets the steps of each sequence in the other order, within the sequence's own length, so that
it is a layer like any other; its outputs are turned round again.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from truesparse.kernels.reverse import reverse_steps
from truesparse.layers.chain import Place
from truesparse.layers.dropout.layer import NO_MASK, Mask
from truesparse.layers.layer import Factors, Layer, LayerState, Window, computing
from truesparse.sparse import Arena
from truesparse.sparse.panels import Panels

_OTHER_KEY = np.uint64(0x9E3779B97F4A7C15)  # so that both directions do not drop the same units


class BidirectionalWorkspace:
    """What the forward pass leaves for the backward pass.

    Attributes
    ----------
    layers : list
        The workspaces of both directions.
    states : list of tuple of ndarray
        Theirs, which begin with zeros in each window.
    x, dx : ndarray of float32, shape (panels, D, lanes)
        The inputs in the other order, and their gradient.
    y : list of ndarray of float32, shape (panels, H, lanes)
        The outputs of both, then their gradients; those of the second one in the other order.
    """

    __slots__ = ("layers", "states", "x", "dx", "y", "_mask")

    def __init__(self, layers: list[Layer], panels: Panels, one: Panels) -> None:
        place = layers[0].place
        self.layers = [layer.workspace(panels, one) for layer in layers]
        self.states: list[LayerState] = [
            tuple(panels.state_zeros(size) for size in place.spec.state.values()) for _ in layers
        ]
        self.x, self.dx = (panels.zeros(place.given.size) for _ in range(2))
        self.y = [panels.zeros(place.output.size) for _ in layers]

    @property
    def mask(self) -> Mask:
        """The dropout mask of the first direction; setting it sets another one for the second."""
        mask: Mask = self.layers[0].mask
        return mask

    @mask.setter
    def mask(self, mask: Mask) -> None:
        forward, backward = self.layers
        forward.mask = mask
        backward.mask = mask if mask is NO_MASK else mask._replace(key=mask.key ^ _OTHER_KEY)


class BidirectionalLayer(Layer):
    """See `Layer`. Runs the layers of both directions one after the other.

    References
    ----------
    M. Schuster, K. K. Paliwal, "Bidirectional recurrent neural networks", 1997, section II.
    """

    __slots__ = ("_layers",)

    def __init__(self, place: Place, arena: Arena) -> None:
        super().__init__(place, arena)
        self._layers: list[Layer] = [computing(own.spec)(own, arena) for own in place.directions]

    @property
    def KEYS(self) -> int:  # type: ignore[override]
        """Those of the cell."""
        return self._layers[0].KEYS

    @property
    def rate(self) -> float:
        """Of a cell that drops something itself."""
        rate: float = getattr(self._layers[0], "rate", 0.0)
        return rate

    def workspace(self, panels: Panels, one: Panels) -> BidirectionalWorkspace:
        """Those of both directions, and ``8 P (D + H)`` bytes, P being the T x B columns in panels."""
        return BidirectionalWorkspace(self._layers, panels, one)

    def forward(self, y: Any, x: Any, state: LayerState, ws: BidirectionalWorkspace, window: Window) -> None:
        """Run both from zeros; see `Layer.forward`. There is no state to carry on."""
        used, size = window.used, ws.y[0].shape[1]
        _reverse(ws.x, 0, x, 0, x.shape[1], window)
        for number, (layer, inputs) in enumerate(zip(self._layers, (x, ws.x), strict=True)):
            for part in ws.states[number]:
                part.fill(0)
            layer.forward(ws.y[number], inputs, ws.states[number], ws.layers[number], window)
        y[:used, :size] = ws.y[0][:used]
        _reverse(y, size, ws.y[1], 0, size, window)

    def backward(self, dx: Any, dy: Any, x: Any, ws: BidirectionalWorkspace, window: Window) -> None:
        """Run both backward; see `Layer.backward`."""
        used, size = window.used, ws.y[0].shape[1]
        ws.y[0][:used] = dy[:used, :size]
        _reverse(ws.y[1], 0, dy, size, size, window)
        gradients = zip(self._layers, (dx, ws.dx), ws.y, (x, ws.x), ws.layers, strict=True)
        for layer, gradient, dy_own, inputs, own in gradients:
            layer.backward(gradient, dy_own, inputs, own, window)
        _reverse(dx, 0, ws.dx, 0, dx.shape[1], window, add=True)

    def factors(self, x: Any, ws: BidirectionalWorkspace, window: Window) -> Factors:
        """See `Layer.factors`."""
        forward, backward = self._layers
        return forward.factors(x, ws.layers[0], window) | backward.factors(ws.x, ws.layers[1], window)


def _reverse(
    y: Any, first: int, x: Any, its_first: int, features: int, window: Window, add: bool = False
) -> None:
    panels = window.panels
    kernel = reverse_steps(panels.step_lanes, panels.lanes)
    kernel(y, first, x, its_first, features, window.lengths, window.steps, add)
