"""Output layers: a linear layer and a loss, a group of panels at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.kernels.buffers import aligned_zeros
from truesparse.kernels.dense import product_rows, softmax_rows
from truesparse.kernels.loss import CHUNKS, softmax_cross_entropy, squared_error
from truesparse.kernels.sddmm import row_sums
from truesparse.kernels.threads import thread_count
from truesparse.sparse import Arena, SparseMatrix
from truesparse.sparse.panels import Panels
from truesparse.sparse.products import add_gradient, multiply, multiply_transposed

_LARGEST_GROUP = 4  # panels


class OutputWorkspace:
    """Logits of a group of panels, shape (group, V, lanes), and what the softmax needs.

    The weights and their gradients go by once a group. It is as large as keeps its logits fewer than twice
    the weights, up to four panels, whose logits stay in an L3 cache.

    Parameters
    ----------
    panels : Panels
    outputs : int
        V.
    weights : int
        Weights of the layer.

    Attributes
    ----------
    normaliser : ndarray of float32, shape (panels, 2, lanes)
        What it takes to have the gradient of a word's logits again (see `softmax_rows`): those of a window
        never exist as a whole.
    weights : ndarray of float32, shape (panels, lanes)
        How much each lane counts in the loss; 1 if nobody writes anything else.
    scale : float
        What the sum of the losses is multiplied by for a mean.
    """

    __slots__ = ("logits", "work", "normaliser", "weights", "scale")

    def __init__(self, panels: Panels, outputs: int, weights: int) -> None:
        largest = min(_LARGEST_GROUP, max(1, 2 * weights // (outputs * panels.lanes)))
        groups = -(-panels.panels // largest)
        self.logits = aligned_zeros((-(-panels.panels // groups), outputs, panels.lanes))
        self.work = aligned_zeros((CHUNKS + 2, panels.lanes))
        self.normaliser = aligned_zeros((panels.panels, 2, panels.lanes))
        self.weights = aligned_zeros((panels.panels, panels.lanes))
        self.weights.fill(1)
        self.scale = 0.0

    def groups(self, panels: int) -> Iterator[slice]:
        """The groups of the first `panels` panels."""
        size = self.logits.shape[0]
        return (slice(first, min(first + size, panels)) for first in range(0, panels, size))


class OutputLayer:
    """Logits of V classes, such as the words of a vocabulary, and their cross-entropy.

    Loss, gradient and the products of the backward pass follow one another on each group of panels, so that
    the logits of a window never exist as a whole and those of a group stay in the cache.

    Parameters
    ----------
    arena : Arena
    weight : SparseMatrix, shape (V, H)
    bias : str
        Name of the vector `[V]`.
    """

    __slots__ = ("arena", "weight", "bias")

    def __init__(self, arena: Arena, weight: SparseMatrix, bias: str) -> None:
        self.arena = arena
        self.weight = weight
        self.bias = bias

    def logits(self, x: NDArray[np.float32], ws: OutputWorkspace) -> NDArray[np.float32]:
        """Return the logits of a group of panels `x` of shape (p, H, lanes): in `ws.logits`, shape (p, V,
        lanes)."""
        logits = ws.logits[: x.shape[0]]
        multiply(logits, self.weight, x, self.arena.biases[self.bias])
        return logits

    def step_logits(
        self, x: NDArray[np.float32], step: int, panels: Panels, ws: OutputWorkspace
    ) -> NDArray[np.float32]:
        """Return the logits of one step of `x` of shape (panels, H, lanes), shape (V, B)."""
        where, lanes = panels.where(step)
        logits = (self.logits(panel[None], ws)[0, :, lanes].copy() for panel in x[where])
        return panels.join(list(logits))

    def loss(self, x: NDArray[np.float32], targets: NDArray[Any], ws: OutputWorkspace) -> float:
        """Return the sum of -weight log p(target) in nats over the lanes whose target is not -1.

        Parameters
        ----------
        x : ndarray of float32, shape (panels, H, lanes)
        targets : ndarray of int32, shape (panels, lanes)
        ws : OutputWorkspace
        """
        loss = 0.0
        for group in ws.groups(x.shape[0]):
            for panel, logits in enumerate(self.logits(x[group], ws), group.start):
                loss += self._panel_loss(logits, targets[panel], panel, 0.0, ws, False)
        return loss

    def loss_and_gradients(
        self,
        dx: NDArray[np.float32],
        x: NDArray[np.float32],
        targets: NDArray[Any],
        scale: float,
        ws: OutputWorkspace,
    ) -> float:
        """Return the same sum; add the gradients of `scale` times it to the arena and write that of `x` to
        `dx`.

        Parameters
        ----------
        dx : ndarray of float32, shape (panels, H, lanes)
        x, targets, ws
            As for `loss`.
        scale : float
            1 / tokens for a mean; see `OutputWorkspace.weights`.
        """
        bias_grad = self.arena.bias_grads[self.bias]
        loss = 0.0
        ws.scale = scale
        for group in ws.groups(x.shape[0]):
            gradient = self.logits(x[group], ws)
            for panel, logits in enumerate(gradient, group.start):
                loss += self._panel_loss(logits, targets[panel], panel, scale, ws, True)
                ws.normaliser[panel] = ws.work[CHUNKS:]
            multiply_transposed(dx[group], self.weight, gradient)
            add_gradient(self.weight, gradient, x[group])
            row_sums(x.shape[2])(bias_grad, gradient, thread_count())
        return loss

    def write_gradient(
        self,
        out: NDArray[np.float32],
        first: int,
        x: NDArray[np.float32],
        targets: NDArray[Any],
        ws: OutputWorkspace,
    ) -> None:
        """Write the gradient at all positions of some rows of the weight, after `loss_and_gradients`.

        Parameters
        ----------
        out : ndarray of float32, shape (some rows, H)
        first : int
            The first of the rows.
        x, targets, ws
            As in `loss_and_gradients`; the weights must not have changed since.

        Notes
        -----
        The logits of the rows are computed again, 4 bytes for each row and lane of the window.
        """
        lanes = x.shape[2]
        rows = self.weight.whole_groups(first, len(out))
        logits = aligned_zeros((x.shape[0], rows.stop - rows.start, lanes))
        multiply(logits, self.weight, x, self.arena.biases[self.bias], rows.start)
        self._gradients(logits, rows.start, targets, ws)
        product_rows(lanes)(out, logits, first - rows.start, x)

    @staticmethod
    def _panel_loss(
        logits: NDArray[np.float32],
        targets: NDArray[Any],
        panel: int,
        scale: float,
        ws: OutputWorkspace,
        gradients: bool,
    ) -> float:
        """Loss of a panel of logits, and its gradient in their place."""
        kernel = softmax_cross_entropy(logits.shape[1])
        loss: float = kernel(logits, targets, ws.weights[panel], np.float32(scale), ws.work, gradients)
        return loss

    @staticmethod
    def _gradients(
        logits: NDArray[np.float32], first: int, targets: NDArray[Any], ws: OutputWorkspace
    ) -> None:
        """Put in the place of some classes' logits, (panels, classes, lanes), their gradients."""
        kernel = softmax_rows(logits.shape[2])
        kernel(logits, first, targets, ws.weights, ws.normaliser, np.float32(ws.scale))


class SquaredErrorLayer(OutputLayer):
    """Numbers, and half their squared error; otherwise as `OutputLayer`.

    Targets are float32 of shape (panels, outputs, lanes), NaN in unused lanes.
    """

    __slots__ = ()

    @staticmethod
    def _panel_loss(
        logits: NDArray[np.float32],
        targets: NDArray[Any],
        panel: int,
        scale: float,
        ws: OutputWorkspace,
        gradients: bool,
    ) -> float:
        loss: float = squared_error(logits, targets, ws.weights[panel], np.float32(scale), gradients)
        return loss

    @staticmethod
    def _gradients(
        logits: NDArray[np.float32], first: int, targets: NDArray[Any], ws: OutputWorkspace
    ) -> None:
        scale = np.float32(ws.scale)
        for outputs, wanted, weights in zip(logits, targets, ws.weights, strict=True):
            squared_error(outputs, wanted[first : first + len(outputs)], weights, scale, True)
