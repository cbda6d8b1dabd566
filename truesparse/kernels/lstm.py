"""The recurrence of an LSTM layer over a window, forward and backward.

Letters: T time steps, B batch, H hidden units; gates in the order i, f, g, o. A thread takes whole units
(their four rows of W_hh), so that a unit's cell stays in registers from the product to the new state. Either
all threads share the units of a step, one parallel region a step; or, `apart`, each takes whole blocks of
sequences through all steps and never waits for another.

Layout: panels `[panels, features, n]` hold `n / w` consecutive steps of `w` lanes side by side; panel
``group * blocks + block`` holds group number ``group`` of steps of batch block ``block``. The state of one
step is lane-blocked (see `truesparse.simd.vload_row`).
"""

from __future__ import annotations

from functools import cache

import numpy as np

from truesparse.kernels.jit import inline_jit, parallel_jit, prange
from truesparse.kernels.rows import prefetch_gates, prefetch_row, row_product_blocked, share_start
from truesparse.simd import (
    at,
    vbroadcast,
    vfma,
    vlike,
    vload_like,
    vload_row,
    vsigmoid,
    vstore,
    vstore_row,
    vtanh,
)

# Units; a panel's rows lie too far apart for the hardware prefetcher: a quarter of a recurrent step.
_AHEAD = 8
GATES = 4
_ZERO = np.float32(0)
_ONE = np.float32(1)


@inline_jit
def panel_places(t, n, w, units, blocks, block):
    """Where step t of a block begins in panels of all gates, and in panels of one row a unit."""
    steps_per_panel = n // w
    group = t // steps_per_panel
    lane = (t - group * steps_per_panel) * w
    row = (group * blocks + block) * units * n
    return row * GATES + lane, row + lane


@inline_jit
def state_places(t, blocks, block, size):
    """Where the states of a block begin: h before and after step t, c before and after."""
    old = (t & 1) * blocks + block
    new = (1 - (t & 1)) * blocks + block
    c_old = t * blocks + block
    return old * size, new * size, c_old * size, (c_old + blocks) * size


@inline_jit
def gate_gradients(i, f, g, o, c_prev, tanh_c, dh, dcell):
    """The gradients of a unit's pre-activations, in the order of its gates, and of its cell one step before;
    see `lstm_backward`."""
    dcell = vfma(dh * o, _ONE - tanh_c * tanh_c, dcell)
    di = dcell * g * i * (_ONE - i)
    df = dcell * c_prev * f * (_ONE - f)
    dg = dcell * i * (_ONE - g * g)
    do = dh * tanh_c * o * (_ONE - o)
    return di, df, dg, do, dcell * f


@inline_jit
def _forward_step(lanes, n, gates, y, h_prev, c, h, indptr, indices, data, t, steps, block, first, last):
    """Units `first` to `last` of step t; `lanes` is any vector of the lanes of a step."""
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
        a = vload_like(gates, row, lanes)
        a = row_product_blocked(a, at(indptr, j), at(indptr, j + 1), indices, data, h, old, units)
        i = vsigmoid(a)
        vstore(gates, row, i)
        row += units * n
        r = j + units
        a = vload_like(gates, row, lanes)
        a = row_product_blocked(a, at(indptr, r), at(indptr, r + 1), indices, data, h, old, units)
        f = vsigmoid(a)
        vstore(gates, row, f)
        row += units * n
        r += units
        a = vload_like(gates, row, lanes)
        a = row_product_blocked(a, at(indptr, r), at(indptr, r + 1), indices, data, h, old, units)
        g = vtanh(a)
        vstore(gates, row, g)
        row += units * n
        r += units
        a = vload_like(gates, row, lanes)
        a = row_product_blocked(a, at(indptr, r), at(indptr, r + 1), indices, data, h, old, units)
        o = vsigmoid(a)
        vstore(gates, row, o)

        cell = vfma(f, vload_row(c, c_old, j, units, lanes), i * g)
        out = o * vtanh(cell)
        vstore_row(c, c_new, j, units, cell)
        vstore_row(h, new, j, units, out)
        vstore(y, y_base + j * n, out)
        if t == 0:
            vstore(h_prev, y_base + j * n, vload_row(h, old, j, units, lanes))
        if t + 1 < steps:
            vstore(h_prev, shifted + j * n, out)


@cache
def lstm_forward(w: int, n: int, apart: bool = False):
    """Return the kernel that runs the recurrence of a window; `w` lanes a step, `n` lanes a panel.

    For each step t, with ``gates`` holding W_ih x_t + bias on entry::

        i, f, o = sigmoid(gates + W_hh h_prev), g = tanh(gates + W_hh h_prev)
        c = f c_prev + i g,  h = o tanh(c)

    The kernel takes
    ``gates`` : float32 `[panels, 4H, n]`, pre-activations, replaced by the activations i, f, g, o;
    ``y`` : float32 `[panels, H, n]`, receives h_t;
    ``h_prev`` : float32 `[panels, H, n]`, receives h_{t-1} at the place of step t (for the gradient of W_hh);
    ``c`` : float32 `[T + 1, blocks, H w]` lane-blocked, c[0] given, c[t + 1] written;
    ``h`` : float32 `[2, blocks, H w]` lane-blocked, h[0] given; step t reads h[t % 2] and writes the other;
    ``indptr, indices, data`` : CSR arrays of W_hh `[4H, H]`;
    ``begin, end`` : int, the steps to run; ``steps`` : int, those of the window;
    ``shares`` : int, tasks a step (the number of threads), of no use with `apart`.

    References
    ----------
    Zaremba, Sutskever & Vinyals, "Recurrent neural network regularization", 2014, equations 1 to 6.
    """

    @parallel_jit
    def lstm_forward_apart(gates, y, h_prev, c, h, indptr, indices, data, begin, end, steps, shares):
        units = y.shape[1]
        for block in prange(h.shape[1]):
            lanes = vbroadcast(_ZERO, w)
            for t in range(begin, end):
                _forward_step(
                    lanes, n, gates, y, h_prev, c, h, indptr, indices, data, t, steps, block, 0, units
                )

    @parallel_jit
    def lstm_forward_together(gates, y, h_prev, c, h, indptr, indices, data, begin, end, steps, shares):
        units = y.shape[1]
        blocks = h.shape[1]
        for t in range(begin, end):
            for task in prange(blocks * shares):
                block = task // shares
                share = task - block * shares
                first = share_start(indptr, units, 4, share, shares)
                last = share_start(indptr, units, 4, share + 1, shares)
                lanes = vbroadcast(_ZERO, w)
                _forward_step(
                    lanes, n, gates, y, h_prev, c, h, indptr, indices, data, t, steps, block, first, last
                )

    return lstm_forward_apart if apart else lstm_forward_together


