"""Penalties on activations."""

from __future__ import annotations

from typing import Any

import numpy as np

from truesparse.kernels.activity import add_penalties
from truesparse.layers.activity.spec import ActivityPenalty
from truesparse.layers.chain import Place
from truesparse.layers.layer import Layer, LayerState, Window
from truesparse.sparse import Arena


class ActivityPenaltyLayer(Layer):
    """See `Layer`. Keeps its input apart from its output, which a dropout may change in place."""

    __slots__ = ("_size", "_change")

    def __init__(self, place: Place, arena: Arena) -> None:
        super().__init__(place, arena)
        assert isinstance(place.spec, ActivityPenalty)
        self._size = place.spec.size
        self._change = place.spec.change

    def forward(self, y: Any, x: Any, state: LayerState, ws: Any, window: Window) -> None:
        """Pass the features on."""
        y[: window.used] = x[: window.used]

    def backward(self, dx: Any, dy: Any, x: Any, ws: Any, window: Window) -> None:
        """Add the gradients of the penalties."""
        used, panels = window.used, window.panels
        dx[:used] = dy[:used]
        lengths = window.lengths.reshape(panels.strips, -1)[:, : panels.step_lanes]
        features = x.shape[1]
        steps = float(lengths.sum())
        changes = float(np.maximum(lengths - 1, 0).sum())
        add_penalties(
            dx[:used],
            x[:used],
            np.ascontiguousarray(lengths),
            np.float32(2 * self._size / (steps * features) if steps else 0),
            np.float32(2 * self._change / (changes * features) if changes else 0),
        )
