"""The recurrence of a recurrent highway layer whose gates share their connections, forward and backward.

Letters and layout: see `truesparse.kernels.rhn`; the grouped R_l and the way back as in
`truesparse.kernels.grouped_lstm`.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from truesparse.kernels.dropout import drop_lanes
from truesparse.kernels.grouped_rows import clear, group_product, scatter_group, sum_sets
from truesparse.kernels.jit import parallel_jit, prange
from truesparse.kernels.rhn import GATES, begin_window, gate_gradients, micro_places
from truesparse.kernels.rows import prefetch_gates, prefetch_row, share_start
from truesparse.simd import (
    at,
    gbroadcast,
    gbroadcast_each,
    gload,
    gstore,
    vbroadcast,
    vfma,
    vload,
    vload_row,
    vsigmoid,
    vstore,
    vstore_row,
    vtanh,
)

_AHEAD = 8  # units; see `truesparse.kernels.lstm`
_ZERO = np.float32(0)
_ONE = np.float32(1)


@cache
def grouped_rhn_forward(w: int, n: int):
    """Return the kernel that runs the recurrence of a window, for `w` lanes a step and `n` lanes a panel.

    It computes and takes what that of `truesparse.kernels.rhn.rhn_forward` does, but ``indptr, indices,
    data`` are the grouped arrays of each R_l.
    """
    sets = sum_sets(w, GATES)

    @parallel_jit
    def grouped_rhn_forward_kernel(
        gates, y, s_prev, state, s, indptr, indices, data, biases, key, rate, steps, shares
    ):
        depth, panels = gates.shape[0], gates.shape[1]
        units = y.shape[1]
        blocks = state.shape[0]
        size = units * w
        scale = _ONE / (_ONE - rate)
        for task in prange(blocks * shares):
            block = task // shares
            share = task - block * shares
            first, end = units * share // shares, units * (share + 1) // shares
            begin_window(vbroadcast(_ZERO, w), n, state, s_prev, s, block, units, first, end, key, rate)
        for micro in range(steps * depth):
            step = micro // depth
            level = micro - step * depth
            first_level = level == 0
            last_level = level == depth - 1
            last = micro == steps * depth - 1
            starts, columns, values, bias = indptr[level], indices[level], data[level], biases[level]
            for task in prange(blocks * shares):
                block = task // shares
                share = task - block * shares
                gate_base, before, after, y_base = micro_places(
                    micro, depth, n, w, panels, units, blocks, block
                )
                old = ((micro & 1) * blocks + block) * size
                new = ((1 - (micro & 1)) * blocks + block) * size
                first = share_start(starts, units, 1, share, shares)
                end = share_start(starts, units, 1, share + 1, shares)
                zero = gbroadcast(_ZERO, GATES, w)
                for j in range(first, end):
                    ahead = min(j + _AHEAD, units - 1)
                    prefetch_gates(gates, gate_base + ahead * n, GATES, units * n, w)
                    prefetch_row(s_prev, before + ahead * n, w)
                    if not last:
                        prefetch_row(s_prev, after + ahead * n, w)
                    if last_level:
                        prefetch_row(y, y_base + ahead * n, w)

                    row = gate_base + j * n
                    if first_level:
                        sums = gload(gates, row, units * n, GATES, w)
                    else:
                        sums = gbroadcast_each(bias, j, units, GATES, w)
                    begin, stop = np.intp(at(starts, j)), np.intp(at(starts, j + 1))
                    sums = group_product(sums, zero, sets, begin, stop, columns, values, GATES, s, old, units)
                    h = vtanh(sums[0])
                    t = vsigmoid(sums[1])
                    gstore(gates, row, units * n, (h, t))

                    kept = vload(s_prev, before + j * n, w)
                    out = vfma(t, h - kept, kept)
                    if last_level:
                        vstore(y, y_base + j * n, out)
                    if last:
                        vstore_row(state, block * size, j, units, out)
                    else:
                        vstore(s_prev, after + j * n, out)
                        if rate > _ZERO:
                            out = drop_lanes(out, key, (block * units + j) * w, rate, scale)
                        vstore_row(s, new, j, units, out)

    return grouped_rhn_forward_kernel


@cache
def grouped_rhn_backward(w: int, n: int):
    """Return the kernel that runs the recurrence of a window backward; see `grouped_rhn_forward`.

    It computes what that of `truesparse.kernels.rhn.rhn_backward` does. The kernel takes
    ``gates, dy, s_prev, carry, key, rate, steps`` : as there;
    ``ds_sums`` : float32 with at least ``2 blocks shares H w`` elements, working space: for each share its
    part of the gradient of the state, lane-blocked;
    ``indptr, indices, data`` : for each depth the grouped arrays of R_l by rows, in tuples;
    ``shares`` : int, the parts that the units are cut into, as in
    `truesparse.kernels.grouped_lstm.grouped_lstm_backward`.
    """

    @parallel_jit
    def grouped_rhn_backward_kernel(
        gates, dy, s_prev, ds_sums, carry, indptr, indices, data, key, rate, steps, shares
    ):
        depth, panels = gates.shape[0], gates.shape[1]
        units = dy.shape[1]
        blocks = carry.shape[0]
        size = units * w
        scale = _ONE / (_ONE - rate)
        for micro in range(steps * depth - 1, -1, -1):
            step = micro // depth
            level = micro - step * depth
            last_level = level == depth - 1
            last = micro == steps * depth - 1
            starts, columns, values = indptr[level], indices[level], data[level]
            for task in prange(blocks * shares):
                block = task // shares
                share = task - block * shares
                gate_base, before, _, dy_base = micro_places(micro, depth, n, w, panels, units, blocks, block)
                later = ((1 - (micro & 1)) * blocks + block) * shares * size
                now = (((micro & 1) * blocks + block) * shares + share) * size
                if micro > 0:
                    clear(ds_sums, now, size)
                first = share_start(starts, units, 1, share, shares)
                end = share_start(starts, units, 1, share + 1, shares)
                for j in range(first, end):
                    ahead = min(j + _AHEAD, units - 1)
                    prefetch_gates(gates, gate_base + ahead * n, GATES, units * n, w)
                    prefetch_row(s_prev, before + ahead * n, w)
                    if last_level:
                        prefetch_row(dy, dy_base + ahead * n, w)

                    ds = vbroadcast(_ZERO, w)
                    if not last:
                        for other in range(shares):
                            ds = ds + vload_row(ds_sums, later + other * size, j, units, ds)
                        if rate > _ZERO:
                            ds = drop_lanes(ds, key, (block * units + j) * w, rate, scale)
                        ds = ds + vload_row(carry, block * size, j, units, ds)
                    if last_level:
                        ds = ds + vload(dy, dy_base + j * n, w)
                    row = gate_base + j * n
                    h, t = gload(gates, row, units * n, GATES, w)
                    dh, dt, kept = gate_gradients(h, t, vload(s_prev, before + j * n, w), ds)
                    vstore_row(carry, block * size, j, units, kept)
                    gstore(gates, row, units * n, (dh, dt))
                    if micro > 0:
                        begin, stop = np.intp(at(starts, j)), np.intp(at(starts, j + 1))
                        scatter_group(ds_sums, now, units, (dh, dt), begin, stop, columns, values, GATES)

    return grouped_rhn_backward_kernel