@inline_jit
def _backward_step(lanes, n, gates, dy, c, dgates, dc, indptr, indices, data, t, steps, block, first, last):
    """The gradient of units `first` to `last` of step t."""
    units, blocks, size = dy.shape[1], dc.shape[0], dc.shape[1]
    w = size // units
    gate_base, dy_base = panel_places(t, n, w, units, blocks, block)
    _, _, c_old, c_new = state_places(t, blocks, block, size)
    later = ((1 - (t & 1)) * blocks + block) * GATES * size
    now = ((t & 1) * blocks + block) * GATES * size
    for j in range(first, last):
        ahead = min(j + _AHEAD, units - 1)
        prefetch_gates(gates, gate_base + ahead * n, GATES, units * n, w)
        prefetch_row(dy, dy_base + ahead * n, w)

        dh = vload_like(dy, dy_base + j * n, lanes)
        dcell = vlike(_ZERO, lanes)
        if t + 1 < steps:
            dh = row_product_blocked(
                dh, at(indptr, j), at(indptr, j + 1), indices, data, dgates, later, 4 * units
            )
            dcell = vload_row(dc, block * size, j, units, lanes)
        row = gate_base + j * n
        i = vload_like(gates, row, lanes)
        f = vload_like(gates, row + units * n, lanes)
        g = vload_like(gates, row + 2 * units * n, lanes)
        o = vload_like(gates, row + 3 * units * n, lanes)
        tanh_c = vtanh(vload_row(c, c_new, j, units, lanes))
        c_prev = vload_row(c, c_old, j, units, lanes)
        di, df, dg, do, dcell = gate_gradients(i, f, g, o, c_prev, tanh_c, dh, dcell)
        vstore_row(dc, block * size, j, units, dcell)
        vstore(gates, row, di)
        vstore(gates, row + units * n, df)
        vstore(gates, row + 2 * units * n, dg)
        vstore(gates, row + 3 * units * n, do)
        vstore_row(dgates, now, j, 4 * units, di)
        vstore_row(dgates, now, j + units, 4 * units, df)
        vstore_row(dgates, now, j + 2 * units, 4 * units, dg)
        vstore_row(dgates, now, j + 3 * units, 4 * units, do)


@cache
def lstm_backward(w: int, n: int, apart: bool = False):
    """Return the kernel that runs the recurrence of a window backward; see `lstm_forward` for the layout.

    For each step t from the last, with dh = dy_t + W_hh^T dgates_{t+1}::

        dc = dc_next + dh o (1 - tanh(c)^2)
        dgates = dc g i (1 - i),  dc c_prev f (1 - f),  dc i (1 - g^2),  dh tanh(c) o (1 - o)
        dc_prev = dc f

    The kernel takes
    ``gates`` : float32 `[panels, 4H, n]`, activations, replaced by dgates;
    ``dy`` : float32 `[panels, H, n]`, gradient of h_t from above;
    ``c`` : float32 `[T + 1, blocks, H w]`, as `lstm_forward` left it;
    ``dgates`` : float32 `[2, blocks, 4H w]` lane-blocked, working space;
    ``dc`` : float32 `[blocks, H w]` lane-blocked, working space;
    ``indptr, indices, data`` : W_hh column by column (the transposed index);
    ``begin, end`` : int, the steps to run, from ``end - 1`` down to ``begin``, where those from ``end`` on
    have been run before; ``steps`` : int, those of the window; ``shares`` : int, tasks a step.

    tanh(c) is computed again rather than stored: it costs as much as reading it back would.
    """

    @parallel_jit
    def lstm_backward_apart(gates, dy, c, dgates, dc, indptr, indices, data, begin, end, steps, shares):
        units = dy.shape[1]
        for block in prange(dc.shape[0]):
            lanes = vbroadcast(_ZERO, w)
            for t in range(end - 1, begin - 1, -1):
                _backward_step(
                    lanes, n, gates, dy, c, dgates, dc, indptr, indices, data, t, steps, block, 0, units
                )

    @parallel_jit
    def lstm_backward_together(gates, dy, c, dgates, dc, indptr, indices, data, begin, end, steps, shares):
        units = dy.shape[1]
        blocks = dc.shape[0]
        for t in range(end - 1, begin - 1, -1):
            for task in prange(blocks * shares):
                block = task // shares
                share = task - block * shares
                first = share_start(indptr, units, 1, share, shares)
                last = share_start(indptr, units, 1, share + 1, shares)
                lanes = vbroadcast(_ZERO, w)
                _backward_step(
                    lanes, n, gates, dy, c, dgates, dc, indptr, indices, data, t, steps, block, first, last
                )

    return lstm_backward_apart if apart else lstm_backward_together
