"""Output layers: a linear layer and a loss, panel by panel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.kernels.buffers import aligned_zeros
from truesparse.kernels.loss import CHUNKS, softmax_cross_entropy, squared_error
from truesparse.kernels.sddmm import row_sums
from truesparse.kernels.spmm import spmm_forward, spmm_transposed
from truesparse.kernels.threads import thread_count
from truesparse.nn.lstm import add_gradient, tile_rows
from truesparse.nn.panels import Panels
from truesparse.sparse import Arena, SparseMatrix


class OutputWorkspace:
    """One panel of logits, shape (1, V, lanes), and what the softmax needs."""

    __slots__ = ("logits", "work")

    def __init__(self, panels: Panels, outputs: int) -> None:
        self.logits = aligned_zeros((1, outputs, panels.lanes))
        self.work = aligned_zeros((CHUNKS + 1, panels.lanes))


class OutputLayer:
    """Logits of V classes, such as the words of a vocabulary, and their cross-entropy.

    Loss, gradient and the products of the backward pass follow one another on each panel, so that the logits
    of a window never exist as a whole and those of a panel stay in the cache.

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
        """Return the logits of one panel `x` of shape (1, H, lanes): `ws.logits`, shape (1, V, lanes)."""
        weight = self.weight
        bias = self.arena.biases[self.bias]
        spmm_forward(x.shape[2])(ws.logits, weight.indptr, weight.indices, weight.data, x, bias)
        return ws.logits

    def loss(self, x: NDArray[np.float32], targets: NDArray[Any], ws: OutputWorkspace) -> float:
        """Return the sum of -log p(target) in nats over the lanes whose target is not -1.

        Parameters
        ----------
        x : ndarray of float32, shape (panels, H, lanes)
        targets : ndarray of int32, shape (panels, lanes)
        ws : OutputWorkspace
        """
        loss = 0.0
        for panel in range(x.shape[0]):
            self.logits(x[panel : panel + 1], ws)
            loss += self._panel_loss(ws, targets[panel], 0.0, False)
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
            Weight of one token, 1 / tokens for a mean.
        """
        lanes = x.shape[2]
        shares = thread_count()
        weight = self.weight
        columns = weight.transposed(tile_rows(weight.shape[0], lanes))
        bias_grad = self.arena.bias_grads[self.bias]
        loss = 0.0
        for panel in range(x.shape[0]):
            x_panel = x[panel : panel + 1]
            logits = self.logits(x_panel, ws)
            loss += self._panel_loss(ws, targets[panel], scale, True)
            spmm_transposed(lanes)(
                dx[panel : panel + 1], columns.tiles, columns.indices, columns.data, logits, shares
            )
            add_gradient(weight, logits, x_panel)
            row_sums(lanes)(bias_grad, logits, shares)
        return loss

    @staticmethod
    def _panel_loss(ws: OutputWorkspace, targets: NDArray[Any], scale: float, gradients: bool) -> float:
        """Loss of the panel of logits in the workspace, and its gradient in their place."""
        kernel = softmax_cross_entropy(ws.logits.shape[2])
        loss: float = kernel(ws.logits[0], targets, np.float32(scale), ws.work, gradients)
        return loss


class SquaredErrorLayer(OutputLayer):
    """Numbers, and half their squared error; otherwise as `OutputLayer`.

    Targets are float32 of shape (panels, outputs, lanes), NaN in unused lanes.
    """

    __slots__ = ()

    @staticmethod
    def _panel_loss(ws: OutputWorkspace, targets: NDArray[Any], scale: float, gradients: bool) -> float:
        loss: float = squared_error(ws.logits[0], targets, np.float32(scale), gradients)
        return loss
