"""The heads: probabilities of classes or tokens, and numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.errors import UsageError
from truesparse.kernels.buffers import aligned_zeros
from truesparse.kernels.dense import softmax_rows
from truesparse.kernels.loss import (
    CHUNKS,
    smooth_gradients,
    smoothing_loss,
    softmax_cross_entropy,
    squared_error,
)
from truesparse.layers.chain import Place
from truesparse.layers.output.head import HeadLayer, HeadWorkspace
from truesparse.layers.output.spec import MaskedSoftmax, Softmax, SquaredError
from truesparse.sparse import Arena
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

    def __init__(self, panels: Panels, outputs: int, weights: int, copies: int = 1) -> None:
        super().__init__(panels, outputs, weights, copies)
        self.work = aligned_zeros((CHUNKS + 2, panels.lanes))
        self.normaliser = aligned_zeros((copies * panels.panels, 2, panels.lanes))


class SoftmaxLayer(HeadLayer):
    """Probabilities, and as loss the cross-entropy, -log p(target), in nats; see `Softmax`.

    Targets are int32 of shape (steps, B): numbers of outputs, -1 where there is nothing to say.
    """

    __slots__ = ("_smoothing", "_temperature")

    WORKSPACE = SoftmaxWorkspace

    def __init__(self, place: Place, arena: Arena, matrix: str) -> None:
        super().__init__(place, arena, matrix)
        assert isinstance(place.spec, Softmax)
        self._smoothing = place.spec.label_smoothing
        self._temperature = np.float32(place.spec.temperature)

    def targets(self, panels: Panels) -> NDArray[Any]:
        """Room for the targets of a window: int32 of shape (panels, lanes)."""
        return aligned_zeros((panels.panels, panels.lanes), np.int32)

    def place_targets(self, out: NDArray[Any], targets: NDArray[Any], panels: Panels) -> int:
        """See `HeadLayer.place_targets`."""
        panels.place_ids(out, targets)
        return int(np.count_nonzero(targets >= 0))

    def _said(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Log-probabilities."""
        self._temper(scores)
        with np.errstate(over="ignore", invalid="ignore"):  # whoever uses them looks for NaN
            scores -= scores.max(axis=0)
            scores -= np.log(np.exp(scores).sum(axis=0))
        return scores

    def _panel_loss(
        self,
        scores: NDArray[np.float32],
        targets: NDArray[Any],
        panel: int,
        scale: float,
        ws: SoftmaxWorkspace,
        gradients: bool,
    ) -> float:
        kernel, weights = softmax_cross_entropy(scores.shape[1]), ws.weights[panel]
        loss = 0.0
        if not gradients:
            self._temper(scores)
        elif self._smoothing:
            loss = smoothing_loss(scores, targets, weights, self._smoothing)
        loss += kernel(scores, targets, weights, np.float32(scale), ws.work, gradients)
        if gradients:
            ws.normaliser[panel] = ws.work[CHUNKS:]
            self._smooth(scores[None], 0, targets[None], weights[None], scale)
        return loss

    def _gradients(
        self, scores: NDArray[np.float32], first: int, targets: NDArray[Any], ws: SoftmaxWorkspace
    ) -> None:
        kernel = softmax_rows(scores.shape[2])
        kernel(scores, first, targets, ws.weights, ws.normaliser, np.float32(ws.scale))
        self._smooth(scores, first, targets, ws.weights, ws.scale)

    def _smooth(
        self,
        gradients: NDArray[np.float32],
        first: int,
        targets: NDArray[Any],
        weights: NDArray[np.float32],
        scale: float,
    ) -> None:
        """Add what label smoothing adds to the gradients of some outputs."""
        if self._smoothing:
            share = np.float32(scale * self._smoothing)
            smooth_gradients(gradients, first, self.outputs, targets, weights, share)

    def _temper(self, scores: NDArray[np.float32]) -> None:
        """Divide scores by the temperature, in place."""
        if self._temperature != 1:
            scores /= self._temperature


