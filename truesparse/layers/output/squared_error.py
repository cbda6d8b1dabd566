"""Numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.kernels.loss import squared_error
from truesparse.layers.output.layer import HeadLayer, HeadWorkspace
from truesparse.sparse.panels import Panels


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
