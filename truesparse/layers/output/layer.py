"""Heads: a linear layer fused with its loss, a group of panels at a time."""

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
from truesparse.layers.chain import Place
from truesparse.layers.output.spec import Head
from truesparse.layers.spec import STEPS
from truesparse.sparse import Arena, SparseMatrix
from truesparse.sparse.panels import Panels
from truesparse.sparse.products import add_gradient, multiply, multiply_transposed

_LARGEST_GROUP = 4  # panels


class HeadWorkspace:
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


class HeadLayer:
    """Scores of outputs, and their loss.

    Loss, gradient and the products of the backward pass follow one another on each group of panels, so that
    the scores of a window never exist as a whole and those of a group stay in the cache.

    Parameters
    ----------
    place : Place
    arena : Arena
    matrix : str
        Name of its weights, shape (outputs, features).
    """

    __slots__ = ("arena", "weight", "outputs", "_bias", "_per_step")

    def __init__(self, place: Place, arena: Arena, matrix: str) -> None:
        assert isinstance(place.spec, Head)
        self.arena = arena
        self.outputs = place.spec.outputs
        self.weight: SparseMatrix
        if place.spec.sparse:
            self.weight = arena.matrices[matrix]
        else:
            self.weight = arena.as_matrix(matrix, (self.outputs, place.given.size))
        self._bias = f"{place.name}.bias"
        self._per_step = place.given.kind == STEPS

    def workspace(self, panels: Panels) -> HeadWorkspace:
        """Room for its scores."""
        return HeadWorkspace(panels, self.outputs, self.weight.nnz if self._per_step else 0)

    def targets(self, panels: Panels) -> NDArray[Any]:
        """Room for the targets of a window: int32 of shape (panels, lanes)."""
        return aligned_zeros((panels.panels, panels.lanes), np.int32)

    def place_targets(self, out: NDArray[Any], targets: NDArray[Any], panels: Panels) -> int:
        """Put targets into `out`.

        Parameters
        ----------
        out : ndarray
            Made by `targets`.
        targets : ndarray of int32, shape (steps, B)
            Numbers of outputs, -1 where there is nothing to say.
        panels : Panels

        Returns
        -------
        int
            How many there are.
        """
        panels.place_ids(out, targets)
        return int(np.count_nonzero(targets >= 0))

    def weigh(
        self,
        ws: HeadWorkspace,
        weights: NDArray[np.float64] | None,
        steps: int,
        count: int,
        panels: Panels,
    ) -> None:
        """Set how much each target counts.

        Parameters
        ----------
        ws : HeadWorkspace
        weights : ndarray of float64, shape (B,), or None
            Of each sequence, 0 or more; None if all count the same.
        steps, count : int
            Of the targets.
        panels : Panels
        """
        if weights is None:
            ws.weights.fill(1)
        else:
            relative = (weights / (weights.sum() / count)).astype(np.float32)
            panels.place(ws.weights[:, None], np.repeat(relative[None, None], steps, axis=0))

    def predict(
        self, x: NDArray[np.float32], panels: Panels, step: int, ws: HeadWorkspace
    ) -> NDArray[np.float32]:
        """What it says at a step of every sequence, float32 of shape (outputs, B)."""
        return self._said(self.step_logits(x, step, panels, ws))

    @staticmethod
    def _said(scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """What scores mean: log-probabilities over the first axis, in place."""
        with np.errstate(over="ignore", invalid="ignore"):  # whoever uses them looks for NaN
            scores -= scores.max(axis=0)
            scores -= np.log(np.exp(scores).sum(axis=0))
        return scores

    def logits(self, x: NDArray[np.float32], ws: HeadWorkspace) -> NDArray[np.float32]:
        """Return the logits of a group of panels `x` of shape (p, H, lanes): in `ws.logits`, shape (p, V,
        lanes)."""
        logits = ws.logits[: x.shape[0]]
        multiply(logits, self.weight, x, self.arena.biases[self._bias])
        return logits

    def step_logits(
        self, x: NDArray[np.float32], step: int, panels: Panels, ws: HeadWorkspace
    ) -> NDArray[np.float32]:
        """Return the logits of one step of `x` of shape (panels, H, lanes), shape (V, B)."""
        where, lanes = panels.where(step)
        logits = (self.logits(panel[None], ws)[0, :, lanes].copy() for panel in x[where])
        return panels.join(list(logits))

    def loss(self, x: NDArray[np.float32], targets: NDArray[Any], ws: HeadWorkspace) -> float:
        """Return the sum of -weight log p(target) in nats over the lanes whose target is not -1.

        Parameters
        ----------
        x : ndarray of float32, shape (panels, H, lanes)
        targets : ndarray of int32, shape (panels, lanes)
        ws : HeadWorkspace
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
        ws: HeadWorkspace,
    ) -> float:
        """Return the same sum; add the gradients of `scale` times it to the arena and write that of `x` to
        `dx`.

        Parameters
        ----------
        dx : ndarray of float32, shape (panels, H, lanes)
        x, targets, ws
            As for `loss`.
        scale : float
            1 / tokens for a mean; see `HeadWorkspace.weights`.
        """
        bias_grad = self.arena.bias_grads[self._bias]
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
        ws: HeadWorkspace,
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
        multiply(logits, self.weight, x, self.arena.biases[self._bias], rows.start)
        self._gradients(logits, rows.start, targets, ws)
        product_rows(lanes)(out, logits, first - rows.start, x)

    @staticmethod
    def _panel_loss(
        logits: NDArray[np.float32],
        targets: NDArray[Any],
        panel: int,
        scale: float,
        ws: HeadWorkspace,
        gradients: bool,
    ) -> float:
        """Loss of a panel of logits, and its gradient in their place."""
        kernel = softmax_cross_entropy(logits.shape[1])
        loss: float = kernel(logits, targets, ws.weights[panel], np.float32(scale), ws.work, gradients)
        return loss

    @staticmethod
    def _gradients(logits: NDArray[np.float32], first: int, targets: NDArray[Any], ws: HeadWorkspace) -> None:
        """Put in the place of some classes' logits, (panels, classes, lanes), their gradients."""
        kernel = softmax_rows(logits.shape[2])
        kernel(logits, first, targets, ws.weights, ws.normaliser, np.float32(ws.scale))


class SoftmaxLayer(HeadLayer):
    """Probabilities of classes, and the cross-entropy in nats."""

    __slots__ = ()


class SquaredErrorLayer(HeadLayer):
    """Numbers, and half their squared error.

    Targets are float32 of shape (steps, outputs, B), NaN where there is nothing to say.
    """

    __slots__ = ()

    def targets(self, panels: Panels) -> NDArray[Any]:
        """Room for the targets of a window: float32 of shape (panels, outputs, lanes)."""
        return panels.zeros(self.outputs)

    def place_targets(self, out: NDArray[Any], targets: NDArray[Any], panels: Panels) -> int:
        """See `HeadLayer.place_targets`."""
        out.fill(np.nan)
        panels.place(out, targets)
        return int(np.count_nonzero(~np.isnan(targets[:, 0])))

    @staticmethod
    def _said(scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """The numbers themselves."""
        return scores

    @staticmethod
    def _panel_loss(
        logits: NDArray[np.float32],
        targets: NDArray[Any],
        panel: int,
        scale: float,
        ws: HeadWorkspace,
        gradients: bool,
    ) -> float:
        loss: float = squared_error(logits, targets, ws.weights[panel], np.float32(scale), gradients)
        return loss

    @staticmethod
    def _gradients(logits: NDArray[np.float32], first: int, targets: NDArray[Any], ws: HeadWorkspace) -> None:
        scale = np.float32(ws.scale)
        for outputs, wanted, weights in zip(logits, targets, ws.weights, strict=True):
            squared_error(outputs, wanted[first : first + len(outputs)], weights, scale, True)
