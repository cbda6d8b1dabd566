"""A model: a chain of layers and their numbers, and how they are run, forward and backward."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.errors import TruesparseError
from truesparse.kernels.buffers import aligned_zeros
from truesparse.layers.chain import Chain
from truesparse.layers.compute import head_layer, layer_of
from truesparse.layers.dropout.layer import NO_MASK, DropoutLayer, Mask, WordDropoutLayer
from truesparse.layers.layer import GradientRows, Layer, LayerState, Window
from truesparse.layers.spec import SEQUENCE, TOKENS, Signal
from truesparse.sparse import Arena, SparseMatrix
from truesparse.sparse.panels import Panels


class State:
    """The hidden state of all layers between windows, for a fixed number of sequences.

    Parameters
    ----------
    chain : Chain
    batch : int
    """

    __slots__ = ("layers", "_names", "_panels")

    def __init__(self, chain: Chain, batch: int) -> None:
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
        """The layers' lane-blocked arrays by name."""
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
        panels, one = Panels(steps, batch), Panels(1, batch)
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


class Model:
    """Layers, a head and their numbers.

    Sequences of different lengths share a batch: each begins at step 0, and steps beyond its length have no
    influence on anything.

    Parameters
    ----------
    chain : Chain
    arena : Arena
        Holds the matrices and vectors that `chain` names.

    Attributes
    ----------
    chain, arena
        As given.
    layers : list of Layer
        All but the head.
    head : HeadLayer

    Examples
    --------
    A training step::

        arena.zero_grad()
        loss = model.loss_and_gradients(ids, targets, workspace, state, rng=rng)

    and then an optimizer on `model.arena`.
    """

    __slots__ = ("chain", "arena", "layers", "head", "_keys")

    def __init__(self, chain: Chain, arena: Arena) -> None:
        self.chain = chain
        self.arena = arena
        *places, last = chain.places
        self.layers: list[Layer] = [layer_of(place, arena) for place in places]
        self.head = head_layer(last, arena, chain.output_matrix)
        self._keys = sorted(
            (number for number, layer in enumerate(self.layers) if layer.KEYS),
            key=lambda number: self.layers[number].KEYS,
        )
        kept = 1.0
        for layer in self.layers:
            if isinstance(layer, WordDropoutLayer):
                kept *= 1 - layer.rate
            elif isinstance(layer, DropoutLayer):
                layer.kept, kept = kept, 1.0

    def __reduce__(self) -> tuple[Any, ...]:
        """For copies and pickles."""
        return type(self), (self.chain, self.arena)

    @property
    def matrices(self) -> dict[str, SparseMatrix]:
        """The sparse weight matrices by name."""
        return self.arena.matrices

    def workspace(self, steps: int, batch: int) -> Workspace:
        """Return the buffers for windows of up to `steps` steps and `batch` sequences."""
        return Workspace(self, steps, batch)

    def zero_state(self, batch: int) -> State:
        """Return a hidden state of zeros for `batch` sequences."""
        return State(self.chain, batch)

    def loss_and_gradients(
        self,
        inputs: NDArray[Any],
        targets: NDArray[Any],
        ws: Workspace,
        state: State | None = None,
        lengths: NDArray[np.int32] | None = None,
        rng: np.random.Generator | None = None,
        weights: NDArray[np.float64] | None = None,
    ) -> float:
        """Return the mean loss, and add its gradients of every parameter to the arena.

        Parameters
        ----------
        inputs : ndarray of int32, shape (steps, B), or of float32, shape (steps, D, B)
            Tokens in [0, V), -1 for none; or, in a model without embedding, features, which are finite beyond
            a sequence's length too.
        targets : ndarray
            What the head is to say, for each step or each sequence; see the heads.
        ws : Workspace
        state : State, optional
            Carried on in place; begins with zeros if left out.
        lengths : ndarray of int32, shape (B,), optional
            Steps of each sequence, 0 in places that hold none; all have all steps if left out.
        rng : numpy.random.Generator, optional
            Draws what is dropped; without it nothing is.
        weights : ndarray of float64, shape (B,), optional
            How much each sequence counts in the mean, ``sum(weight * loss) / sum(weight)``: 0 or more, 0 in
            places that hold none. Without, all count the same.

        Returns
        -------
        float
            Mean per target: the cross-entropy in nats, or half the squared error.
        """
        self._draw(ws, rng)
        x, used = self._run(inputs, ws, state, lengths)
        count = self._place(targets, ws, weights)
        scale = 1.0 / count
        top = ws.gradient_of(len(self.layers))
        assert top is not None
        loss = self.head.loss_and_gradients(top[:used], x, ws.targets, scale, ws.output)
        for number in reversed(range(len(self.layers))):
            layer, dx, dy = self.layers[number], ws.gradient_of(number), ws.gradient_of(number + 1)
            layer.backward(dx, dy, ws.x[number], ws.layers[number], ws.window)
        ws.done = True
        return float(loss * scale)

    def loss(
        self,
        inputs: NDArray[Any],
        targets: NDArray[Any],
        ws: Workspace,
        state: State | None = None,
        lengths: NDArray[np.int32] | None = None,
    ) -> float:
        """Return the mean loss without dropout and gradients; parameters are those of
        `loss_and_gradients`."""
        self._draw(ws, None)
        x, _ = self._run(inputs, ws, state, lengths)
        count = self._place(targets, ws)
        return self.head.loss(x, ws.targets, ws.output) / count

    def predict(
        self,
        inputs: NDArray[Any],
        ws: Workspace,
        state: State | None = None,
        lengths: NDArray[np.int32] | None = None,
    ) -> NDArray[np.float32]:
        """Return what the model says of each sequence, or after the last step.

        Parameters
        ----------
        inputs, ws, state, lengths
            As for `loss_and_gradients`.

        Returns
        -------
        ndarray of float32, shape (outputs, B)
            Log-probabilities, or numbers.
        """
        self._draw(ws, None)
        self._run(inputs, ws, state, lengths)
        per_step = self.chain.per_step
        panels = ws.window.panels if per_step else ws.window.one
        return self.head.predict(ws.x[-1], panels, ws.window.steps - 1 if per_step else 0, ws.output)

    def predict_steps(
        self,
        inputs: NDArray[Any],
        ws: Workspace,
        state: State | None = None,
        lengths: NDArray[np.int32] | None = None,
    ) -> NDArray[np.float32]:
        """Return what a model that says something at each step says at all of them; parameters are those of
        `predict`.

        Returns
        -------
        ndarray of float32, shape (steps, outputs, B)
            As in `predict`. Without meaning beyond a sequence's length.
        """
        self._draw(ws, None)
        self._run(inputs, ws, state, lengths)
        return self.head.predict_steps(ws.x[-1], ws.window.panels, ws.window.steps, ws.output)

    def dense_gradients(self, ws: Workspace) -> dict[str, GradientRows]:
        """Return functions that compute the gradient at all positions, of the window of the last
        `loss_and_gradients`.

        Parameters
        ----------
        ws : Workspace
            Must not be used for another window before the functions are.

        Returns
        -------
        dict of str to function
            For each matrix: `function(out, first)` writes the gradient of the rows from number `first` on to
            `out`, float32 of shape (some rows, columns). For rows of the output layer the weights must be as
            they were.

        Raises
        ------
        RuntimeError
            If no `loss_and_gradients` came before.

        Notes
        -----
        2 floating-point operations for each position and column of the window, and for the output layer its
        forward pass again.
        """
        if not ws.done:
            raise RuntimeError("dense gradients need a backward pass before, with the same workspace")
        functions: dict[str, GradientRows] = {}
        if self.head.weight.name in self.matrices:
            x = ws.x[-1][: self._used(ws)]
            functions[self.head.weight.name] = partial(
                self.head.write_gradient, x=x, targets=ws.targets, ws=ws.output
            )
        for number, layer in enumerate(self.layers):
            dy = ws.gradient_of(number + 1)
            own = layer.gradient_rows(dy, ws.x[number], ws.layers[number], ws.window)
            for name, function in own.items():
                functions[name] = _both(functions[name], function) if name in functions else function
        return functions

    def _draw(self, ws: Workspace, rng: np.random.Generator | None) -> None:
        """Draw the masks of a window, or none."""
        rates = [self.layers[number].rate for number in self._keys]  # type: ignore[attr-defined]
        keys = None
        if rng is not None and any(rates):
            keys = rng.integers(0, 2**64, size=len(rates), dtype=np.uint64)
        for place, number in enumerate(self._keys):
            mask = NO_MASK if keys is None else Mask(keys[place], np.float32(rates[place]))
            ws.layers[number].mask = mask

    def _run(
        self,
        inputs: NDArray[Any],
        ws: Workspace,
        state: State | None,
        lengths: NDArray[np.int32] | None,
    ) -> tuple[NDArray[np.float32], int]:
        """Run the layers; return what the head sees, and of how many panels."""
        window = ws.window
        panels, steps, batch = window.panels, inputs.shape[0], inputs.shape[-1]
        if steps > panels.steps or batch != panels.batch:
            raise ValueError(
                f"a window of {steps} x {batch} does not fit a workspace for {panels.steps} x {panels.batch}"
            )
        ws.done = False
        window.steps = steps
        if state is None:
            state = ws.start
            state.reset()
        every = np.full(batch, steps, np.int32) if lengths is None else lengths
        window.one.place(window.lengths[:, None], every[None, None].astype(np.float32))
        if self.chain.tokens:
            panels.place_ids(ws.x[0], inputs)
        else:
            panels.place(ws.x[0], inputs)
        for number, layer in enumerate(self.layers):
            x, y = ws.x[number], ws.x[number + 1]
            layer.forward(y, x, state.layers[number], ws.layers[number], window)
        used = self._used(ws)
        return ws.x[-1][:used], used

    def _used(self, ws: Workspace) -> int:
        return ws.window.used if self.chain.per_step else ws.window.one.panels

    def _place(self, targets: NDArray[Any], ws: Workspace, weights: NDArray[np.float64] | None = None) -> int:
        """Put the targets and their weights into the workspace; return how many there are."""
        panels, rows = (ws.window.panels, targets) if self.chain.per_step else (ws.window.one, targets[None])
        count = self.head.place_targets(ws.targets, rows, panels)
        self.head.weigh(ws.output, weights, len(rows), count, panels)
        return count


def _both(one: GradientRows, other: Any) -> GradientRows:
    """The gradient of a matrix that two layers share; the other one can add."""

    def both(out: NDArray[np.float32], first: int) -> None:
        one(out, first)
        other(out, first, add=True)

    return both
