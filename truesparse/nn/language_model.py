"""A language model: sparse embedding, stacked sparse LSTM, sparse output layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from truesparse.errors import TruesparseError, UsageError
from truesparse.kernels.buffers import aligned_zeros
from truesparse.nn.dropout import apply_dropout, draw_keys
from truesparse.nn.embedding import Embedding
from truesparse.nn.lstm import LSTM, LSTMState, LSTMWorkspace
from truesparse.nn.output import OutputLayer, OutputWorkspace
from truesparse.nn.panels import Panels
from truesparse.sparse import Arena, SparseMatrix
from truesparse.topology import initial_counts, sample_pattern


class MatrixShape(NamedTuple):
    """Name, shape (rows, columns) and number of stacked row blocks of a weight matrix."""

    name: str
    shape: tuple[int, int]
    blocks: int


@dataclass(frozen=True)
class LanguageModelSpec:
    """The sizes of a language model.

    Parameters
    ----------
    vocab_size, embedding_size, hidden_size, layers : int
    tied : bool
        The output layer uses the embedding's matrix, which asks for `embedding_size == hidden_size`.

    Raises
    ------
    UsageError
        If a size is less than 1, or `tied` with different sizes.
    """

    vocab_size: int
    embedding_size: int
    hidden_size: int
    layers: int
    tied: bool = False

    def __post_init__(self) -> None:
        for name in ("vocab_size", "embedding_size", "hidden_size", "layers"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.tied and self.embedding_size != self.hidden_size:
            raise UsageError(
                f"tied weights need equal sizes, but the embedding has {self.embedding_size} and the hidden"
                f" layer {self.hidden_size}; give both the same size or leave out --tied"
            )

    @property
    def shapes(self) -> list[MatrixShape]:
        """The weight matrices, in the order of the arena."""
        shapes = [MatrixShape("embedding.weight", (self.vocab_size, self.embedding_size), 1)]
        inputs = self.embedding_size
        for layer in range(self.layers):
            shapes.append(MatrixShape(f"lstm.{layer}.weight_ih", (4 * self.hidden_size, inputs), 4))
            shapes.append(MatrixShape(f"lstm.{layer}.weight_hh", (4 * self.hidden_size, self.hidden_size), 4))
            inputs = self.hidden_size
        if not self.tied:
            shapes.append(MatrixShape("output.weight", (self.vocab_size, self.hidden_size), 1))
        return shapes

    @property
    def bias_sizes(self) -> dict[str, int]:
        """Length of each bias by name."""
        sizes = {f"lstm.{layer}.bias": 4 * self.hidden_size for layer in range(self.layers)}
        return sizes | {"output.bias": self.vocab_size}

    @property
    def dense_parameters(self) -> int:
        """Positions of all weight matrices: what a dense model would store, without biases."""
        return sum(rows * columns for _, (rows, columns), _ in self.shapes)


class State:
    """The hidden state that is carried from window to window, for a fixed batch size.

    Parameters
    ----------
    spec : LanguageModelSpec
    batch : int
    """

    __slots__ = ("layers", "_panels")

    def __init__(self, spec: LanguageModelSpec, batch: int) -> None:
        self._panels = Panels(1, batch)
        self.layers = [LSTMState(self._panels, spec.hidden_size) for _ in range(spec.layers)]

    def reset(self) -> None:
        """Set everything to zero, as at the start of an epoch."""
        for layer in self.layers:
            layer.h.fill(0)
            layer.c.fill(0)

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return copies as arrays of shape (H, B), by the names `lstm.<layer>.h` and `lstm.<layer>.c`."""
        arrays = {}
        for number, layer in enumerate(self.layers):
            arrays[f"lstm.{number}.h"] = self._panels.state_to_array(layer.h)
            arrays[f"lstm.{number}.c"] = self._panels.state_to_array(layer.c)
        return arrays

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
        for number, layer in enumerate(self.layers):
            self._panels.array_to_state(layer.h, arrays[f"lstm.{number}.h"])
            self._panels.array_to_state(layer.c, arrays[f"lstm.{number}.c"])


