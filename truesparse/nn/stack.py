"""What models of sequences have in common: an embedding, where inputs are tokens, and recurrent layers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.errors import TruesparseError
from truesparse.kernels.buffers import aligned_zeros
from truesparse.kernels.dense import product_rows
from truesparse.nn.embedding import Embedding
from truesparse.nn.spec import CELLS, RecurrentSpec
from truesparse.sparse import Arena
from truesparse.sparse.panels import Panels

# Writes the gradient at all positions of the rows from a number on to an array (some rows, columns)
GradientRows = Callable[[NDArray[np.float32], int], None]


class State:
    """The hidden state of all layers between windows, for a fixed batch size.

    Parameters
    ----------
    spec : RecurrentSpec
    batch : int
    """

    __slots__ = ("layers", "_names", "_panels")

    def __init__(self, spec: RecurrentSpec, batch: int) -> None:
        self._panels = Panels(1, batch)
        self._names = spec.layer_names
        self.layers = [CELLS[spec.cell].new_state(self._panels, spec.hidden_size) for _ in self._names]

    def reset(self) -> None:
        """Set everything to zero, as at the start of an epoch."""
        for array in self._parts().values():
            array.fill(0)

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return copies as arrays of shape (H, B), by names such as `lstm.<layer>.h` and `lstm.<layer>.c`."""
        return {name: self._panels.state_to_array(array) for name, array in self._parts().items()}

    def load(self, arrays: dict[str, NDArray[np.float32]]) -> None:
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
            f"{name}.{part}": getattr(layer, part)
            for name, layer in zip(self._names, self.layers, strict=True)
            for part in layer.__slots__
        }


class StackWorkspace:
    """Every buffer of the stack for windows of up to T steps and B sequences.

    Memory, with D inputs of the first layer and P the T x B columns rounded up to panels: ``4 P (D + L H +
    max(D, H))`` bytes, and those of the layers.
    """

    __slots__ = ("panels", "ids", "x", "layers", "dropout", "gradient")

    def __init__(self, spec: RecurrentSpec, steps: int, batch: int) -> None:
        self.panels = panels = Panels(steps, batch)
        self.ids = aligned_zeros((panels.panels, panels.lanes), np.int32)
        # x[l] is the input of layer l, x[L] the output of the last one
        self.x = [panels.zeros(spec.embedding_size)] + [
            panels.zeros(spec.hidden_size) for _ in range(spec.layers)
        ]
        cell = CELLS[spec.cell]
        self.layers = [cell.new_workspace(panels, spec.hidden_size, spec.depth) for _ in range(spec.layers)]
        self.dropout = cell.DROPOUT(panels, self.layers)
        # One buffer serves the gradients of all layers in turn: a layer has used up dy when it writes dx.
        self.gradient = aligned_zeros(
            panels.panels * panels.lanes * max(spec.embedding_size, spec.hidden_size)
        )

    def gradient_of(self, layer: int) -> NDArray[np.float32]:
        """The gradient of `x[layer]`, in the shared buffer."""
        shape = self.x[layer].shape
        return self.gradient[: shape[0] * shape[1] * shape[2]].reshape(shape)


class Stack:
    """Embedding and layers.

    Parameters
    ----------
    spec : RecurrentSpec
    arena : Arena
        Holds the matrices and biases that `spec` names.
    """

    __slots__ = ("vocab_size", "embedding", "layers")

    def __init__(self, spec: RecurrentSpec, arena: Arena) -> None:
        self.vocab_size = spec.vocab_size
        self.embedding = Embedding(arena.matrices["embedding.weight"]) if spec.vocab_size else None
        self.layers = [CELLS[spec.cell](arena, name) for name in spec.layer_names]

    def forward(self, inputs: NDArray[Any], state: State, ws: StackWorkspace) -> int:
        """Run the layers over a window; the outputs of the last one are in ``ws.x[-1]``, without dropout.

        Parameters
        ----------
        inputs : ndarray of int32, shape (steps, B), or of float32, shape (steps, D, B)
            Tokens in [0, V), -1 for none; or, in a model without embedding, features.
        state : State
            Carried on in place.
        ws : StackWorkspace
            Its dropout has been drawn.

        Returns
        -------
        int
            The number of steps.
        """
        steps, batch = inputs.shape[0], inputs.shape[-1]
        panels = ws.panels
        if steps > panels.steps or batch != panels.batch:
            raise ValueError(
                f"a window of {steps} x {batch} does not fit a workspace for {panels.steps} x {panels.batch}"
            )
        used = panels.used(steps)
        if self.embedding is None:
            panels.place(ws.x[0], inputs)
        else:
            panels.place_ids(ws.ids, inputs)
            ws.dropout.words(ws.ids[:used], self.vocab_size)
            self.embedding.forward(ws.x[0][:used], ws.ids[:used])
        for number, layer in enumerate(self.layers):
            ws.dropout.apply(ws.x[number][:used], number)
            layer.forward(ws.x[number + 1], ws.x[number], state.layers[number], ws.layers[number], steps)
        return steps

    def backward(self, ws: StackWorkspace, steps: int) -> None:
        """Add the gradients of every parameter to the arena, given that of the outputs in
        ``ws.gradient_of(L)``.

        Parameters
        ----------
        ws : StackWorkspace
            As `forward` left it.
        steps : int
            What `forward` returned.
        """
        used = ws.panels.used(steps)
        for number in reversed(range(len(self.layers))):
            dx = ws.gradient_of(number)
            self.layers[number].backward(
                dx, ws.gradient_of(number + 1), ws.x[number], ws.layers[number], steps
            )
            ws.dropout.apply(dx[:used], number)
        if self.embedding is not None:
            self.embedding.backward(ws.gradient_of(0)[:used], ws.ids[:used])

    def dense_gradients(
        self, ws: StackWorkspace, steps: int, tied: GradientRows | None = None
    ) -> dict[str, GradientRows]:
        """Return functions that compute the gradient at all positions of each matrix, after a `backward`.

        Parameters
        ----------
        ws, steps
            As in that `backward`.
        tied : function, optional
            The gradient of an output layer that has the embedding's matrix, which is to be added.
        """
        used = ws.panels.used(steps)

        def product(out: NDArray[np.float32], first: int, *, dy: NDArray[Any], x: NDArray[Any]) -> None:
            product_rows(ws.panels.lanes)(out, dy, first, x)

        functions: dict[str, GradientRows] = {
            name: partial(product, dy=dy, x=x)
            for layer, inputs, layer_ws in zip(self.layers, ws.x[:-1], ws.layers, strict=True)
            for name, (dy, x) in layer.factors(inputs, layer_ws, steps).items()
        }
        if self.embedding is not None:
            embedding = self.embedding

            def lookup(out: NDArray[np.float32], first: int) -> None:
                if tied is None:
                    out.fill(0)
                else:
                    tied(out, first)
                embedding.add_gradient_rows(out, first, ws.gradient_of(0)[:used], ws.ids[:used])

            functions[embedding.weight.name] = lookup
        return functions
