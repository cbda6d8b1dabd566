"""What heads have in common: a linear layer fused with a loss, a part of the panels at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from truesparse.kernels.buffers import aligned_zeros
from truesparse.kernels.dense import product_rows
from truesparse.kernels.sddmm import row_sums
from truesparse.kernels.threads import thread_count
from truesparse.layers.chain import Place
from truesparse.layers.layer import GradientRows
from truesparse.layers.output.spec import Head
from truesparse.layers.spec import STEPS
from truesparse.sparse import Arena, SparseMatrix
from truesparse.sparse.panels import Panels
from truesparse.sparse.products import add_gradient, multiply, multiply_transposed

_LARGEST_PART = 4  # panels


class HeadWorkspace:
    """Scores of a part of the panels, and how much they count.

    The weights and their gradients go by once a part. It is as large as keeps its scores fewer than twice the
    weights, up to four panels, whose scores stay in an L3 cache.

    Parameters
    ----------
    panels : Panels
    outputs : int
        V.
    weights : int
        Weights of the layer.
    copies : int
        How many scores each output has, for each of which there are panels.

    Attributes
    ----------
    scores : ndarray of float32, shape (panels of a part, V, lanes)
    weights : ndarray of float32, shape (panels, lanes)
        How much each lane counts in the loss; 1 if nobody writes anything else.
    scale : float
        What the sum of the losses is multiplied by for a mean.
    """

    __slots__ = ("scores", "weights", "scale")

    def __init__(self, panels: Panels, outputs: int, weights: int, copies: int = 1) -> None:
        count = copies * panels.panels
        largest = min(_LARGEST_PART, max(1, 2 * weights // (outputs * panels.lanes)))
        parts = -(-count // largest)
        self.scores = aligned_zeros((-(-count // parts), outputs, panels.lanes))
        self.weights = aligned_zeros((panels.panels, panels.lanes))
        self.weights.fill(1)
        self.scale = 0.0

    def parts(self, panels: int) -> Iterator[slice]:
        """The parts of the first `panels` panels."""
        size = self.scores.shape[0]
        return (slice(first, min(first + size, panels)) for first in range(0, panels, size))


class HeadLayer(ABC):
    """Scores of outputs; a subclass has the loss.

    Loss, gradient and the products of the backward pass follow one another on each part of the panels, so
    that the scores of a window never exist as a whole and those of a part stay in the cache.

    Parameters
    ----------
    place : Place
    arena : Arena
    matrix : str
        Name of its weights, shape (outputs, features).
    """

    __slots__ = ("arena", "weight", "outputs", "_bias", "_per_step")

    WORKSPACE: ClassVar[type[HeadWorkspace]] = HeadWorkspace

    def __init__(self, place: Place, arena: Arena, matrix: str) -> None:
        assert isinstance(place.spec, Head)
        self.arena = arena
        self.outputs = place.spec.outputs
        self.weight: SparseMatrix
        if place.spec.sparse:
            self.weight = arena.matrices[matrix]
        else:
            self.weight = arena.as_matrix(matrix, (self.outputs, place.spec.width(place.given)))
        self._bias = f"{place.name}.bias"
        self._per_step = place.given.kind == STEPS

    def workspace(self, panels: Panels) -> HeadWorkspace:
        """Room for its scores."""
        return self.WORKSPACE(panels, self.outputs, self.weight.nnz)

    @property
    def rate(self) -> float:
        """Which fraction of its own numbers it drops in training; if above 0, its workspace has a `mask`."""
        return 0.0

    @abstractmethod
    def targets(self, panels: Panels) -> NDArray[Any]:
        """Room for the targets of a window."""

    @abstractmethod
    def place_targets(self, out: NDArray[Any], targets: NDArray[Any], panels: Panels) -> int:
        """Put targets into `out`.

        Parameters
        ----------
        out : ndarray
            Made by `targets`.
        targets : ndarray
            Of a window, (steps, B) or (steps, outputs, B).
        panels : Panels

        Returns
        -------
        int
            How many there are.
        """

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
        weights : ndarray of float64, shape (B,) or (steps, B), or None
            Of each sequence, or of each target and 0 where there is none, 0 or more; None if all count the
            same.
        steps, count : int
            Of the targets.
        panels : Panels
        """
        if weights is None:
            ws.weights.fill(1)
        else:
            relative = (weights / (weights.sum() / count)).astype(np.float32)
            of_steps = np.broadcast_to(relative, (steps, weights.shape[-1]))
            panels.place(ws.weights[:, None], of_steps[:, None])

    def predict(
        self, x: NDArray[np.float32], panels: Panels, step: int, ws: HeadWorkspace
    ) -> NDArray[np.float32]:
        """Its output at a step of every sequence, float32 of shape (outputs, B)."""
        where, lanes = panels.where(step)
        scores = (self._scores(panel[None], ws)[0, :, lanes].copy() for panel in x[where])
        return self._said(panels.join(list(scores)))

    def predict_steps(
        self, x: NDArray[np.float32], panels: Panels, steps: int, ws: HeadWorkspace
    ) -> NDArray[np.float32]:
        """Its outputs at each of the first steps of every sequence, float32 of shape (steps, outputs, B)."""
        out = np.empty((steps, self.outputs, panels.batch), np.float32)
        for part in ws.parts(panels.used(steps)):
            for panel, scores in enumerate(self._scores(x[part], ws), part.start):
                panels.read(out, panel, scores)
        for said in out:
            self._said(said)
        return out

    @abstractmethod
    def _said(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """What scores of shape (outputs, B) mean, in place."""

    def _scores(self, x: NDArray[np.float32], ws: HeadWorkspace) -> NDArray[np.float32]:
        """Return the scores of a part of the panels `x` of shape (p, H, lanes): in `ws.scores`, shape (p, V,
        lanes)."""
        scores = ws.scores[: x.shape[0]]
        multiply(scores, self.weight, x, self.arena.biases[self._bias])
        return scores

    def loss(self, x: NDArray[np.float32], targets: NDArray[Any], ws: HeadWorkspace) -> float:
        """Return the sum of weight times loss over the lanes that have a target.

        Parameters
        ----------
        x : ndarray of float32, shape (panels, H, lanes)
        targets : ndarray
            Made by `targets`.
        ws : HeadWorkspace
        """
        loss = 0.0
        for part in ws.parts(x.shape[0]):
            for panel, scores in enumerate(self._scores(x[part], ws), part.start):
                loss += self._panel_loss(scores, targets[panel], panel, 0.0, ws, False)
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
        for part in ws.parts(x.shape[0]):
            gradient = self._scores(x[part], ws)
            for panel, scores in enumerate(gradient, part.start):
                loss += self._panel_loss(scores, targets[panel], panel, scale, ws, True)
            multiply_transposed(dx[part], self.weight, gradient)
            add_gradient(self.weight, gradient, x[part])
            # Sums of sequences are rounded panel by panel, as they always were.
            for own in (gradient,) if self._per_step else gradient[:, None]:
                row_sums(x.shape[2])(bias_grad, own, thread_count())
        return loss

    def gradient_rows(
        self, x: NDArray[np.float32], targets: NDArray[Any], ws: Any
    ) -> dict[str, GradientRows]:
        """Functions that compute the gradients of its sparse matrices at all positions, after
        `loss_and_gradients`; see `write_gradient`."""
        if self.weight.name not in self.arena.matrices:
            return {}
        return {self.weight.name: partial(self.write_gradient, x=x, targets=targets, ws=ws)}

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
        The scores of the rows are computed again, 4 bytes for each row and lane of the window.
        """
        lanes = x.shape[2]
        rows = self.weight.whole_groups(first, len(out))
        scores = aligned_zeros((x.shape[0], rows.stop - rows.start, lanes))
        multiply(scores, self.weight, x, self.arena.biases[self._bias], rows.start)
        self._gradients(scores, rows.start, targets, ws)
        product_rows(lanes)(out, scores, first - rows.start, x)

    @abstractmethod
    def _panel_loss(
        self,
        scores: NDArray[np.float32],
        targets: NDArray[Any],
        panel: int,
        scale: float,
        ws: Any,
        gradients: bool,
    ) -> float:
        """Loss of a panel of scores, and with `gradients` its gradient, times `scale`, in their place."""

    @abstractmethod
    def _gradients(self, scores: NDArray[np.float32], first: int, targets: NDArray[Any], ws: Any) -> None:
        """Put in the place of the scores of some outputs, from number `first` on, of shape (panels, some
        outputs, lanes), their gradients, as in the `loss_and_gradients` before."""
