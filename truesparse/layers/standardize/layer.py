"""Features brought to mean 0 and deviation 1."""

from __future__ import annotations

from typing import Any

import numpy as np

from truesparse.layers.chain import Place
from truesparse.layers.layer import Layer, LayerState, Window
from truesparse.layers.standardize.spec import Standardize
from truesparse.sparse import Arena


class StandardizeLayer(Layer):
    """See `Layer`. Lanes that hold nothing get finite numbers too."""

    __slots__ = ("_mean", "_scale", "_centred")

    def __init__(self, place: Place, arena: Arena) -> None:
        super().__init__(place, arena)
        assert isinstance(place.spec, Standardize)
        self._mean = np.array(place.spec.mean, np.float32)[:, None]
        self._scale = np.array(place.spec.scale, np.float32)[:, None]
        self._centred = not self._mean.any()

    def forward(self, y: Any, x: Any, state: LayerState, ws: Any, window: Window) -> None:
        """See `Layer.forward`."""
        used = window.used
        if self._centred:
            np.divide(x[:used], self._scale, out=y[:used])
        else:
            np.subtract(x[:used], self._mean, out=y[:used])
            np.divide(y[:used], self._scale, out=y[:used])

    def backward(self, dx: Any, dy: Any, x: Any, ws: Any, window: Window) -> None:
        """No layer before it would read a gradient."""
