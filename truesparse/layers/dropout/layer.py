"""Dropout with masks that are drawn again in the backward pass instead of being stored."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from truesparse.kernels.dropout import drop_words, dropout, locked_dropout
from truesparse.layers.chain import Place
from truesparse.layers.dropout.spec import Dropout, WordDropout
from truesparse.layers.layer import Layer, LayerState, Window
from truesparse.layers.spec import SEQUENCE
from truesparse.sparse import Arena
from truesparse.sparse.panels import Panels


class Mask(NamedTuple):
    """Which elements are dropped, as a function of the key and an element's place, and at which rate."""

    key: np.uint64
    rate: np.float32


NO_MASK = Mask(np.uint64(0), np.float32(0))


class MaskWorkspace:
    """The mask of a window."""

    __slots__ = ("mask",)

    def __init__(self) -> None:
        self.mask = NO_MASK


class DropoutLayer(Layer):
    """See `Layer`.

    Attributes
    ----------
    rate : float
        As in the specification.
    kept : float
        Fraction of the words that a `WordDropout` before it keeps; what stays is scaled for it too.
    """

    __slots__ = ("kept", "rate", "_locked")

    KEYS = 1
    IN_PLACE = True

    def __init__(self, place: Place, arena: Arena) -> None:
        super().__init__(place, arena)
        assert isinstance(place.spec, Dropout)
        self.rate = place.spec.rate
        self.kept = 1.0
        self._locked = place.spec.locked and place.given.kind != SEQUENCE

    def workspace(self, panels: Panels, one: Panels) -> MaskWorkspace:
        """The mask."""
        return MaskWorkspace()

    def forward(self, y: Any, x: Any, state: LayerState, ws: MaskWorkspace, window: Window) -> None:
        """Drop features of `x` in place and scale the others."""
        self._apply(x, ws.mask, window)

    def backward(self, dx: Any, dy: Any, x: Any, ws: MaskWorkspace, window: Window) -> None:
        """The same, on the gradient."""
        self._apply(dy, ws.mask, window)

    def _apply(self, x: NDArray[np.float32], mask: Mask, window: Window) -> None:
        if self.place.given.kind != SEQUENCE:
            x = x[: window.used]
        if mask is NO_MASK:
            return
        if self._locked:
            scale = 1 / (1 - self.rate) / self.kept
            if scale > 1:
                panels = window.panels
                kernel = locked_dropout(panels.step_lanes, panels.lanes)
                kernel(x, mask.key, mask.rate, np.float32(scale), panels.strips)
            return
        if self.rate > 0:
            dropout(x, mask.key, mask.rate)
        if self.kept < 1:
            x *= np.float32(1 / self.kept)


class WordDropoutLayer(Layer):
    """See `Layer`. Words that are dropped become -1, whose embedding is zero."""

    __slots__ = ("rate", "_tokens")

    KEYS = 3
    IN_PLACE = True

    def __init__(self, place: Place, arena: Arena) -> None:
        super().__init__(place, arena)
        assert isinstance(place.spec, WordDropout)
        self.rate = place.spec.rate
        self._tokens = place.given.size

    def workspace(self, panels: Panels, one: Panels) -> MaskWorkspace:
        """The mask."""
        return MaskWorkspace()

    def forward(self, y: Any, x: Any, state: LayerState, ws: MaskWorkspace, window: Window) -> None:
        """Drop every occurrence of a word in a sequence, or none."""
        if ws.mask.rate > 0:
            panels = window.panels
            ids = x[: window.used]
            drop_words(ids, ws.mask.key, ws.mask.rate, self._tokens, panels.strips, panels.step_lanes)

    def backward(self, dx: Any, dy: Any, x: Any, ws: MaskWorkspace, window: Window) -> None:
        """Tokens have no gradient."""


def apply_mask(x: NDArray[np.float32], mask: Mask, panels: Panels) -> None:
    """Drop the same features of a sequence at every step of `x`, (panels, features, lanes), in place."""
    if mask.rate > 0:
        kernel = locked_dropout(panels.step_lanes, panels.lanes)
        kernel(x, mask.key, mask.rate, np.float32(1) / (np.float32(1) - mask.rate), panels.strips)