class Workspace:
    """Every buffer of a window of up to T steps and B sequences.

    Memory, with D inputs of the first layer and P the T x B columns rounded up to panels: ``4 P (D + 7 L H +
    max(D, H))`` bytes and one panel of logits. Made by `LanguageModel.workspace`.
    """

    __slots__ = ("panels", "ids", "targets", "x", "layers", "output", "gradient", "steps", "keys", "dropout")

    def __init__(self, spec: LanguageModelSpec, steps: int, batch: int) -> None:
        self.panels = panels = Panels(steps, batch)
        self.ids = aligned_zeros((panels.panels, panels.lanes), np.int32)
        self.targets = aligned_zeros((panels.panels, panels.lanes), np.int32)
        # x[l] is the input of layer l, x[L] that of the output layer
        self.x = [panels.zeros(spec.embedding_size)] + [
            panels.zeros(spec.hidden_size) for _ in range(spec.layers)
        ]
        self.layers = [LSTMWorkspace(panels, spec.hidden_size) for _ in range(spec.layers)]
        self.output = OutputWorkspace(panels, spec.vocab_size)
        # One buffer serves the gradients of all layers in turn: a layer has used up dy when it writes dx.
        self.gradient = aligned_zeros(
            panels.panels * panels.lanes * max(spec.embedding_size, spec.hidden_size)
        )
        self.steps = 0  # of the forward pass whose backward pass is due
        self.keys = np.zeros(spec.layers + 1, np.uint64)
        self.dropout = 0.0

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
        self.layers = [LSTM(arena, f"lstm.{layer}") for layer in range(spec.layers)]
        self.output = OutputLayer(arena, "embedding.weight" if spec.tied else "output.weight", "output.bias")

    @property
    def matrices(self) -> dict[str, SparseMatrix]:
        """The weight matrices by name."""
        return self.arena.matrices

    def initialise(self, rng: np.random.Generator, scale: float | None = None) -> None:
        """Draw every weight uniformly from ±scale / sqrt(density of its matrix) and set the biases to zero.

        The division keeps the variance of a unit's input as in a dense network.

        Parameters
        ----------
        rng : numpy.random.Generator
        scale : float, optional
            Bound in a dense matrix; 1 / sqrt(hidden size) if left out.
        """
        if scale is None:
            scale = self.spec.hidden_size**-0.5
        for matrix in self.matrices.values():
            bound = scale / np.sqrt(matrix.density)
            matrix.data[...] = rng.uniform(-bound, bound, matrix.nnz)
        for bias in self.arena.biases.values():
            bias.fill(0)
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
        dropout: float = 0.0,
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
        dropout : float
            Rate on the non-recurrent connections: after the embedding, between layers, before the output
            layer.
        rng : numpy.random.Generator, optional
            Draws the masks; needed when `dropout` is positive.
        """
        if dropout > 0 and rng is None:
            raise ValueError("dropout needs a random generator")
        ws.dropout = dropout
        if rng is not None and dropout > 0:
            ws.keys[...] = draw_keys(rng, len(self.layers) + 1)
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
            apply_dropout(dy[:used], ws.keys[layer + 1], ws.dropout)
            self.layers[layer].backward(ws.gradient_of(layer), dy, ws.x[layer], ws.layers[layer], steps)
        dx = ws.gradient_of(0)[:used]
        apply_dropout(dx, ws.keys[0], ws.dropout)
        self.embedding.backward(dx, ws.ids[:used])

    def evaluate(
        self, ids: NDArray[np.int32], targets: NDArray[np.int32], state: State, ws: Workspace
    ) -> float:
        """Return the mean cross-entropy per token, in nats, without dropout and gradients; `state` is carried
        on.

        Parameters are those of `forward`.
        """
        ws.dropout = 0.0
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
        ws.dropout = 0.0
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
        self.embedding.forward(ws.x[0][:used], ws.ids[:used])
        apply_dropout(ws.x[0][:used], ws.keys[0], ws.dropout)
        for layer, lstm in enumerate(self.layers):
            lstm.forward(ws.x[layer + 1], ws.x[layer], state.layers[layer], ws.layers[layer], steps)
            apply_dropout(ws.x[layer + 1][:used], ws.keys[layer + 1], ws.dropout)
        return steps


def build_language_model(
    spec: LanguageModelSpec,
    density: float,
    rng: np.random.Generator,
    distribution: str = "uniform",
    gates: str = "fused",
    scale: float | None = None,
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
        Whether the four gates of a matrix have one budget or one each.
    scale : float, optional
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
    model.initialise(rng, scale)
    return model
