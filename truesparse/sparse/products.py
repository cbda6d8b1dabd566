"""Products of a layer's matrices with panels, each cut into tiles that fit a cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.kernels.buffers import aligned_zeros
from truesparse.kernels.sddmm import sddmm
from truesparse.kernels.spmm import spmm, spmm_transposed
from truesparse.kernels.threads import thread_count
from truesparse.sparse.matrix import SparseMatrix
from truesparse.sparse.plan import Cut, Kind, machine_plan

Make = Callable[[int, int, bool], None]  # see `cut_for`

_FEWEST_LANES = 64  # with fewer, a row's sums begin anew with each tile: its size is part of the result
_NARROW_BYTES = 640 * 1024  # of a tile then
_MOST_PARTS = 8
_IDLE = 0.1  # of the work, while the last of some equal tasks are done
_NO_BIAS = aligned_zeros(0)


def cut_for(
    product: str, weight: SparseMatrix, panels: tuple[int, ...], trial: Make | None = None
) -> tuple[int, int, bool]:
    """Return how a product is cut, by the plan of this machine.

    Parameters
    ----------
    product : {"forward", "transposed", "gradient"}
    weight : SparseMatrix
    panels : tuple of int
        Shape (panels, features, lanes) of what is cut into tiles.
    trial : function, optional
        Makes the product with such a cut, so that the plan can measure. Without, it does not.

    Returns
    -------
    tile : int
        How many rows of a panel are read at a time, at most `features`.
    band : int
        How many rows of the result, or groups, take all tiles before the next ones do.
    bundled : bool
        Whether all panels take a tile before the next one does, or each panel all tiles.
    """
    number, features, lanes = panels
    row_bytes, plan, index = 4 * lanes, machine_plan(), weight.indices.itemsize
    asked = product, panels, thread_count(), plan.tiles, plan.measures, trial is None
    known = weight.cuts.get(asked)
    if known is not None and known[0] is plan:
        return known[1]

    def in_rows(cut: Cut) -> tuple[int, int, bool]:
        tiles = -(-features * row_bytes // max(cut.tile, row_bytes))
        # A tile has a connection of each row in the mean: where tiles begin takes no more than the index.
        tile = -(-features // min(tiles, max(int(weight.density * features), 1)))
        connections = (index + 4 * weight.group) * weight.density * tile
        return tile, plan.band(cut, row_bytes * weight.group, connections), cut.bundled

    if weight.group == 1 and lanes < _FEWEST_LANES and product != "gradient":
        found = in_rows(Cut(_NARROW_BYTES))
        weight.cuts[asked] = plan, found
        return found
    kind = Kind.of(product, weight.group, lanes, weight.shape, weight.density, thread_count(), number)
    tried = False

    def measure(cut: Cut) -> None:
        nonlocal tried
        tried = True
        assert trial is not None
        trial(*in_rows(cut))

    found = in_rows(plan.cut(kind, features * row_bytes, None if trial is None else measure))
    if tried and (product != "transposed" or weight.group > 1):  # that has a single tile's index at a time
        weight.keep_tiles(found[0])
    weight.cuts[asked] = plan, found
    return found


def multiply(
    y: NDArray[np.float32],
    weight: SparseMatrix,
    x: NDArray[np.float32],
    bias: NDArray[np.float32],
    first: int = 0,
) -> None:
    """Write ``y = W x + bias``, or some rows of it.

    Parameters
    ----------
    y : ndarray of float32, shape (panels, rows, lanes)
    weight : SparseMatrix, shape (rows, columns)
    x : ndarray of float32, shape (panels, columns, lanes)
    bias : ndarray of float32, shape (rows,)
    first : int
        The first row, if `y` has fewer than the weight; see `SparseMatrix.whole_groups`.
    """
    lanes, g = x.shape[2], weight.group
    last = first + y.shape[1]
    kernel, threads = spmm(lanes, g), thread_count()
    indptr, biases = weight.indptr[first // g : last // g + 1], bias[first:last]

    def make(tile: int, band: int, bundled: bool) -> None:
        tiles = weight.column_tiles(tile)[first // g : last // g]
        arrays = y, tiles, indptr, weight.indices, weight.data, x, biases
        kernel(*arrays, *weight.row_steps, band, _span(x, bundled), threads)

    whole = y.shape[1] == weight.shape[0]  # what some rows take says nothing of all
    make(*cut_for("forward", weight, x.shape, make if whole else None))


def multiply_transposed(dx: NDArray[np.float32], weight: SparseMatrix, dy: NDArray[np.float32]) -> None:
    """Write the gradient of the input of ``y = W x``, ``dx = W^T dy``.

    Parameters
    ----------
    dx : ndarray of float32, shape (panels, columns, lanes)
    weight : SparseMatrix, shape (rows, columns)
    dy : ndarray of float32, shape (panels, rows, lanes)
    """
    columns, lanes = weight.shape[1], dy.shape[2]
    threads = thread_count()
    if weight.group == 1:
        gather = spmm(lanes)

        def make(tile: int, band: int, bundled: bool) -> None:
            by_column = weight.transposed(tile)
            csr = by_column.indptr, by_column.indices, by_column.data
            cut = band, _span(dy, bundled), threads
            gather(dx, by_column.tiles, *csr, dy, _NO_BIAS, 1, columns, *cut)

        make(*cut_for("transposed", weight, dy.shape, make))
    else:
        scatter, parts = spmm_transposed(lanes, weight.group), _parts_of_panel(dx.shape[0], threads)

        def make(tile: int, band: int, bundled: bool) -> None:
            tile = min(tile, -(-columns // parts))
            index = weight.column_tiles(tile), weight.indices, weight.data
            scatter(dx, *index, dy, *weight.row_steps, tile)

        make(*cut_for("transposed", weight, dx.shape, make))


def add_gradient(weight: SparseMatrix, dy: NDArray[np.float32], x: NDArray[np.float32]) -> None:
    """Add the gradient of ``y = W x`` to that of `weight`.

    Parameters
    ----------
    weight : SparseMatrix, shape (rows, columns)
    dy : ndarray of float32, shape (panels, rows, lanes)
    x : ndarray of float32, shape (panels, columns, lanes)
    """
    kernel, threads = sddmm(x.shape[2], weight.group), thread_count()

    def add(grad: NDArray[np.float32], tile: int, band: int, bundled: bool) -> None:
        index = weight.column_tiles(tile), weight.indptr, weight.indices
        kernel(grad, *index, dy, x, *weight.row_steps, band, _span(x, bundled), threads)

    def trial(*cut: Any) -> None:
        add(aligned_zeros(weight.nnz), *cut)

    add(weight.grad, *cut_for("gradient", weight, x.shape, trial))


def _span(panels: NDArray[np.float32], bundled: bool) -> int:
    """How many panels take a tile before the next one does."""
    return len(panels) if bundled else 1


def _parts_of_panel(panels: int, threads: int) -> int:
    """Into how many tasks each panel is cut, so that threads finish together: few, as each one goes through
    all of a matrix."""
    for parts in range(1, _MOST_PARTS):
        tasks = panels * parts
        if -(-tasks // threads) * threads <= (1 + _IDLE) * tasks:
            return parts
    return _MOST_PARTS
