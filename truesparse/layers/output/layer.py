"""The heads: probabilities of classes or tokens, and numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.kernels.buffers import aligned_zeros
from truesparse.kernels.dense import softmax_rows
from truesparse.kernels.loss import CHUNKS, softmax_cross_entropy, squared_error
from truesparse.layers.output.head import HeadLayer, HeadWorkspace
from truesparse.sparse.panels import Panels


class SoftmaxWorkspace(HeadWorkspace):
    """See `HeadWorkspace`.

    Attributes
    ----------
    normaliser : ndarray of float32, shape (panels, 2, lanes)
        What it takes to have the gradient of a word's scores again (see `softmax_rows`): those of a window
        never exist as a whole.
    """

    __slots__ = ("work", "normaliser")

    def __init__(self, panels: Panels, outputs: int, weights: int) -> None:
        super().__init__(panels, outputs, weights)
        self.work = aligned_zeros((CHUNKS + 2, panels.lanes))
        self.normaliser = aligned_zeros((panels.panels, 2, panels.lanes))


class SoftmaxLayer(HeadLayer):
    """Probabilities, and as loss the cross-entropy, -log p(target), in nats.

    Targets are int32 of shape (steps, B): numbers of outputs, -1 where there is nothing to say.
    """

    __slots__ = ()

    WORKSPACE = SoftmaxWorkspace

    def targets(self, panels: Panels) -> NDArray[Any]:
        """Room for the targets of a window: int32 of shape (panels, lanes)."""
        return aligned_zeros((panels.panels, panels.lanes), np.int32)

    def place_targets(self, out: NDArray[Any], targets: NDArray[Any], panels: Panels) -> int:
        """See `HeadLayer.place_targets`."""
        panels.place_ids(out, targets)
        return int(np.count_nonzero(targets >= 0))

    def predict_steps(
        self, x: NDArray[np.float32], panels: Panels, steps: int, ws: HeadWorkspace
    ) -> NDArray[np.float32]:
        """What it says at each of the first steps of every sequence, float32 of shape (steps, outputs, B)."""
        out = np.empty((steps, self.outputs, panels.batch), np.float32)
        for part in ws.parts(panels.used(steps)):
            for panel, scores in enumerate(self._scores(x[part], ws), part.start):
                panels.read(out, panel, scores)
        for said in out:
            self._said(said)
        return out

    @staticmethod
    def _said(scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Log-probabilities."""
        with np.errstate(over="ignore", invalid="ignore"):  # whoever uses them looks for NaN
            scores -= scores.max(axis=0)
            scores -= np.log(np.exp(scores).sum(axis=0))
        return scores

    @staticmethod
    def _panel_loss(
        scores: NDArray[np.float32],
        targets: NDArray[Any],
        panel: int,
        scale: float,
        ws: SoftmaxWorkspace,
        gradients: bool,
    ) -> float:
        kernel = softmax_cross_entropy(scores.shape[1])
        loss: float = kernel(scores, targets, ws.weights[panel], np.float32(scale), ws.work, gradients)
        if gradients:
            ws.normaliser[panel] = ws.work[CHUNKS:]
        return loss

    @staticmethod
    def _gradients(
        scores: NDArray[np.float32], first: int, targets: NDArray[Any], ws: SoftmaxWorkspace
    ) -> None:
        kernel = softmax_rows(scores.shape[2])
        kernel(scores, first, targets, ws.weights, ws.normaliser, np.float32(ws.scale))


class SquaredErrorLayer(HeadLayer):
    """Numbers, and as loss half their squared error.

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
        scores: NDArray[np.float32],
        targets: NDArray[Any],
        panel: int,
        scale: float,
        ws: HeadWorkspace,
        gradients: bool,
    ) -> float:
        loss: float = squared_error(scores, targets, ws.weights[panel], np.float32(scale), gradients)
        return loss

    @staticmethod
    def _gradients(scores: NDArray[np.float32], first: int, targets: NDArray[Any], ws: HeadWorkspace) -> None:
        scale = np.float32(ws.scale)
        for outputs, wanted, weights in zip(scores, targets, ws.weights, strict=True):
            squared_error(outputs, wanted[first : first + len(outputs)], weights, scale, True)
