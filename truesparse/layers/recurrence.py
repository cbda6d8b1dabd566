"""What recurrent layers with gates have in common, and how they cut a window into what stays in a cache."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.layers.chain import Place
from truesparse.layers.layer import Layer, Window
from truesparse.sparse import Arena, SparseMatrix
from truesparse.sparse.panels import Panels
from truesparse.sparse.plan import machine_plan

_NONZERO_BYTES = 6
_APART_SHARE = 1 / 2  # of an L2 cache, for W_hh
# Of gates: they stay in an L3 cache beside the rest. Gradients are summed part by part, so this decides bits
# and is the same on every machine.
_PART_BYTES = 4 * 1024 * 1024
_PART_WEIGHTS = 4  # times the bytes of the weights that a part has at least


def runs_apart(weight_hh: SparseMatrix, panels: Panels, shares: int) -> bool:
    """Whether each thread takes whole strips of sequences through all steps: if there are as many for each,
    and W_hh and the state are in its cache all the time."""
    small = _NONZERO_BYTES * weight_hh.nnz <= _APART_SHARE * machine_plan().caches["L2"]
    return small and panels.strips > 1 and panels.strips % shares == 0


def parts_of_window(
    weight_ih: SparseMatrix, gates: NDArray[np.float32], panels: Panels, steps: int
) -> list[tuple[slice, int, int]]:
    """Cut a window: panels, first step and end of each part.

    What one kernel writes of a part's `gates`, (panels, rows of `weight_ih`, lanes), is in cache when the
    next reads it; but the weights go by once a part.
    """
    span_bytes = gates.nbytes // panels.spans
    wanted = max(_PART_BYTES, _PART_WEIGHTS * _NONZERO_BYTES * weight_ih.nnz)
    return panels.parts(steps, max(1, wanted // span_bytes))


class GatedLayer(Layer):
    """A layer whose gates are stacked in matrices for its inputs and for its state, and in a bias."""

    __slots__ = ("weight_ih", "weight_hh", "bias")

    def __init__(self, place: Place, arena: Arena) -> None:
        super().__init__(place, arena)
        self.weight_ih = arena.matrices[f"{place.name}.weight_ih"]
        self.weight_hh = arena.matrices[f"{place.name}.weight_hh"]
        self.bias = f"{place.name}.bias"

    def parts(
        self, gates: NDArray[np.float32], window: Window, dx: Any = None, dy: Any = None
    ) -> list[tuple[slice, int, int]]:
        """The parts in which a window is run; see `parts_of_window`. Backward, `dx` may lie in the memory of
        `dy`, and then gets into the way of earlier steps where it is the smaller."""
        panels, steps = window.panels, window.steps
        if dx is not None and dx.shape[1] < dy.shape[1]:
            return panels.parts(steps, panels.spans)
        return parts_of_window(self.weight_ih, gates, panels, steps)
