"""A language model: sparse embedding, stacked sparse recurrent layers, sparse output layer."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from truesparse.errors import TruesparseError
from truesparse.kernels.buffers import aligned_zeros
from truesparse.nn.dropout import DropoutRates
from truesparse.nn.embedding import Embedding
from truesparse.nn.output import OutputLayer, OutputWorkspace
from truesparse.nn.panels import Panels
from truesparse.nn.spec import CELLS, LanguageModelSpec
from truesparse.sparse import Arena, SparseMatrix
from truesparse.topology import initial_counts, sample_pattern


class State:
    """The hidden state that is carried from window to window, for a fixed batch size.

    Parameters
    ----------
    spec : LanguageModelSpec
    batch : int
    """

    __slots__ = ("layers", "_names", "_panels")

    def __init__(self, spec: LanguageModelSpec, batch: int) -> None:
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


class Workspace:
    """Every buffer of a window of up to T steps and B sequences.

    Memory, with D inputs of the first layer and P the T x B columns rounded up to panels: ``4 P (D + L H +
    max(D, H))`` bytes, those of the layers, and one panel of logits. Made by `LanguageModel.workspace`.
    """

    __slots__ = ("panels", "ids", "targets", "x", "layers", "dropout", "output", "gradient", "steps")

    def __init__(self, spec: LanguageModelSpec, steps: int, batch: int) -> None:
        self.panels = panels = Panels(steps, batch)
        self.ids = aligned_zeros((panels.panels, panels.lanes), np.int32)
        self.targets = aligned_zeros((panels.panels, panels.lanes), np.int32)
        # x[l] is the input of layer l, x[L] that of the output layer
        self.x = [panels.zeros(spec.embedding_size)] + [
            panels.zeros(spec.hidden_size) for _ in range(spec.layers)
        ]
        cell = CELLS[spec.cell]
        self.layers = [cell.new_workspace(panels, spec.hidden_size, spec.depth) for _ in range(spec.layers)]
        self.dropout = cell.DROPOUT(panels, self.layers)
        self.output = OutputWorkspace(panels, spec.vocab_size)
        # One buffer serves the gradients of all layers in turn: a layer has used up dy when it writes dx.
        self.gradient = aligned_zeros(
            panels.panels * panels.lanes * max(spec.embedding_size, spec.hidden_size)
        )
        self.steps = 0  # of the forward pass whose backward pass is due

    def gradient_of(self, layer: int) -> NDArray[np.float32]:
        """The gradient of `x[layer]`, in the shared buffer."""
        shape = self.x[layer].shape
        return self.gradient[: shape[0] * shape[1] * shape[2]].reshape(shape)


class LanguageModel:
    """Predicts the next token at every step.

    A training step::

        arena.zero_grad()
        loss = model.forward(ids, targets, state, ws, dropout, rng)
        model.backward(ws)

    and then an optimizer on `model.arena`.

    Parameters
    ----------
    spec : LanguageModelSpec
    arena : Arena
        Holds the matrices and biases that `spec` names.
    """

    __slots__ = ("spec", "arena", "embedding", "layers", "output")

    def __init__(self, spec: LanguageModelSpec, arena: Arena) -> None:
        self.spec = spec
        self.arena = arena
        self.embedding = Embedding(arena.matrices["embedding.weight"])
        self.layers = [CELLS[spec.cell](arena, name) for name in spec.layer_names]
        self.output = OutputLayer(arena, "embedding.weight" if spec.tied else "output.weight", "output.bias")

    @property
    def matrices(self) -> dict[str, SparseMatrix]:
        """The weight matrices by name."""
        return self.arena.matrices

    def initialise(
        self,
        rng: np.random.Generator,
        scale: float | None = None,
        gate_bias: Mapping[str, float] | None = None,
    ) -> None:
        """Draw every weight uniformly from ±scale / sqrt(density of its matrix) and set the biases.

        The division keeps the variance of a unit's input as in a dense network.

        Parameters
        ----------
        rng : numpy.random.Generator
        scale : float, optional
            Bound in a dense matrix; 1 / sqrt(hidden size) if left out.
        gate_bias : mapping of str to float, optional
            Biases of gates by their names in `Cell.GATES`; the others have the cell's own, mostly 0.
        """
        if scale is None:
            scale = self.spec.hidden_size**-0.5
        for matrix in self.matrices.values():
            bound = scale / np.sqrt(matrix.density)
            matrix.data[...] = rng.uniform(-bound, bound, matrix.nnz)
        gates = self.spec.gates
        first = {**dict.fromkeys(gates, 0.0), **CELLS[self.spec.cell].FIRST_BIAS, **(gate_bias or {})}
        for name, bias in self.arena.biases.items():
            if name == "output.bias":
                bias.fill(0)
            else:
                bias.reshape(len(gates), -1)[...] = np.array([[first[gate]] for gate in gates])
        self.arena.touch()

    def workspace(self, steps: int, batch: int) -> Workspace:
        """Return the buffers for windows of up to `steps` steps and `batch` sequences."""
        return Workspace(self.spec, steps, batch)

    def zero_state(self, batch: int) -> State:
        """Return a hidden state of zeros for `batch` sequences."""
        return State(self.spec, batch)

    def forward(
        self,
        ids: NDArray[np.int32],
        targets: NDArray[np.int32],
        state: State,
        ws: Workspace,
        dropout: float | DropoutRates = 0.0,
        rng: np.random.Generator | None = None,
    ) -> float:
        """Return the mean cross-entropy per token, in nats, and leave in `ws` what `backward` needs.

        The output layer's share of the backward pass is done here, panel by panel: its gradients are in the
        arena already.

        Parameters
        ----------
        ids, targets : ndarray of int32, shape (steps, B)
            Tokens in [0, V); `targets` are `ids` one step later.
        state : State
            Carried on in place.
        ws : Workspace
        dropout : float or DropoutRates
            What it does depends on the cell; see `truesparse.nn.dropout`.
        rng : numpy.random.Generator, optional
            Draws the masks; needed with dropout.
        """
        ws.dropout.draw(dropout, rng)
        steps = self._run(ids, state, ws)
        ws.panels.place_ids(ws.targets, targets)
        used = ws.panels.used(steps)
        top = len(self.layers)
        scale = 1.0 / targets.size
        dx = ws.gradient_of(top)[:used]
        loss = self.output.loss_and_gradients(dx, ws.x[top][:used], ws.targets, scale, ws.output)
        ws.steps = steps
        return loss * scale

    def backward(self, ws: Workspace) -> None:
        """Add the gradients of every parameter to the arena, for the window of the last `forward`.

        Raises
        ------
        RuntimeError
            If no `forward` came before, or its backward pass is done.
        """
        if not ws.steps:
            raise RuntimeError("backward needs a forward pass before it, with the same workspace")
        steps, ws.steps = ws.steps, 0
        used = ws.panels.used(steps)
        for layer in reversed(range(len(self.layers))):
            dy = ws.gradient_of(layer + 1)
            ws.dropout.apply(dy[:used], layer + 1)
            self.layers[layer].backward(ws.gradient_of(layer), dy, ws.x[layer], ws.layers[layer], steps)
        dx = ws.gradient_of(0)[:used]
        ws.dropout.apply(dx, 0)
        self.embedding.backward(dx, ws.ids[:used])

    def evaluate(
        self, ids: NDArray[np.int32], targets: NDArray[np.int32], state: State, ws: Workspace
    ) -> float:
        """Return the mean cross-entropy per token, in nats, without dropout and gradients; `state` is carried
        on.

        Parameters are those of `forward`.
        """
        ws.dropout.draw(0.0)
        steps = self._run(ids, state, ws)
        ws.panels.place_ids(ws.targets, targets)
        used = ws.panels.used(steps)
        return self.output.loss(ws.x[-1][:used], ws.targets, ws.output) / targets.size

    def predict(self, ids: NDArray[np.int32], state: State, ws: Workspace) -> NDArray[np.float32]:
        """Return the log-probabilities of the token after the last step, shape (V, B); `state` is carried on.

        Parameters
        ----------
        ids : ndarray of int32, shape (steps, B)
        state, ws
            As for `forward`.
        """
        ws.dropout.draw(0.0)
        panels = ws.panels
        steps = self._run(ids, state, ws)
        last = panels.used(steps) - panels.blocks
        place = (steps - 1) % panels.steps_per_panel
        logits = np.concatenate(
            [
                panels.step(self.output.logits(ws.x[-1][panel : panel + 1], ws.output), place)[
                    :, : panels.block_batch
                ]
                for panel in range(last, last + panels.blocks)
            ],
            axis=1,
        )[:, : panels.batch]
        logits -= logits.max(axis=0)
        logits -= np.log(np.exp(logits).sum(axis=0))
        return logits

    def _run(self, ids: NDArray[np.int32], state: State, ws: Workspace) -> int:
        """Run embedding and layers over a window; return its number of steps."""
        steps, batch = ids.shape
        panels = ws.panels
        if steps > panels.steps or batch != panels.batch:
            raise ValueError(
                f"a window of {steps} x {batch} does not fit a workspace for {panels.steps} x {panels.batch}"
            )
        ws.steps = 0
        used = panels.used(steps)
        panels.place_ids(ws.ids, ids)
        ws.dropout.words(ws.ids[:used], self.spec.vocab_size)
        self.embedding.forward(ws.x[0][:used], ws.ids[:used])
        ws.dropout.apply(ws.x[0][:used], 0)
        for number, layer in enumerate(self.layers):
            layer.forward(ws.x[number + 1], ws.x[number], state.layers[number], ws.layers[number], steps)
            ws.dropout.apply(ws.x[number + 1][:used], number + 1)
        return steps


def build_language_model(
    spec: LanguageModelSpec,
    density: float,
    rng: np.random.Generator,
    distribution: str = "uniform",
    gates: str = "fused",
    scale: float | None = None,
    gate_bias: Mapping[str, float] | None = None,
) -> LanguageModel:
    """Return a language model with a random sparse topology and random weights.

    Parameters
    ----------
    spec : LanguageModelSpec
    density : float
        Fraction of the positions of all matrices together that hold a weight, in (0, 1].
    rng : numpy.random.Generator
    distribution : {"uniform", "erdos-renyi"}
        How the weights are shared among the matrices; see `truesparse.topology.initial`.
    gates : {"fused", "separate"}
        Whether the gates of a matrix have one budget or one each.
    scale, gate_bias : optional
        See `LanguageModel.initialise`.

    Raises
    ------
    UsageError
        If the density is out of range or would leave a matrix without a weight.
    """
    counts = initial_counts(spec.shapes, density, distribution, gates)
    patterns = {
        name: (sample_pattern(shape, counts[name], rng), blocks) for name, shape, blocks in spec.shapes
    }
    model = LanguageModel(spec, Arena(patterns, spec.bias_sizes))
    model.initialise(rng, scale, gate_bias)
    return model
