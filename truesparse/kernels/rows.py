"""Device functions that several kernels share: products of one sparse row, fair shares of the rows."""

from __future__ import annotations

import numpy as np

from truesparse.kernels.jit import inline_jit
from truesparse.simd import at, prefetch, vfma, vlike, vload_like, vload_row

_ZERO = np.float32(0)
_ROW_COST = 8  # what a row costs beside its nonzeros, in nonzeros


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
def _add_nonzero_blocked(total, k, indices, data, x, base, rows):
    """`total` + data[k] times row indices[k] of a lane-blocked array."""
    row = vload_row(x, base, np.intp(at(indices, k)), rows, total)
    return vfma(vlike(at(data, k), total), row, total)


@inline_jit
def row_product_blocked(total, start, end, indices, data, x, base, rows):
    """The same over a lane-blocked array of `rows` rows; few lanes need four sums in flight."""
    second = vlike(_ZERO, total)
    third = vlike(_ZERO, total)
    fourth = vlike(_ZERO, total)
    k = start
    while k + 3 < end:
        total = _add_nonzero_blocked(total, k, indices, data, x, base, rows)
        second = _add_nonzero_blocked(second, k + 1, indices, data, x, base, rows)
        third = _add_nonzero_blocked(third, k + 2, indices, data, x, base, rows)
        fourth = _add_nonzero_blocked(fourth, k + 3, indices, data, x, base, rows)
        k += 4
    while k < end:
        total = _add_nonzero_blocked(total, k, indices, data, x, base, rows)
        k += 1
    return (total + second) + (third + fourth)


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
