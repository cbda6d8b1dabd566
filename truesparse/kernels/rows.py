"""Device functions that several kernels share: products of one sparse row, or of the rows of a group that
share an index, and fair shares of the rows."""

from __future__ import annotations

import numpy as np

from truesparse.kernels.jit import inline_jit
from truesparse.kernels.threads import thread_count
from truesparse.simd import (
    at,
    gadd,
    gdot,
    gfma,
    prefetch,
    split_lanes,
    vbroadcast,
    vfma,
    vlike,
    vload_like,
    vload_row,
    vstore,
    vstore_row,
)

_CHAINS = 8  # sums that keep two multiply-adds a cycle of four cycles each busy
_PARTS = 4
_PIECE = 16  # lanes
_ROW_COST = 8  # what a row costs beside its nonzeros, in nonzeros
_ZERO = np.float32(0)


@inline_jit
def prefetch_row(array, offset, lanes):
    """Ask for the first and the last cache line of `lanes` consecutive elements ahead of their use."""
    prefetch(array, offset)
    prefetch(array, offset + lanes - 1)


@inline_jit
def prefetch_gates(gates, offset, count, step, lanes):
    """Ask for a unit's row in each of `count` gates, `step` elements apart; see `prefetch_row`."""
    for gate in range(count):
        prefetch_row(gates, offset + gate * step, lanes)


@inline_jit
def prefetch_connections(indices, values, k, g):
    """Ask for connection `k` ahead of its use: its index, and its values and the cache line after them."""
    prefetch(indices, k)
    prefetch(values, k * g)
    prefetch(values, k * g + 16)


@inline_jit
def prefetch_rows(panel, offset, step, g, n):
    """Ask for the `g` rows of a group, `n` elements each and `step` elements apart, ahead of their use."""
    for member in range(g):
        for lane in range(0, n, 16):
            prefetch(panel, offset + member * step + lane)


@inline_jit
def _add_nonzero(total, k, indices, data, x, base, stride):
    """`total` + data[k] times row indices[k] of a panel."""
    row = vload_like(x, base + np.intp(at(indices, k)) * stride, total)
    return vfma(vlike(at(data, k), total), row, total)


@inline_jit
def row_product(total, start, end, indices, data, x, base, stride):
    """`total` plus data[k] times row indices[k] of the panel that begins at `base`, over start <= k < end.

    For 64 lanes and more: they are sums enough to keep the multipliers busy, and a second set of them would
    cost a short row a quarter of its time.
    """
    k = start
    while k + 1 < end:
        total = _add_nonzero(total, k, indices, data, x, base, stride)
        total = _add_nonzero(total, k + 1, indices, data, x, base, stride)
        k += 2
    while k < end:  # at most once; an "if" makes LLVM keep both outcomes in registers, at half the speed
        total = _add_nonzero(total, k, indices, data, x, base, stride)
        k += 1
    return total


@inline_jit
def row_product_narrow(total, start, end, indices, data, x, base, stride):
    """The same for fewer lanes, with four sums in flight."""
    second = vlike(_ZERO, total)
    third = vlike(_ZERO, total)
    fourth = vlike(_ZERO, total)
    k = start
    while k + 3 < end:
        total = _add_nonzero(total, k, indices, data, x, base, stride)
        second = _add_nonzero(second, k + 1, indices, data, x, base, stride)
        third = _add_nonzero(third, k + 2, indices, data, x, base, stride)
        fourth = _add_nonzero(fourth, k + 3, indices, data, x, base, stride)
        k += 4
    while k < end:
        total = _add_nonzero(total, k, indices, data, x, base, stride)
        k += 1
    return (total + second) + (third + fourth)


@inline_jit
def _add_nonzero_split(total, k, indices, data, x, base, rows):
    """`total` + data[k] times row indices[k] of a lane-split array."""
    row = vload_row(x, base, np.intp(at(indices, k)), rows, total)
    return vfma(vlike(at(data, k), total), row, total)


@inline_jit
def row_product_split(total, i, indptr, indices, data, x, base, rows):
    """`total` plus the product of row i of a matrix with a lane-split array `x` of `rows` rows; few lanes
    need four sums in flight."""
    second = vlike(_ZERO, total)
    third = vlike(_ZERO, total)
    fourth = vlike(_ZERO, total)
    k = at(indptr, i)
    end = at(indptr, i + 1)
    while k + 3 < end:
        total = _add_nonzero_split(total, k, indices, data, x, base, rows)
        second = _add_nonzero_split(second, k + 1, indices, data, x, base, rows)
        third = _add_nonzero_split(third, k + 2, indices, data, x, base, rows)
        fourth = _add_nonzero_split(fourth, k + 3, indices, data, x, base, rows)
        k += 4
    while k < end:
        total = _add_nonzero_split(total, k, indices, data, x, base, rows)
        k += 1
    return (total + second) + (third + fourth)


