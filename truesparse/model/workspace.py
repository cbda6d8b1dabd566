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
from truesparse.layers.pool.spec import Pool
from truesparse.layers.spec import SEQUENCE, STEPS, TOKENS, Signal
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
        for own in self.layers:
            for array in own:
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

    __slots__ = ("window", "start", "x", "layers", "targets", "output", "done", "_gradients")

    def __init__(self, model: Model, steps: int, batch: int) -> None:
        chain = model.chain
        alone = chain.feed_forward and steps == 1
        panels, one = Panels(steps, batch, alone), Panels(1, batch, alone)
        self.window = Window(panels, one, aligned_zeros((one.panels, one.lanes)), alone=alone)
        self.start = State(chain, batch)
        places = chain.places
        signals = [place.given for place in places]
        self.x = [self._zeros(signals[0])]
        for place, layer in zip(places[:-1], model.layers, strict=True):
            same = layer.IN_PLACE or (alone and isinstance(place.spec, Pool))
            self.x.append(self.x[-1] if same else self._zeros(place.output))
        self.layers = [layer.workspace(panels, one) for layer in model.layers]
        own = one if signals[-1].kind == SEQUENCE else panels
        self.targets = model.head.targets(own)
        self.output = model.head.workspace(own)
        # One buffer serves the gradients of all layers in turn: a layer has used up dy when it writes dx.
        kinds = [SEQUENCE if alone and signal.kind == STEPS else signal.kind for signal in signals]
        buffers = {
            kind: aligned_zeros(max(x.size for x, own in zip(self.x, kinds, strict=True) if own == kind))
            for kind in {*kinds} - {TOKENS}
        }
        self._gradients = [
            None if kind == TOKENS else buffers[kind][: x.size].reshape(x.shape)
            for x, kind in zip(self.x, kinds, strict=True)
        ]
        self.done = False  # whether the buffers hold the results of a backward pass

    def gradient_of(self, number: int) -> NDArray[np.float32] | None:
        """The gradient of `x[number]`, in the shared buffer; None of tokens."""
        return self._gradients[number]

    def _zeros(self, signal: Signal) -> NDArray[Any]:
        panels = self.window.one if signal.kind == SEQUENCE else self.window.panels
        if signal.kind == TOKENS:
            return aligned_zeros((panels.panels, panels.lanes), np.int32)
        return panels.zeros(signal.size)
