"""Device functions that several kernels share: the product of one sparse row, and fair shares of the rows of a matrix."""

from __future__ import annotations

import numpy as np

from truesparse.kernels.jit import inline_jit
from truesparse.simd import at, vfma, vlike, vload_like, vload_row

_ZERO = np.float32(0)
_ROW_COST = 8  # what a row costs beside its nonzeros, in nonzeros


@inline_jit
def row_product(total, start, end, indices, data, x, base, stride):
    """`total` plus the sum of data[k] * x[base + indices[k] * stride + lane] over start <= k < end, in the order of k by twos."""
    second = vlike(_ZERO, total)
    k = start
    while k + 1 < end:
        total = vfma(vlike(at(data, k), total), vload_like(x, base + np.intp(at(indices, k)) * stride, total), total)
        second = vfma(vlike(at(data, k + 1), total), vload_like(x, base + np.intp(at(indices, k + 1)) * stride, total), second)
        k += 2
    if k < end:
        total = vfma(vlike(at(data, k), total), vload_like(x, base + np.intp(at(indices, k)) * stride, total), total)
    return total + second


@inline_jit
def row_product_blocked(total, start, end, indices, data, x, base, rows):
    """The same over the rows of a lane-blocked array of `rows` rows; four sums, because few lanes need more of them in flight."""
    second = vlike(_ZERO, total)
    third = vlike(_ZERO, total)
    fourth = vlike(_ZERO, total)
    k = start
    while k + 3 < end:
        total = vfma(vlike(at(data, k), total), vload_row(x, base, np.intp(at(indices, k)), rows, total), total)
        second = vfma(vlike(at(data, k + 1), total), vload_row(x, base, np.intp(at(indices, k + 1)), rows, total), second)
        third = vfma(vlike(at(data, k + 2), total), vload_row(x, base, np.intp(at(indices, k + 2)), rows, total), third)
        fourth = vfma(vlike(at(data, k + 3), total), vload_row(x, base, np.intp(at(indices, k + 3)), rows, total), fourth)
        k += 4
    while k < end:
        total = vfma(vlike(at(data, k), total), vload_row(x, base, np.intp(at(indices, k)), rows, total), total)
        k += 1
    return (total + second) + (third + fourth)


@inline_jit
def share_start(indptr, rows, blocks, part, parts):
    """First row of share `part` of `parts`, so that every share holds about as many nonzeros.

    The matrix is `blocks` stacked matrices of `rows` rows; row j of every block goes to the same share (the four gates of a unit).
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
