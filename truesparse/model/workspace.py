"""What a model carries from window to window, and the buffers of a window."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from truesparse.errors import TruesparseError
from truesparse.kernels.buffers import aligned_zeros
from truesparse.layers.chain import ChainSpec
from truesparse.layers.layer import LayerState, Window
from truesparse.layers.spec import SEQUENCE, TOKENS, Signal
from truesparse.sparse.panels import Panels

if TYPE_CHECKING:
    from truesparse.model.model import Model


class State:
    """The hidden state of all layers between windows, for a fixed number of sequences.

    Parameters
    ----------
    chain : ChainSpec
    batch : int
    """

    __slots__ = ("layers", "_names", "_panels")

    def __init__(self, chain: ChainSpec, batch: int) -> None:
        self._panels = Panels(1, batch)
        self.layers: list[LayerState] = [
            tuple(self._panels.state_zeros(size) for size in place.spec.state.values())
            for place in chain.places
        ]
        self._names = [list(place.state) for place in chain.places]

    def reset(self) -> None:
        """Set everything to zero, as at the start of an epoch."""
        for array in self._parts().values():
            array.fill(0)

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return copies as arrays of shape (H, B), by names such as ``lstm.0.h``."""
        return {name: self._panels.state_to_array(array) for name, array in self._parts().items()}

    def load(self, arrays: Mapping[str, NDArray[np.float32]]) -> None:
        """Take the numbers that `arrays` returned.

        Raises
        ------
        TruesparseError
            If an array is missing or of another shape.
        """
        for name, mine in self.arrays().items():
            if name not in arrays or arrays[name].shape != mine.shape:
                raise TruesparseError(
                    f"the saved hidden state {name} does not have the shape {mine.shape} of this model"
                )
        self.reset()
        for name, array in self._parts().items():
            self._panels.array_to_state(array, arrays[name])

    def _parts(self) -> dict[str, NDArray[np.float32]]:
        """The layers' lane-split arrays by name."""
        return {
            name: array
            for names, own in zip(self._names, self.layers, strict=True)
            for name, array in zip(names, own, strict=True)
        }


class Workspace:
    """Every buffer of windows of up to T steps and B sequences. Made by `Model.workspace`.

    Memory: 4 bytes for each lane of the window and each feature of each signal between layers, as much again
    for the longest of them, and what the layers keep.

    Attributes
    ----------
    window : Window
    start : State
        Of a window that begins with zeros.
    x : list of ndarray
        x[l] is the input of layer l.
    layers : list
        The layers' own.
    targets, output
        The head's.
    """

    __slots__ = ("window", "start", "x", "layers", "targets", "output", "done", "_gradient", "_signals")

    def __init__(self, model: Model, steps: int, batch: int) -> None:
        chain = model.chain
        alone = chain.feed_forward and steps == 1
        panels, one = Panels(steps, batch, alone), Panels(1, batch, alone)
        self.window = Window(panels, one, aligned_zeros((one.panels, one.lanes)))
        self.start = State(chain, batch)
        places = chain.places
        self._signals = [place.given for place in places]
        self.x = [self._zeros(self._signals[0])]
        for place, layer in zip(places[:-1], model.layers, strict=True):
            self.x.append(self.x[-1] if layer.IN_PLACE else self._zeros(place.output))
        self.layers = [layer.workspace(panels, one) for layer in model.layers]
        own = one if self._signals[-1].kind == SEQUENCE else panels
        self.targets = model.head.targets(own)
        self.output = model.head.workspace(own)
        # One buffer serves the gradients of all layers in turn: a layer has used up dy when it writes dx.
        largest = {
            kind: max((signal.size for signal in self._signals if signal.kind == kind), default=0)
            for kind in {signal.kind for signal in self._signals} - {TOKENS}
        }
        self._gradient = {kind: aligned_zeros(self._lanes(kind) * size) for kind, size in largest.items()}
        self.done = False  # whether the buffers hold the results of a backward pass

    def gradient_of(self, number: int) -> NDArray[np.float32] | None:
        """The gradient of `x[number]`, in the shared buffer; None of tokens."""
        if self._signals[number].kind == TOKENS:
            return None
        shape = self.x[number].shape
        buffer = self._gradient[self._signals[number].kind]
        return buffer[: shape[0] * shape[1] * shape[2]].reshape(shape)

    def _lanes(self, kind: str) -> int:
        panels = self.window.one if kind == SEQUENCE else self.window.panels
        return panels.panels * panels.lanes

    def _zeros(self, signal: Signal) -> NDArray[Any]:
        panels = self.window.one if signal.kind == SEQUENCE else self.window.panels
        if signal.kind == TOKENS:
            return aligned_zeros((panels.panels, panels.lanes), np.int32)
        return panels.zeros(signal.size)