class MaskedSoftmaxLayer(SoftmaxLayer):
    """The same; the steps that have a target are put side by side first. See `MaskedSoftmax`."""

    __slots__ = ()

    def weigh(
        self, ws: HeadWorkspace, weights: NDArray[np.float64] | None, steps: int, count: int, panels: Panels
    ) -> None:
        """All count the same; see `HeadLayer.weigh`."""
        if weights is not None:
            raise UsageError(f"the head {MaskedSoftmax.TYPE} takes no weights; leave them out")
        super().weigh(ws, weights, steps, count, panels)

    def loss(self, x: NDArray[np.float32], targets: NDArray[Any], ws: HeadWorkspace) -> float:
        """See `HeadLayer.loss`."""
        return super().loss(*_with_targets(x, targets)[:2], ws)

    def loss_and_gradients(
        self,
        dx: NDArray[np.float32],
        x: NDArray[np.float32],
        targets: NDArray[Any],
        scale: float,
        ws: HeadWorkspace,
    ) -> float:
        """See `HeadLayer.loss_and_gradients`."""
        some, wanted, (panel, lane) = _with_targets(x, targets)
        gradients = aligned_zeros(some.shape)
        loss = super().loss_and_gradients(gradients, some, wanted, scale, ws)
        dx.fill(0)
        dx[panel, :, lane] = gradients.transpose(0, 2, 1).reshape(-1, x.shape[1])[: len(panel)]
        return loss

    def write_gradient(
        self,
        out: NDArray[np.float32],
        first: int,
        x: NDArray[np.float32],
        targets: NDArray[Any],
        ws: HeadWorkspace,
    ) -> None:
        """See `HeadLayer.write_gradient`."""
        super().write_gradient(out, first, *_with_targets(x, targets)[:2], ws)


def _with_targets(
    x: NDArray[np.float32], targets: NDArray[Any]
) -> tuple[NDArray[np.float32], NDArray[Any], tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """The lanes of panels that have a target, in as few panels as hold them; their targets; and which panels
    and lanes they were."""
    panel, lane = np.nonzero(targets[: len(x)] >= 0)
    features, lanes = x.shape[1:]
    panels = -(-len(panel) // lanes)
    some, wanted = aligned_zeros((panels, features, lanes)), np.full((panels, lanes), -1, np.int32)
    rows = np.zeros((panels * lanes, features), np.float32)
    rows[: len(panel)] = x[panel, :, lane]
    some[...] = rows.reshape(panels, lanes, features).transpose(0, 2, 1)
    wanted.reshape(-1)[: len(panel)] = targets[panel, lane]
    return some, wanted, (panel, lane)


class SquaredErrorLayer(HeadLayer):
    """Numbers, and as loss half their squared error, in units of the specification's `scale`.

    Targets are float32 of shape (steps, outputs, B), NaN where there is nothing to say.
    """

    __slots__ = ("_mean", "_scale")

    def __init__(self, place: Place, arena: Arena, matrix: str) -> None:
        super().__init__(place, arena, matrix)
        assert isinstance(place.spec, SquaredError)
        self._mean = np.array(place.spec.mean, np.float32)[:, None]
        self._scale = np.array(place.spec.scale, np.float32)[:, None]

    def targets(self, panels: Panels) -> NDArray[Any]:
        """Room for the targets of a window: float32 of shape (panels, outputs, lanes)."""
        return panels.zeros(self.outputs)

    def place_targets(self, out: NDArray[Any], targets: NDArray[Any], panels: Panels) -> int:
        """See `HeadLayer.place_targets`."""
        out.fill(np.nan)
        panels.place(out, targets)
        if self._mean.size:
            out -= self._mean
            out /= self._scale
        return int(np.count_nonzero(~np.isnan(targets[:, 0])))

    def _said(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """The numbers in their own units."""
        if self._mean.size:
            scores *= self._scale
            scores += self._mean
        return scores

    def _panel_loss(
        self,
        scores: NDArray[np.float32],
        targets: NDArray[Any],
        panel: int,
        scale: float,
        ws: HeadWorkspace,
        gradients: bool,
    ) -> float:
        loss: float = squared_error(scores, targets, ws.weights[panel], np.float32(scale), gradients)
        return loss

    def _gradients(
        self, scores: NDArray[np.float32], first: int, targets: NDArray[Any], ws: HeadWorkspace
    ) -> None:
        scale = np.float32(ws.scale)
        for outputs, wanted, weights in zip(scores, targets, ws.weights, strict=True):
            squared_error(outputs, wanted[first : first + len(outputs)], weights, scale, True)
