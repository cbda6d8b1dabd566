"""The recurrence of an LSTM layer whose gates share their connections, forward and backward.

Letters and layout: see `truesparse.kernels.lstm`. W_hh is grouped: `indptr, indices` over units `[H, H]` and
`data[connections, 4]`. A load of the state of a unit serves four gates forward. Backward, a unit's gradients
are added to those of the states that it read while they are in registers, which takes no index by columns.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from truesparse.kernels.grouped_rows import clear, group_product, scatter_group, sum_sets
from truesparse.kernels.jit import inline_jit, parallel_jit, prange
from truesparse.kernels.lstm import GATES, gate_gradients, panel_places, state_places
from truesparse.kernels.rows import prefetch_gates, prefetch_row, share_start
from truesparse.simd import (
    at,
    gbroadcast,
    gload_like,
    gstore,
    vfma,
    vlike,
    vload_like,
    vload_row,
    vsigmoid,
    vstore,
    vstore_row,
    vtanh,
)

_AHEAD = 8  # units; see `truesparse.kernels.lstm`
_ZERO = np.float32(0)


@inline_jit
def _forward_step(zero, sets, n, gates, y, h_prev, c, h, indptr, indices, data, t, steps, block, first, last):
    """Units `first` to `last` of step t; `zero` is a group of zeros as wide as a step."""
    units, blocks, size = y.shape[1], h.shape[1], h.shape[2]
    w = size // units
    gate_base, y_base = panel_places(t, n, w, units, blocks, block)
    _, shifted = panel_places(t + 1, n, w, units, blocks, block)
    old, new, c_old, c_new = state_places(t, blocks, block, size)
    for j in range(first, last):
        ahead = min(j + _AHEAD, units - 1)
        prefetch_gates(gates, gate_base + ahead * n, GATES, units * n, w)
        prefetch_row(y, y_base + ahead * n, w)
        if t + 1 < steps:
            prefetch_row(h_prev, shifted + ahead * n, w)

        row = gate_base + j * n
        start, end = np.intp(at(indptr, j)), np.intp(at(indptr, j + 1))
        sums = gload_like(gates, row, units * n, zero)
        sums = group_product(sums, zero, sets, start, end, indices, data, GATES, h, old, units)
        i = vsigmoid(sums[0])
        f = vsigmoid(sums[1])
        g = vtanh(sums[2])
        o = vsigmoid(sums[3])
        gstore(gates, row, units * n, (i, f, g, o))
        cell = vfma(f, vload_row(c, c_old, j, units, i), i * g)
        out = o * vtanh(cell)
        vstore_row(c, c_new, j, units, cell)
        vstore_row(h, new, j, units, out)
        vstore(y, y_base + j * n, out)
        if t == 0:
            vstore(h_prev, y_base + j * n, vload_row(h, old, j, units, i))
        if t + 1 < steps:
            vstore(h_prev, shifted + j * n, out)


@cache
def grouped_lstm_forward(w: int, n: int, apart: bool = False):
    """Return the kernel that runs the recurrence of a window, for `w` lanes a step and `n` lanes a panel.

    It computes and takes what that of `truesparse.kernels.lstm.lstm_forward` does, but ``indptr, indices,
    data`` are the grouped arrays of W_hh.
    """
    sets = sum_sets(w, GATES)

    @parallel_jit
    def grouped_lstm_forward_apart(gates, y, h_prev, c, h, indptr, indices, data, begin, end, steps, shares):
        units = y.shape[1]
        for block in prange(h.shape[1]):
            zero = gbroadcast(_ZERO, GATES, w)
            for t in range(begin, end):
                _forward_step(
                    zero, sets, n, gates, y, h_prev, c, h, indptr, indices, data, t, steps, block, 0, units
                )

    @parallel_jit
    def grouped_lstm_forward_together(
        gates, y, h_prev, c, h, indptr, indices, data, begin, end, steps, shares
    ):
        units = y.shape[1]
        blocks = h.shape[1]
        for t in range(begin, end):
            for task in prange(blocks * shares):
                block = task // shares
                share = task - block * shares
                first = share_start(indptr, units, 1, share, shares)
                last = share_start(indptr, units, 1, share + 1, shares)
                zero = gbroadcast(_ZERO, GATES, w)
                _forward_step(
                    zero, sets, n, gates, y, h_prev, c, h, indptr, indices, data, t, steps, block, first, last
                )

    return grouped_lstm_forward_apart if apart else grouped_lstm_forward_together


@inline_jit
def _backward_step(zero, n, gates, dy, c, dh_sums, dc, indptr, indices, data, t, steps, block, part):
    """The gradient of the units of a share at step t; `part` is the number of the share and that of all."""
    share, shares = part
    units, blocks, size = dy.shape[1], dc.shape[0], dc.shape[1]
    w = size // units
    gate_base, dy_base = panel_places(t, n, w, units, blocks, block)
    _, _, c_old, c_new = state_places(t, blocks, block, size)
    later = ((1 - (t & 1)) * blocks + block) * shares * size
    now = (((t & 1) * blocks + block) * shares + share) * size
    if t > 0:
        clear(dh_sums, now, size)
    first = share_start(indptr, units, 1, share, shares)
    last = share_start(indptr, units, 1, share + 1, shares)
    for j in range(first, last):
        ahead = min(j + _AHEAD, units - 1)
        prefetch_gates(gates, gate_base + ahead * n, GATES, units * n, w)
        prefetch_row(dy, dy_base + ahead * n, w)

        dh = vload_like(dy, dy_base + j * n, zero[0])
        dcell = vlike(_ZERO, dh)
        if t + 1 < steps:
            for other in range(shares):
                dh = dh + vload_row(dh_sums, later + other * size, j, units, dh)
            dcell = vload_row(dc, block * size, j, units, dh)
        row = gate_base + j * n
        i, f, g, o = gload_like(gates, row, units * n, zero)
        tanh_c = vtanh(vload_row(c, c_new, j, units, dh))
        c_prev = vload_row(c, c_old, j, units, dh)
        di, df, dg, do, dcell = gate_gradients(i, f, g, o, c_prev, tanh_c, dh, dcell)
        vstore_row(dc, block * size, j, units, dcell)
        gstore(gates, row, units * n, (di, df, dg, do))
        if t > 0:
            start, end = np.intp(at(indptr, j)), np.intp(at(indptr, j + 1))
            scatter_group(dh_sums, now, units, (di, df, dg, do), start, end, indices, data, GATES)


@cache
def grouped_lstm_backward(w: int, n: int, apart: bool = False):
    """Return the kernel that runs the recurrence of a window backward; see `grouped_lstm_forward`.

    It computes what that of `truesparse.kernels.lstm.lstm_backward` does. The kernel takes
    ``gates`` : float32 `[panels, 4H, n]`, activations, replaced by dgates;
    ``dy`` : float32 `[panels, H, n]`, gradient of h_t from above;
    ``c`` : float32 `[T + 1, blocks, H w]`, as the forward pass left it;
    ``dh_sums`` : float32 with at least ``2 blocks shares H w`` elements, working space: for each share its
    part of the gradient of the state, lane-blocked;
    ``dc`` : float32 `[blocks, H w]` lane-blocked, working space;
    ``indptr, indices, data`` : grouped arrays of W_hh by rows;
    ``begin, end, steps`` : as in `truesparse.kernels.lstm.lstm_backward`;
    ``shares`` : int, the parts that the units are cut into, each summed up by itself: the result depends on
    it, so it must not depend on the number of threads (see `scatter_shares`).
    """

    @parallel_jit
    def grouped_lstm_backward_apart(
        gates, dy, c, dh_sums, dc, indptr, indices, data, begin, end, steps, shares
    ):
        for block in prange(dc.shape[0]):
            zero = gbroadcast(_ZERO, GATES, w)
            for t in range(end - 1, begin - 1, -1):
                for share in range(shares):
                    part = (share, shares)
                    _backward_step(
                        zero, n, gates, dy, c, dh_sums, dc, indptr, indices, data, t, steps, block, part
                    )

    @parallel_jit
    def grouped_lstm_backward_together(
        gates, dy, c, dh_sums, dc, indptr, indices, data, begin, end, steps, shares
    ):
        for t in range(end - 1, begin - 1, -1):
            for task in prange(dc.shape[0] * shares):
                block = task // shares
                part = (task - block * shares, shares)
                zero = gbroadcast(_ZERO, GATES, w)
                _backward_step(
                    zero, n, gates, dy, c, dh_sums, dc, indptr, indices, data, t, steps, block, part
                )

    return grouped_lstm_backward_apart if apart else grouped_lstm_backward_together
