"""The same models with dense weights times masks, in NumPy: what sparse training is usually simulated by.

T time steps, B batch, D inputs, H hidden units, V outputs; arrays are batch-major, `[T, B, features]`, as
BLAS likes them. What NumPy allows is used: every product of a window is one BLAS call, everything large goes
to buffers that exist, and passes over parameters are cut into pieces that stay in the cache.
"""

from __future__ import annotations

import os
from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.bench.ours import build, dense_copy
from truesparse.bench.settings import available_cores
from truesparse.bench.workload import LEARNING_RATE, MAX_NORM, MOMENTUM, Workload

Array = NDArray[np.float32]

_PIECE = 1 << 16  # parameters updated at a time: four arrays of 256 KB


def sigmoid(x: Array) -> None:
    """1 / (1 + exp(-x)) in place, by the hyperbolic tangent, which does not overflow."""
    x *= np.float32(0.5)
    np.tanh(x, out=x)
    x *= np.float32(0.5)
    x += np.float32(0.5)


class NumpyLSTM:
    """Buffers and state of one LSTM layer over a window; gates in the order i, f, g, o."""

    def __init__(self, steps: int, batch: int, units: int) -> None:
        self.gates = np.zeros((steps, batch, 4 * units), np.float32)
        self.h = np.zeros((steps + 1, batch, units), np.float32)
        self.c = np.zeros((steps + 1, batch, units), np.float32)
        self.tanh_c = np.zeros((steps, batch, units), np.float32)
        self.work = np.zeros((batch, 4 * units), np.float32)

    def forward(self, x: Array, weight_ih: Array, weight_hh: Array, bias: Array) -> Array:
        """Return h_t of all steps, shape (T, B, H), from the state in `h[0]` and `c[0]`."""
        steps, batch, _ = x.shape
        units = self.h.shape[2]
        np.matmul(x.reshape(steps * batch, -1), weight_ih.T, out=self.gates.reshape(steps * batch, -1))
        self.gates += bias
        for t in range(steps):
            gates = self.gates[t]
            gates += np.matmul(self.h[t], weight_hh.T, out=self.work)
            sigmoid(gates[:, : 2 * units])
            np.tanh(gates[:, 2 * units : 3 * units], out=gates[:, 2 * units : 3 * units])
            sigmoid(gates[:, 3 * units :])
            i, f, g, o = np.split(gates, 4, axis=1)
            cell = np.multiply(f, self.c[t], out=self.c[t + 1])
            cell += np.multiply(i, g, out=self.work[:, :units])
            np.multiply(o, np.tanh(cell, out=self.tanh_c[t]), out=self.h[t + 1])
        return self.h[1:]

    def backward(self, dy: Array, weight_hh: Array) -> Array:
        """Replace the gates by the gradients of their pre-activations and return them, shape (T * B, 4H)."""
        steps, batch, units = dy.shape
        dh_next = np.zeros((batch, units), np.float32)
        dc = np.zeros((batch, units), np.float32)
        for t in reversed(range(steps)):
            i, f, g, o = np.split(self.gates[t], 4, axis=1)
            tanh_c, c_prev = self.tanh_c[t], self.c[t]
            dh = dy[t] + dh_next
            dc += dh * o * (1 - tanh_c * tanh_c)
            di, df = dc * g * i * (1 - i), dc * c_prev * f * (1 - f)
            dg, do = dc * i * (1 - g * g), dh * tanh_c * o * (1 - o)
            dc *= f
            i[...], f[...], g[...], o[...] = di, df, dg, do
            np.matmul(self.gates[t], weight_hh, out=dh_next)
        return self.gates.reshape(steps * batch, -1)

    def carry(self) -> None:
        """Start the next window from the last state."""
        self.h[0], self.c[0] = self.h[-1], self.c[-1]


