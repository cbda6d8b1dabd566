"""Learned positions in training."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.errors import UsageError
from truesparse.layers.chain import Place
from truesparse.layers.layer import Layer, LayerState, Window
from truesparse.layers.positions.spec import Positions
from truesparse.sparse import Arena
from truesparse.sparse.panels import Panels


class PositionsLayer(Layer):
    """See `Layer`."""

    __slots__ = ("_weight", "_shape")

    def __init__(self, place: Place, arena: Arena) -> None:
        super().__init__(place, arena)
        assert isinstance(place.spec, Positions)
        self._weight = f"{place.name}.weight"
        self._shape = place.spec.longest, place.given.size

    def workspace(self, panels: Panels, one: Panels) -> NDArray[np.float32]:
        """The vectors of the window's steps as they lie in panels, zeros beyond."""
        if panels.steps > self._shape[0]:
            raise UsageError(
                f"the model knows {self._shape[0]} positions, but a sequence has {panels.steps} steps; give"
                " it shorter ones"
            )
        return np.zeros((panels.spans * panels.steps_per_panel, self._shape[1]), np.float32)

    def forward(self, y: Any, x: Any, state: LayerState, ws: NDArray[np.float32], window: Window) -> None:
        """See `Layer.forward`."""
        panels, steps, used = window.panels, window.steps, window.used
        ws[:steps] = self.arena.biases[self._weight].reshape(self._shape)[:steps]
        own = ws.reshape(panels.spans, panels.steps_per_panel, -1).transpose(0, 2, 1)
        added = own[: used // panels.strips, None, :, :, None]
        np.add(panels.by_step(x[:used]), added, out=panels.by_step(y[:used]))

    def backward(self, dx: Any, dy: Any, x: Any, ws: NDArray[np.float32], window: Window) -> None:
        """See `Layer.backward`."""
        panels, steps, used = window.panels, window.steps, window.used
        sums = panels.by_step(dy[:used]).sum(axis=(1, 4)).transpose(0, 2, 1)
        gradients = self.arena.bias_grads[self._weight].reshape(self._shape)
        gradients[:steps] += sums.reshape(-1, self._shape[1])[:steps]
        dx[:used] = dy[:used]
