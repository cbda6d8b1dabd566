"""One vector of a whole sequence."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.kernels import pooling
from truesparse.layers.chain import Place
from truesparse.layers.layer import Layer, LayerState, Window
from truesparse.layers.pool.spec import Pool
from truesparse.sparse import Arena
from truesparse.sparse.panels import Panels


class PoolLayer(Layer):
    """See `Layer`. Steps beyond a sequence's length have no influence."""

    __slots__ = ("_kind",)

    def __init__(self, place: Place, arena: Arena) -> None:
        super().__init__(place, arena)
        assert isinstance(place.spec, Pool)
        self._kind = place.spec.kind

    def workspace(self, panels: Panels, one: Panels) -> NDArray[np.float32]:
        """Where each maximum was."""
        return one.zeros(self.place.given.size if self._kind == "max" else 1)

    def forward(self, y: Any, x: Any, state: LayerState, ws: NDArray[np.float32], window: Window) -> None:
        """Pool over the steps of each sequence."""
        if window.alone:  # x is y
            return
        lanes, lengths, steps = _lanes(window), window.lengths, window.steps
        if self._kind == "max":
            pooling.max_forward(*lanes)(y, ws, x, lengths, steps)
        elif self._kind == "mean":
            pooling.mean_forward(*lanes)(y, x, lengths, steps)
        else:
            pooling.last_forward(*lanes)(y, x, lengths, steps, self.place.given.backward)

    def backward(self, dx: Any, dy: Any, x: Any, ws: NDArray[np.float32], window: Window) -> None:
        """Spread the gradient over the steps."""
        if window.alone:
            return
        lanes, lengths, steps = _lanes(window), window.lengths, window.steps
        if self._kind == "max":
            pooling.max_backward(*lanes)(dx, dy, ws, lengths, steps)
        elif self._kind == "mean":
            pooling.mean_backward(*lanes)(dx, dy, lengths, steps)
        else:
            pooling.last_backward(*lanes)(dx, dy, lengths, steps, self.place.given.backward)


def _lanes(window: Window) -> tuple[int, int]:
    return window.panels.step_lanes, window.panels.lanes