class MaskedNumpy:
    """A dense model whose weights are multiplied by masks after every update.

    Parameters
    ----------
    task : Workload
        The model starts with the weights of the sparse model of this task.

    Attributes
    ----------
    values, grads : ndarray of float32
        All parameters, flat.
    parameters, gradients : dict of str to ndarray
        Views of them by name, in the shapes of the matrices.
    """

    def __init__(self, task: Workload) -> None:
        chain = task.chain
        sizes: dict[str, tuple[int, ...]] = {matrix.name: matrix.shape for matrix in chain.matrices}
        sizes |= {vector.name: (vector.size,) for vector in chain.vectors}
        total = sum(int(np.prod(shape)) for shape in sizes.values())
        self.values, self.grads = np.zeros(total, np.float32), np.zeros(total, np.float32)
        self.momentum = np.zeros(total, np.float32)
        self.masks = np.ones(total, np.float32) if task.masked else None
        self.parameters, self.gradients = _views(self.values, sizes), _views(self.grads, sizes)
        sparse = build(task)
        masks = {} if self.masks is None else _views(self.masks, sizes)
        for name, matrix in sparse.matrices.items():
            self.parameters[name][...], mask = dense_copy(matrix)
            if masks:
                masks[name][...] = mask
        self._task = task
        self._layers = [NumpyLSTM(task.bptt, task.batch_size, task.hidden_size) for _ in range(task.layers)]
        self._x = np.zeros((task.bptt, task.batch_size, task.embedding_size), np.float32)
        columns = task.tokens if task.kind == "lm" else task.batch_size
        self._logits = np.zeros((columns, task.outputs), np.float32)
        self._looked_up = np.empty(0, np.int32)

    def loss_and_gradients(self, ids: NDArray[np.int32], targets: NDArray[np.int32]) -> float:
        """Write the gradients of a window and return its mean cross-entropy in nats.

        Parameters
        ----------
        ids : ndarray of int32, shape (T, B)
        targets : ndarray of int32, shape (T, B), or (B,) for a classifier
        """
        p, d = self.parameters, self.gradients
        inputs = [np.take(p["embedding.weight"], ids, axis=0, out=self._x)]
        for number, layer in enumerate(self._layers):
            if self._task.kind != "lm":
                layer.h[0], layer.c[0] = 0, 0
            name = f"lstm.{number}"
            inputs.append(
                layer.forward(inputs[-1], p[f"{name}.weight_ih"], p[f"{name}.weight_hh"], p[f"{name}.bias"])
            )
        top = inputs[-1]
        used = top.reshape(-1, top.shape[2]) if self._task.kind == "lm" else top[-1]
        logits = np.matmul(used, p["output.weight"].T, out=self._logits)
        logits += p["output.bias"]
        loss = _cross_entropy(logits, targets.reshape(-1))
        np.matmul(logits.T, used, out=d["output.weight"])
        np.sum(logits, axis=0, out=d["output.bias"])
        dy = np.zeros(top.shape, np.float32)
        (dy.reshape(used.shape) if self._task.kind == "lm" else dy[-1])[...] = logits @ p["output.weight"]
        for number in reversed(range(len(self._layers))):
            layer, name = self._layers[number], f"lstm.{number}"
            dgates = layer.backward(dy, p[f"{name}.weight_hh"])
            x = inputs[number].reshape(dgates.shape[0], -1)
            np.matmul(dgates.T, x, out=d[f"{name}.weight_ih"])
            np.matmul(dgates.T, layer.h[:-1].reshape(dgates.shape[0], -1), out=d[f"{name}.weight_hh"])
            np.sum(dgates, axis=0, out=d[f"{name}.bias"])
            dy = (dgates @ p[f"{name}.weight_ih"]).reshape(inputs[number].shape)
            layer.carry()
        self._embedding_gradient(ids.reshape(-1), dy.reshape(ids.size, -1))
        return loss

    def _embedding_gradient(self, ids: NDArray[np.int32], dx: Array) -> None:
        """Sum the rows of `dx` by word; only rows that were or are looked up are touched."""
        grad = self.gradients["embedding.weight"]
        grad[self._looked_up] = 0
        order = np.argsort(ids, kind="stable")
        words, starts = np.unique(ids[order], return_index=True)
        grad[words] = np.add.reduceat(dx[order], starts, axis=0)
        self._looked_up = words

    def update(self) -> None:
        """Clip by the norm of all gradients, those under the masks included, and step."""
        norm = float(np.sqrt(np.dot(self.grads, self.grads)))
        scale = np.float32(min(1.0, MAX_NORM / norm)) if norm else np.float32(1)
        for start in range(0, self.values.size, _PIECE):
            piece = slice(start, start + _PIECE)
            grad, momentum, value = self.grads[piece], self.momentum[piece], self.values[piece]
            momentum *= np.float32(MOMENTUM)
            momentum += grad * scale
            value -= np.float32(LEARNING_RATE) * momentum
            if self.masks is not None:
                value *= self.masks[piece]

    def facts(self) -> dict[str, Any]:
        """Return the facts about this side for the report."""
        return blas()


