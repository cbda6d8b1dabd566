"""Device functions of recurrent kernels with grouped matrices: products of one group, and their fair
shares."""

from __future__ import annotations

import numpy as np

from truesparse.kernels.jit import inline_jit
from truesparse.simd import at, gadd, gdot, gfma, split_lanes, vbroadcast, vload_row, vstore, vstore_row

_CHAINS = 8  # sums that keep two multiply-adds a cycle of four cycles each busy
_REGISTER = 16  # lanes
_SHARES = 4
_PIECE = 16
_ZERO = np.float32(0)


def sum_sets(w: int, g: int) -> int:
    """How many sets of the sums of a group of `g` rows and `w` lanes have to be in flight, 1 or 2."""
    registers = sum(-(-width // _REGISTER) for width in split_lanes(w))
    return 1 if g * registers >= _CHAINS else 2


def scatter_shares(blocks: int) -> int:
    """Shares into which the backward pass of a recurrence cuts the units, each with a sum of its own.

    Their sums are added up in their order, whatever the number of threads, so it must not depend on that:
    with one block of sequences four threads find work, with more blocks more.

    Parameters
    ----------
    blocks : int
        Blocks of sequences.
    """
    return max(1, _SHARES // blocks)


@inline_jit
def group_product(total, zero, sets, start, end, indices, data, g, x, base, rows):
    """The group `total` plus the values of connection k times row indices[k] of a lane-blocked array `x` of
    `rows` rows, over start <= k < end; `zero` is a group of zeros."""
    second = zero
    k = start
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
def scatter_group(out, base, rows, group, start, end, indices, data, g):
    """Add to row indices[k] of a lane-blocked array `out` of `rows` rows the sum of `group`, weighted with
    the values of connection k, for start <= k < end."""
    for k in range(start, end):
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
