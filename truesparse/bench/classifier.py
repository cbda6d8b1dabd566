"""A truly sparse classifier of sequences, put together from the layers of the language model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from truesparse.bench.task import Task
from truesparse.kernels.buffers import aligned_zeros
from truesparse.nn import LSTM, Embedding, LSTMState, LSTMWorkspace, OutputLayer, OutputWorkspace, Panels
from truesparse.nn.initial import draw_arena
from truesparse.sparse import SparseMatrix
from truesparse.topology import initial_counts


class ClassifierWorkspace:
    """Every buffer of a batch of sequences."""

    __slots__ = ("panels", "ids", "targets", "x", "dx", "layers", "states", "output")

    def __init__(self, task: Task) -> None:
        self.panels = panels = Panels(task.bptt, task.batch_size)
        widths = [task.embedding_size] + [task.hidden_size] * task.layers
        self.ids = aligned_zeros((panels.panels, panels.lanes), np.int32)
        self.targets = aligned_zeros((panels.panels, panels.lanes), np.int32)
        self.x = [panels.zeros(width) for width in widths]
        self.dx = [panels.zeros(width) for width in widths]  # that of the top stays 0 but for the last step
        self.layers = [LSTMWorkspace(panels, task.hidden_size) for _ in range(task.layers)]
        self.states = [LSTMState(panels, task.hidden_size) for _ in range(task.layers)]
        self.output = OutputWorkspace(panels, task.classes, 0)


class Classifier:
    """Embedding, LSTM layers, and a linear layer on the last hidden state.

    Parameters
    ----------
    task : Task
    """

    __slots__ = ("task", "arena", "embedding", "layers", "output")

    def __init__(self, task: Task) -> None:
        rng = np.random.default_rng(task.seed)
        counts = initial_counts(task.shapes, task.density, "uniform", "fused")
        self.task = task
        self.arena = draw_arena(task.shapes, task.spec.groups, task.bias_sizes, counts, rng)
        for matrix in self.matrices.values():
            bound = (task.hidden_size * matrix.density) ** -0.5
            matrix.data[...] = rng.uniform(-bound, bound, matrix.nnz)
        self.arena.touch()
        self.embedding = Embedding(self.arena.matrices["embedding.weight"])
        self.layers = [LSTM(self.arena, f"lstm.{layer}") for layer in range(task.layers)]
        self.output = OutputLayer(self.arena, self.arena.matrices["output.weight"], "output.bias")

    @property
    def matrices(self) -> dict[str, SparseMatrix]:
        """The weight matrices by name."""
        return self.arena.matrices

    def workspace(self) -> ClassifierWorkspace:
        """Return the buffers for batches of the task's size."""
        return ClassifierWorkspace(self.task)

    def loss_and_gradients(
        self, ids: NDArray[np.int32], targets: NDArray[np.int32], ws: ClassifierWorkspace
    ) -> float:
        """Return the mean cross-entropy per sequence, in nats, and add the gradients to the arena.

        Parameters
        ----------
        ids : ndarray of int32, shape (bptt, batch_size)
        targets : ndarray of int32, shape (batch_size,)
        ws : ClassifierWorkspace
        """
        panels, steps = ws.panels, self.task.bptt
        panels.place_ids(ws.ids, ids)
        answers = np.full(ids.shape, -1, np.int32)
        answers[-1] = targets
        panels.place_ids(ws.targets, answers)
        self.embedding.forward(ws.x[0], ws.ids)
        for layer, lstm in enumerate(self.layers):
            state = ws.states[layer]
            state.h.fill(0)
            state.c.fill(0)
            lstm.forward(ws.x[layer + 1], ws.x[layer], state, ws.layers[layer], steps)
        last = slice(panels.panels - panels.blocks, None)
        scale = 1 / targets.size
        loss = self.output.loss_and_gradients(
            ws.dx[-1][last], ws.x[-1][last], ws.targets[last], scale, ws.output
        )
        for layer in reversed(range(len(self.layers))):
            self.layers[layer].backward(ws.dx[layer], ws.dx[layer + 1], ws.x[layer], ws.layers[layer], steps)
        self.embedding.backward(ws.dx[0], ws.ids)
        return loss * scale
