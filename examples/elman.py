"""Your own cell, all of it in this file: Elman's recurrent network.

    python examples/elman.py

A unit reads the inputs and the outputs of the step before, ``h_t = tanh(W x_t + R h_{t-1} + b)``. The
products over a whole window are those of truesparse; the steps take NumPy and SciPy, which is slow but
short. A cell that is to be fast has a kernel for its steps: docs/cells.md tells how.

The parts are found by their names: `Elman` is what the layer is, `ElmanLayer` computes it in training, and
`ElmanStep` in `truesparse.runtime`.

References
----------
J. L. Elman, "Finding structure in time", 1990.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

import truesparse as ts
from truesparse import runtime
from truesparse.layers.chain import Place
from truesparse.layers.layer import Factors, LayerState, Window
from truesparse.layers.product import Product, beside
from truesparse.layers.recurrence import GatedLayer
from truesparse.layers.spec import Recurrent
from truesparse.layers.step import Array, Step, StepState
from truesparse.modelfile import CSR
from truesparse.sparse.panels import Panels
from truesparse.sparse.products import add_gradient, multiply, multiply_transposed


@ts.register_layer
@dataclass(frozen=True)
class Elman(Recurrent):
    """What the layer is, a matrix W for the inputs, R for the state, and a bias: from this its arena, file,
    counts and checks follow."""

    TYPE: ClassVar[str] = "elman"
    GATES: ClassVar[tuple[str, ...]] = ("h",)


class ElmanWorkspace:
    """What `forward` leaves for `backward`: W x + b, its gradient, and the states."""

    def __init__(self, panels: Panels, units: int) -> None:
        self.sums = panels.zeros(units)
        self.gradient = panels.zeros(units)
        self.h_prev = panels.zeros(units)
        self.h = np.zeros((panels.steps + 1, units, panels.batch), np.float32)


class ElmanLayer(GatedLayer):
    """Forward and backward pass over a window, whose activations lie in panels."""

    def workspace(self, panels: Panels, one: Panels) -> ElmanWorkspace:
        """Buffers for windows of up to `panels.steps` steps."""
        return ElmanWorkspace(panels, self.place.output.size)

    def forward(self, y: Any, x: Any, state: LayerState, ws: ElmanWorkspace, window: Window) -> None:
        """At time step t: ``h[t + 1] = tanh(W x_t + b + R h[t])``."""
        panels, steps, used = window.panels, window.steps, window.used
        multiply(ws.sums[:used], self.weight_ih, x[:used], self.arena.biases[self.bias])
        recurrent = self.weight_hh.to_scipy()
        h = ws.h[: steps + 1]
        h[0] = panels.state_to_array(state[0])
        for t in range(steps):
            h[t + 1] = np.tanh(panels.step(ws.sums, t) + recurrent @ h[t])
        panels.place(y, h[1:])
        panels.place(ws.h_prev, h[:-1])
        panels.array_to_state(state[0], h[steps])

    def backward(self, dx: Any, dy: Any, x: Any, ws: ElmanWorkspace, window: Window) -> None:
        """At time step t, from the last to the first, with da the gradient of what is under the tanh:
        ``da = (1 - h^2) (dy_t + R^T da_{t+1})``."""
        panels, steps, used = window.panels, window.steps, window.used
        transposed = self.weight_hh.to_scipy().T.tocsr()
        da = np.zeros((steps, *ws.h.shape[1:]), np.float32)
        dh = np.zeros_like(ws.h[0])
        for t in reversed(range(steps)):
            da[t] = (1 - ws.h[t + 1] ** 2) * (panels.step(dy, t) + dh)
            dh = transposed @ da[t]
        panels.place(ws.gradient, da)
        panels.clear_after(ws.gradient, steps)  # of a longer window before
        gradient = ws.gradient[:used]
        self.arena.bias_grads[self.bias] += gradient.sum(axis=(0, 2))
        add_gradient(self.weight_hh, gradient, ws.h_prev[:used])
        add_gradient(self.weight_ih, gradient, x[:used])
        multiply_transposed(dx[:used], self.weight_ih, gradient)  # last: dx may lie in the memory of dy

    def factors(self, x: Any, ws: ElmanWorkspace, window: Window) -> Factors:
        """Whose products the gradients are, for methods that grow weights by the gradient."""
        gradient, h_prev = ws.gradient[: window.used], ws.h_prev[: window.used]
        return {self.weight_ih.name: (gradient, x[: window.used]), self.weight_hh.name: (gradient, h_prev)}


class ElmanStep(Step):
    """One step in NumPy."""

    def __init__(self, place: Place, matrices: Mapping[str, CSR], vectors: Mapping[str, Array]) -> None:
        super().__init__(place, matrices, vectors)
        name = place.name
        self._product = Product(beside(matrices[f"{name}.weight_ih"], matrices[f"{name}.weight_hh"]))
        self._bias = vectors[f"{name}.bias"][:, None]

    def step(self, x: Array, state: StepState) -> Array:
        """``h = tanh(W x + R h + b)``."""
        h = state[0]
        return np.tanh(self._product(np.concatenate((x, h))) + self._bias, out=h)


def largest_error(model: ts.Model, batch: ts.Batch, step: float = 1e-2) -> float:
    """How far gradients are from differences of the loss, relative to the largest of their array."""
    arena, ws = model.arena, model.workspace(*batch.inputs.shape)

    def loss() -> float:
        arena.touch()
        return model.loss(batch.inputs, batch.targets, ws)

    arena.zero_grad()
    model.loss_and_gradients(batch.inputs, batch.targets, ws)
    worst = 0.0
    for where in arena.layout.values():
        values, gradients = arena.values[where], arena.grads[where].copy()
        differences = np.zeros_like(gradients)
        for place, value in enumerate(values.copy()):
            values[place] = value + step
            differences[place] = loss()
            values[place] = value - step
            differences[place] = (differences[place] - loss()) / (2 * step)
            values[place] = value
        worst = max(worst, float(np.abs(differences - gradients).max() / np.abs(gradients).max()))
    arena.touch()
    return worst


def main() -> None:
    words = ["la", "do", "re", "mi", "fa", "sol"]
    tune = [0, 1, 2, 3, 4, 5, 4, 3, 2, 1, 0, 3, 5, 3]  # what follows a note depends on those before
    ids = np.array(tune * 100)
    chain = ts.Chain(ts.Embedding(len(words), 8), Elman(24), Elman(24), ts.Softmax(len(words)))

    small = ts.Windows(ids[:40], batch_size=3, bptt=5).batch(0, 0)
    print(f"gradients agree with differences of the loss to {largest_error(chain.init(0.4), small):.1e}")

    model = chain.init(density=0.4, seed=1)
    ts.fit(
        model, ts.Windows(ids, batch_size=10, bptt=20), ts.adam(lr=0.01), "st-rnn", epochs=15, progress=print
    )

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.safetensors"
        model.save(file, ts.Vocabulary(tuple(words)))
        assert ts.load(file).chain == chain
        print(*runtime.load_language_model(file).generate("la do re", 14, temperature=0), sep="")


if __name__ == "__main__":
    main()
