"""A model of whole sequences, such as a text classifier: layers, pooling over steps, output layer."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.kernels import pooling
from truesparse.kernels.buffers import aligned_zeros
from truesparse.nn.dropout import DropoutRates
from truesparse.nn.initial import initialise, random_arena
from truesparse.nn.output import OutputLayer, OutputWorkspace, SquaredErrorLayer
from truesparse.nn.panels import Panels
from truesparse.nn.spec import SequenceSpec
from truesparse.nn.stack import GradientRows, Stack, StackWorkspace, State
from truesparse.sparse import Arena, SparseMatrix


class SequenceWorkspace(StackWorkspace):
    """Every buffer of a batch of up to B sequences of up to T steps.

    Made by `SequenceModel.workspace`.
    """

    __slots__ = ("state", "one", "lengths", "targets", "pooled", "best", "dpooled", "output", "steps", "done")

    def __init__(self, spec: SequenceSpec, steps: int, batch: int) -> None:
        super().__init__(spec, steps, batch)
        self.state = State(spec, batch)
        self.one = Panels(1, batch)  # of what the output layer sees: one step
        shape = (self.one.panels, self.one.lanes)
        self.lengths = aligned_zeros(shape)
        if spec.kind == "classifier":
            self.targets = aligned_zeros(shape, np.int32)
        else:
            self.targets = aligned_zeros((shape[0], spec.outputs, shape[1]))
        self.pooled = self.one.zeros(spec.hidden_size)
        self.best = self.one.zeros(spec.hidden_size if spec.pooling == "max" else 1)
        self.dpooled = self.one.zeros(spec.hidden_size)
        self.output = OutputWorkspace(self.one, spec.outputs, 0)
        self.steps = 0  # of the forward pass whose backward pass is due
        self.done = 0  # steps of the backward pass whose results the buffers hold


class SequenceModel:
    """Maps a sequence to the probabilities of classes, or to numbers.

    Sequences of different lengths share a batch: each begins at step 0, and steps beyond its length have no
    influence on anything. The state is zero before the first step.

    A training step::

        arena.zero_grad()
        loss = model.forward(inputs, lengths, targets, ws, dropout, rng)
        model.backward(ws)

    and then an optimizer on `model.arena`.

    Parameters
    ----------
    spec : SequenceSpec
    arena : Arena
        Holds the matrices, biases and dense weights that `spec` names.
    """

    __slots__ = ("spec", "arena", "stack", "output")

    def __init__(self, spec: SequenceSpec, arena: Arena) -> None:
        self.spec = spec
        self.arena = arena
        self.stack = Stack(spec, arena)
        if spec.sparse_output:
            weight = arena.matrices["output.weight"]
        else:
            weight = arena.as_matrix("output.weight", (spec.outputs, spec.hidden_size))
        layer = OutputLayer if spec.kind == "classifier" else SquaredErrorLayer
        self.output = layer(arena, weight, "output.bias")

    def __reduce__(self) -> tuple[Any, ...]:
        """For copies and pickles."""
        return SequenceModel, (self.spec, self.arena)

    @property
    def matrices(self) -> dict[str, SparseMatrix]:
        """The sparse weight matrices by name."""
        return self.arena.matrices

    def workspace(self, steps: int, batch: int) -> SequenceWorkspace:
        """Return the buffers for batches of `batch` sequences of up to `steps` steps."""
        return SequenceWorkspace(self.spec, steps, batch)

    def forward(
        self,
        inputs: NDArray[Any],
        lengths: NDArray[np.int32],
        targets: NDArray[Any],
        ws: SequenceWorkspace,
        dropout: float | DropoutRates = 0.0,
        rng: np.random.Generator | None = None,
        weights: NDArray[np.float64] | None = None,
    ) -> float:
        """Return the mean loss per sequence and leave in `ws` what `backward` needs.

        The loss is the cross-entropy in nats, or half the squared error. The output layer's share of the
        backward pass is done here.

        Parameters
        ----------
        inputs : ndarray of int32, shape (steps, B), or of float32, shape (steps, D, B)
            Tokens in [0, V), -1 beyond a sequence's length; or, in a model without embedding, features, which
            are finite beyond it too.
        lengths : ndarray of int32, shape (B,)
            Steps of each sequence, at most `steps`; 0 in places that hold none.
        targets : ndarray of int32, shape (B,), or of float32, shape (outputs, B)
            Classes, -1 in places that hold no sequence; or numbers, NaN there.
        ws : SequenceWorkspace
        dropout : float or DropoutRates
            What it does depends on the cell; see `truesparse.nn.dropout`. What the output layer sees is
            dropped after pooling.
        rng : numpy.random.Generator, optional
            Draws the masks; needed with dropout.
        weights : ndarray of float64, shape (B,), optional
            How much each sequence counts in the mean, ``sum(weight * loss) / sum(weight)``: 0 or more, 0 in
            places that hold none. Without, all count the same.
        """
        ws.dropout.draw(dropout, rng)
        steps = self._run(inputs, lengths, ws)
        ws.dropout.apply_pooled(ws.pooled)
        if self.spec.kind == "classifier":
            ws.one.place_ids(ws.targets, targets[None])
        else:
            ws.targets.fill(np.nan)
            ws.one.place(ws.targets, targets[None])
        number = np.count_nonzero(lengths)
        scale = 1.0 / number
        if weights is None:
            ws.output.weights.fill(1)
        else:
            relative = (weights / (weights.sum() / number)).astype(np.float32)
            ws.one.place(ws.output.weights[:, None], relative[None, None])
        loss = self.output.loss_and_gradients(ws.dpooled, ws.pooled, ws.targets, scale, ws.output)
        ws.steps = steps
        return loss * scale

    def backward(self, ws: SequenceWorkspace) -> None:
        """Add the gradients of every parameter to the arena, for the batch of the last `forward`.

        Raises
        ------
        RuntimeError
            If no `forward` came before, or its backward pass is done.
        """
        if not ws.steps:
            raise RuntimeError("backward needs a forward pass before it, with the same workspace")
        steps, ws.steps, ws.done = ws.steps, 0, ws.steps
        ws.dropout.apply_pooled(ws.dpooled)
        dy = ws.gradient_of(self.spec.layers)
        lanes = ws.panels.step_lanes, ws.panels.lanes
        if self.spec.pooling == "max":
            pooling.max_backward(*lanes)(dy, ws.dpooled, ws.best, ws.lengths, steps)
        elif self.spec.pooling == "mean":
            pooling.mean_backward(*lanes)(dy, ws.dpooled, ws.lengths, steps)
        else:
            pooling.last_backward(*lanes)(dy, ws.dpooled, ws.lengths, steps)
        self.stack.backward(ws, steps)

    def dense_gradients(self, ws: SequenceWorkspace) -> dict[str, GradientRows]:
        """Return functions that compute the gradient at all positions of the sparse matrices; see
        `truesparse.nn.language_model.LanguageModel.dense_gradients`."""
        if not ws.done:
            raise RuntimeError("dense gradients need a backward pass before, with the same workspace")
        functions = self.stack.dense_gradients(ws, ws.done)
        if self.spec.sparse_output:
            functions["output.weight"] = partial(
                self.output.write_gradient, x=ws.pooled, targets=ws.targets, ws=ws.output
            )
        return functions

    def predict(
        self, inputs: NDArray[Any], lengths: NDArray[np.int32], ws: SequenceWorkspace
    ) -> NDArray[np.float32]:
        """Return what the model says of each sequence: log-probabilities of the classes, or numbers.

        Parameters
        ----------
        inputs, lengths, ws
            As for `forward`.

        Returns
        -------
        ndarray of float32, shape (outputs, B)
        """
        ws.dropout.draw(0.0)
        self._run(inputs, lengths, ws)
        blocks = [
            self.output.logits(ws.pooled[block : block + 1], ws.output)[0, :, : ws.one.block_batch].copy()
            for block in range(ws.one.blocks)
        ]
        outputs = np.concatenate(blocks, axis=1)[:, : ws.one.batch]
        if self.spec.kind == "classifier":
            with np.errstate(over="ignore", invalid="ignore"):  # whoever uses them looks for NaN
                outputs -= outputs.max(axis=0)
                outputs -= np.log(np.exp(outputs).sum(axis=0))
        return outputs

    def _run(self, inputs: NDArray[Any], lengths: NDArray[np.int32], ws: SequenceWorkspace) -> int:
        """Run the stack from a state of zeros and pool; return the number of steps."""
        ws.steps = ws.done = 0
        ws.state.reset()
        steps = self.stack.forward(inputs, ws.state, ws)
        ws.one.place(ws.lengths[:, None], lengths[None, None].astype(np.float32))
        lanes, y = (ws.panels.step_lanes, ws.panels.lanes), ws.x[-1]
        if self.spec.pooling == "max":
            pooling.max_forward(*lanes)(ws.pooled, ws.best, y, ws.lengths, steps)
        elif self.spec.pooling == "mean":
            pooling.mean_forward(*lanes)(ws.pooled, y, ws.lengths, steps)
        else:
            pooling.last_forward(*lanes)(ws.pooled, y, ws.lengths, steps)
        return steps


def build_sequence_model(
    spec: SequenceSpec,
    density: float,
    rng: np.random.Generator,
    distribution: str = "uniform",
    gates: str = "fused",
    scale: float | None = None,
    gate_bias: Mapping[str, float] | None = None,
) -> SequenceModel:
    """Return a model of sequences with a random sparse topology and random weights.

    Parameters
    ----------
    spec : SequenceSpec
    density, rng, distribution, gates, scale, gate_bias
        As in `truesparse.nn.language_model.build_language_model`.

    Raises
    ------
    UsageError
        If the density is out of range or would leave a matrix without a weight.
    """
    model = SequenceModel(spec, random_arena(spec, density, rng, distribution, gates))
    initialise(model.arena, spec, rng, scale, gate_bias)
    return model