def sum_sets(w: int, g: int) -> int:
    """How many sets of the sums of a group of `g` rows and `w` lanes have to be in flight, 1 or 2."""
    registers = sum(-(-width // _PIECE) for width in split_lanes(w))
    return 1 if g * registers >= _CHAINS else 2


@inline_jit
def group_product(total, zero, sets, i, indptr, indices, data, g, x, base, rows):
    """The group `total` plus the product of group i of a matrix with a lane-split array `x` of `rows` rows;
    `zero` is a group of zeros."""
    second = zero
    k = np.intp(at(indptr, i))
    end = np.intp(at(indptr, i + 1))
    if sets == 2:
        while k + 1 < end:
            row = vload_row(x, base, np.intp(at(indices, k)), rows, total[0])
            total = gfma(total, data, k * g, row)
            row = vload_row(x, base, np.intp(at(indices, k + 1)), rows, total[0])
            second = gfma(second, data, (k + 1) * g, row)
            k += 2
    while k < end:
        row = vload_row(x, base, np.intp(at(indices, k)), rows, total[0])
        total = gfma(total, data, k * g, row)
        k += 1
    return gadd(total, second) if sets == 2 else total


@inline_jit
def scatter_group(out, base, rows, group, i, indptr, indices, data, g):
    """Add the product of the transpose of group i of a matrix with `group` to a lane-split array `out` of
    `rows` rows."""
    for k in range(np.intp(at(indptr, i)), np.intp(at(indptr, i + 1))):
        column = np.intp(at(indices, k))
        row = vload_row(out, base, column, rows, group[0])
        vstore_row(out, base, column, rows, gdot(row, data, k * g, group))


@inline_jit
def clear(out, base, size):
    """Set `size` elements of `out` to zero, a multiple of 4."""
    zero = vbroadcast(_ZERO, _PIECE)
    k = base
    while k + _PIECE <= base + size:
        vstore(out, k, zero)
        k += _PIECE
    while k < base + size:
        vstore(out, k, vbroadcast(_ZERO, 4))
        k += 4


def backward_shares(g: int, strips: int) -> int:
    """Into how many shares the backward pass of a recurrence cuts the units.

    Where rows come in groups, each share has a sum of its own. These are added up in their order, so that
    the result depends on how many there are: with one strip of sequences four threads find work, with more
    strips more.

    Parameters
    ----------
    g : int
        Rows of a group.
    strips : int
        Strips of sequences; see `truesparse.sparse.panels.Panels`.

    Returns
    -------
    int
        The number of threads without groups, else a number that does not depend on it.
    """
    return thread_count() if g == 1 else max(1, _PARTS // strips)


@inline_jit
def share_start(indptr, rows, blocks, part, parts):
    """First row of share `part` of `parts`, so that every share holds about as many nonzeros.

    The matrix is `blocks` stacked matrices of `rows` rows; row j of every block goes to the same share (the
    four gates of a unit).
    """
    if part == 0:
        return 0
    if part == parts:
        return rows
    total = np.intp(0)
    for block in range(blocks):
        total += np.intp(at(indptr, (block + 1) * rows)) - np.intp(at(indptr, block * rows))
    wanted = (total + rows * _ROW_COST) * part // parts
    low = 0
    high = rows
    while low < high:
        middle = (low + high) // 2
        before = middle * _ROW_COST
        for block in range(blocks):
            before += np.intp(at(indptr, block * rows + middle)) - np.intp(at(indptr, block * rows))
        if before < wanted:
            low = middle + 1
        else:
            high = middle
    return low


@inline_jit
def share_bounds(indptr, rows, blocks, part, parts):
    """First row of share `part` of `parts`, and of the next one; see `share_start`."""
    first = share_start(indptr, rows, blocks, part, parts)
    return first, share_start(indptr, rows, blocks, part + 1, parts)


@inline_jit
def task_share(indptr, rows, blocks, task, shares):
    """Which strip of sequences and which of `shares` shares of the rows a task has, and the rows' bounds."""
    strip = task // shares
    share = task - strip * shares
    first, last = share_bounds(indptr, rows, blocks, share, shares)
    return strip, share, first, last