class NumpyTraining:
    """Training steps of the masked model in NumPy."""

    def __init__(self, task: Workload) -> None:
        self.model = MaskedNumpy(task)
        self._windows = cycle(task.windows())
        self.facts = self.model.facts

    def step(self) -> float:
        """Train on the next window and return its mean loss before the update."""
        loss = self.model.loss_and_gradients(*next(self._windows))
        self.model.update()
        return loss


class NumpyPrediction:
    """The next token's log-probabilities, one step at a time, in NumPy."""

    def __init__(self, task: Workload) -> None:
        sparse = build(task)
        self._parameters = {name: dense_copy(matrix)[0] for name, matrix in sparse.matrices.items()}
        self._parameters |= {name: bias.copy() for name, bias in sparse.arena.biases.items()}
        self._layers = [NumpyLSTM(1, task.batch_size, task.hidden_size) for _ in range(task.layers)]
        self._ids = cycle([ids[:1] for ids, _ in task.windows()])

    def step(self) -> Array:
        """Read the next token of every sequence; return log-probabilities of shape (B, V)."""
        p = self._parameters
        x = p["embedding.weight"][next(self._ids)]
        for number, layer in enumerate(self._layers):
            name = f"lstm.{number}"
            x = layer.forward(x, p[f"{name}.weight_ih"], p[f"{name}.weight_hh"], p[f"{name}.bias"])
            layer.carry()
        logits = x[0] @ p["output.weight"].T
        logits += p["output.bias"]
        logits -= logits.max(axis=1, keepdims=True)
        logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return logits

    def facts(self) -> dict[str, Any]:
        """Return the facts about this side for the report."""
        return blas()


def blas() -> dict[str, Any]:
    """Return name and version of the BLAS that NumPy was built with, and its threads, which the process was
    started with."""
    built = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    threads = int(os.environ.get("OPENBLAS_NUM_THREADS", available_cores()))
    return {"threads": threads, "numpy_blas": f"{built['name']} {built['version']}"}


def _views(flat: Array, sizes: dict[str, tuple[int, ...]]) -> dict[str, Array]:
    """Cut a flat array into arrays of these shapes, one after the other."""
    views, start = {}, 0
    for name, shape in sizes.items():
        end = start + int(np.prod(shape))
        views[name] = flat[start:end].reshape(shape)
        start = end
    return views


def _cross_entropy(logits: Array, targets: NDArray[np.int32]) -> float:
    """Return the mean loss and replace the logits, shape (N, V), by its gradient."""
    rows = np.arange(targets.size)
    logits -= logits.max(axis=1, keepdims=True)
    chosen = logits[rows, targets].astype(np.float64)
    np.exp(logits, out=logits)
    sums = logits.sum(axis=1, keepdims=True)
    loss = float((np.log(sums[:, 0].astype(np.float64)) - chosen).mean())
    logits /= sums * np.float32(targets.size)
    logits[rows, targets] -= np.float32(1 / targets.size)
    return loss
