"""A language model: sparse embedding, stacked sparse recurrent layers, sparse output layer."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from truesparse.kernels.buffers import aligned_zeros
from truesparse.nn.dropout import DropoutRates
from truesparse.nn.initial import initialise, random_arena
from truesparse.nn.output import OutputLayer, OutputWorkspace
from truesparse.nn.spec import LanguageModelSpec
from truesparse.nn.stack import GradientRows, Stack, StackWorkspace, State
from truesparse.sparse import Arena, SparseMatrix


class Workspace(StackWorkspace):
    """Every buffer of a window of up to T steps and B sequences.

    Beside those of the stack there are the logits of a few panels. Made by `LanguageModel.workspace`.
    """

    __slots__ = ("targets", "output", "steps", "done")

    def __init__(self, spec: LanguageModelSpec, steps: int, batch: int, output_weights: int) -> None:
        super().__init__(spec, steps, batch)
        self.targets = aligned_zeros(self.ids.shape, np.int32)
        self.output = OutputWorkspace(self.panels, spec.vocab_size, output_weights)
        self.steps = 0  # of the forward pass whose backward pass is due
        self.done = 0  # steps of the backward pass whose results the buffers hold


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

    __slots__ = ("spec", "arena", "stack", "output")

    def __init__(self, spec: LanguageModelSpec, arena: Arena) -> None:
        self.spec = spec
        self.arena = arena
        self.stack = Stack(spec, arena)
        self.output = OutputLayer(
            arena, arena.matrices["embedding.weight" if spec.tied else "output.weight"], "output.bias"
        )

    @property
    def matrices(self) -> dict[str, SparseMatrix]:
        """The weight matrices by name."""
        return self.arena.matrices

    def workspace(self, steps: int, batch: int) -> Workspace:
        """Return the buffers for windows of up to `steps` steps and `batch` sequences."""
        return Workspace(self.spec, steps, batch, self.output.weight.nnz)

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

        The output layer's share of the backward pass is done here: its gradients are in the arena already.

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
        scale = 1.0 / targets.size
        dx = ws.gradient_of(self.spec.layers)[:used]
        loss = self.output.loss_and_gradients(dx, ws.x[-1][:used], ws.targets, scale, ws.output)
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
        steps, ws.steps, ws.done = ws.steps, 0, ws.steps
        top = self.spec.layers
        ws.dropout.apply(ws.gradient_of(top)[: ws.panels.used(steps)], top)
        self.stack.backward(ws, steps)

    def dense_gradients(self, ws: Workspace) -> dict[str, GradientRows]:
        """Return functions that compute the gradient at all positions, of the window of the last `backward`.

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
            If no `backward` came before.

        Notes
        -----
        2 floating-point operations for each position and column of the window, and for the output layer its
        forward pass again.
        """
        if not ws.done:
            raise RuntimeError("dense gradients need a backward pass before, with the same workspace")
        x = ws.x[-1][: ws.panels.used(ws.done)]
        output = partial(self.output.write_gradient, x=x, targets=ws.targets, ws=ws.output)
        if self.spec.tied:
            return self.stack.dense_gradients(ws, ws.done, output)
        return self.stack.dense_gradients(ws, ws.done) | {self.output.weight.name: output}

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
        steps = self._run(ids, state, ws)
        logits = self.output.step_logits(ws.x[-1], steps - 1, ws.panels, ws.output)
        logits -= logits.max(axis=0)
        logits -= np.log(np.exp(logits).sum(axis=0))
        return logits

    def _run(self, ids: NDArray[np.int32], state: State, ws: Workspace) -> int:
        """Run the stack over a window, with dropout of what it gives; return its number of steps."""
        ws.steps = ws.done = 0
        steps = self.stack.forward(ids, state, ws)
        ws.dropout.apply(ws.x[-1][: ws.panels.used(steps)], self.spec.layers)
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
        See `truesparse.nn.initial.initialise`.

    Raises
    ------
    UsageError
        If the density is out of range or would leave a matrix without a weight.
    """
    model = LanguageModel(spec, random_arena(spec, density, rng, distribution, gates))
    initialise(model.arena, spec, rng, scale, gate_bias)
    return model
