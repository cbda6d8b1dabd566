"""The recurrence of an LSTM layer over a window, forward and backward.

Letters: T time steps, B batch, H hidden units; gates in the order i, f, g, o. A thread takes whole units
(their four rows of W_hh), so that a unit's cell stays in registers from the product to the new state. Either
all threads share the units of a step, one parallel region a step; or, `apart`, each takes whole strips of
sequences through all steps and never waits for another.

The gates of a unit may share their connections, `g` = 4 rows of W_hh then being a group (see
`truesparse.kernels.spmm`): a load of the state of a unit serves four gates forward. Backward, a unit's
gradients are added to those of the states that it read while they are in registers, which takes no index by
columns. Layout: see `truesparse.kernels.layout`.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from truesparse.kernels.jit import inline_jit, parallel_jit, prange
from truesparse.kernels.layout import state_places, step_place
from truesparse.kernels.rows import (
    clear,
    group_product,
    prefetch_gates,
    prefetch_row,
    row_product_split,
    scatter_group,
    share_bounds,
    sum_sets,
    task_share,
)
from truesparse.simd import (
    gbroadcast,
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

# Units; a panel's rows lie too far apart for the hardware prefetcher: a quarter of a recurrent step.
_AHEAD = 8
GATES = 4
_ZERO = np.float32(0)
_ONE = np.float32(1)


@cache
def lstm_forward(w: int, n: int, g: int = 1):
    """Return the kernel that runs the recurrence of a window; `w` lanes a step, `n` lanes a panel, groups of
    `g` rows, 1 or 4.

    For each step t, with ``gates`` holding W_ih x_t + bias on entry::

        i, f, o = sigmoid(gates + W_hh h_prev), g = tanh(gates + W_hh h_prev)
        c = f c_prev + i g,  h = o tanh(c)

    The kernel takes
    ``gates`` : float32 `[panels, 4H, n]`, pre-activations, replaced by the activations i, f, g, o;
    ``y`` : float32 `[panels, H, n]`, receives h_t;
    ``h_prev`` : float32 `[panels, H, n]`, receives h_{t-1} at the place of step t (for the gradient of W_hh);
    ``c`` : float32 `[T + 1, strips, H w]` lane-split, c[0] given, c[t + 1] written;
    ``h`` : float32 `[2, strips, H w]` lane-split, h[0] given; step t reads h[t % 2] and writes the other;
    ``indptr, indices, data`` : CSR arrays of W_hh `[4H, H]`, with an index over groups;
    ``begin, end`` : int, the steps to run; ``steps`` : int, those of the window;
    ``shares`` : int, tasks a step (the number of threads), of no use with ``apart``;
    ``apart`` : bool, whether a task is a strip of sequences.

    References
    ----------
    Zaremba, Sutskever & Vinyals, "Recurrent neural network regularization", 2014, equations 1 to 6.
    """
    sets = sum_sets(w, g)

    @parallel_jit
    def lstm_forward_kernel(gates, y, h_prev, c, h, indptr, indices, data, begin, end, steps, shares, apart):
        units, strips = y.shape[1], h.shape[1]
        size = units * w
        tasks = 1 if apart else shares
        for turn in range(begin, begin + 1 if apart else end):
            for task in prange(strips * tasks):
                strip, _, first, last = task_share(indptr, units, GATES // g, task, tasks)
                zero = gbroadcast(_ZERO, GATES, w)
                for t in range(turn, end if apart else turn + 1):
                    gate_base = step_place(t, GATES * units, n, w, strips, strip)
                    y_base = step_place(t, units, n, w, strips, strip)
                    shifted = step_place(t + 1, units, n, w, strips, strip)
                    old, new = state_places(t, strips, strip, size)
                    c_old = (t * strips + strip) * size
                    c_new = c_old + strips * size
                    for j in range(first, last):
                        ahead = min(j + _AHEAD, units - 1)
                        prefetch_gates(gates, gate_base + ahead * n, GATES, units * n, w)
                        prefetch_row(y, y_base + ahead * n, w)
                        if t + 1 < steps:
                            prefetch_row(h_prev, shifted + ahead * n, w)

                        row = gate_base + j * n
                        if g == 1:  # one gate after the other: four sums of each do not fit the registers
                            for gate in range(GATES):
                                place = row + gate * units * n
                                total = vload(gates, place, w)
                                r = j + gate * units
                                total = row_product_split(total, r, indptr, indices, data, h, old, units)
                                vstore(gates, place, total)
                        sums = gload(gates, row, units * n, GATES, w)
                        if g > 1:
                            sums = group_product(
                                sums, zero, sets, j, indptr, indices, data, GATES, h, old, units
                            )
                        i = vsigmoid(sums[0])
                        f = vsigmoid(sums[1])
                        a = vtanh(sums[2])
                        o = vsigmoid(sums[3])
                        gstore(gates, row, units * n, (i, f, a, o))
                        cell = vfma(f, vload_row(c, c_old, j, units, i), i * a)
                        out = o * vtanh(cell)
                        vstore_row(c, c_new, j, units, cell)
                        vstore_row(h, new, j, units, out)
                        vstore(y, y_base + j * n, out)
                        if t == 0:
                            vstore(h_prev, y_base + j * n, vload_row(h, old, j, units, i))
                        if t + 1 < steps:
                            vstore(h_prev, shifted + j * n, out)

    return lstm_forward_kernel


@inline_jit
def gate_gradients(i, f, g, o, c_prev, tanh_c, dh, dcell):
    """The gradients of a unit's pre-activations, in the order of its gates, and of its cell one step before;
    see `lstm_backward`."""
    dcell = vfma(dh * o, _ONE - tanh_c * tanh_c, dcell)
    di = dcell * g * i * (_ONE - i)
    df = dcell * c_prev * f * (_ONE - f)
    dg = dcell * i * (_ONE - g * g)
    do = dh * tanh_c * o * (_ONE - o)
    return (di, df, dg, do), dcell * f


@cache
def lstm_backward(w: int, n: int, g: int = 1):
    """Return the kernel that runs the recurrence of a window backward; see `lstm_forward`.

    For each step t from the last, with dh = dy_t + W_hh^T dgates_{t+1}::

        dc = dc_next + dh o (1 - tanh(c)^2)
        dgates = dc g i (1 - i),  dc c_prev f (1 - f),  dc i (1 - g^2),  dh tanh(c) o (1 - o)
        dc_prev = dc f

    The kernel takes
    ``gates`` : float32 `[panels, 4H, n]`, activations, replaced by dgates;
    ``dy`` : float32 `[panels, H, n]`, gradient of h_t from above;
    ``c`` : float32 `[T + 1, strips, H w]`, as `lstm_forward` left it;
    ``back`` : float32, working space, what a step hands to the one before it, lane-split: its dgates
    `[2, strips, 4H w]`, or with groups the gradient of the state that it read, a part for each share
    `[2, strips, shares, H w]`;
    ``dc`` : float32 `[strips, H w]` lane-split, working space;
    ``indptr, indices, data`` : W_hh column by column (the transposed index), or with groups by rows;
    ``begin, end`` : int, the steps to run, from ``end - 1`` down to ``begin``, where those from ``end`` on
    have been run before; ``steps`` : int, those of the window; ``apart`` : as in `lstm_forward`;
    ``shares`` : int, the parts that the units are cut into (see `backward_shares`), tasks a step unless
    ``apart``.

    tanh(c) is computed again rather than stored: it costs as much as reading it back would.
    """

    @parallel_jit
    def lstm_backward_kernel(gates, dy, c, back, dc, indptr, indices, data, begin, end, steps, shares, apart):
        units, strips = dy.shape[1], dc.shape[0]
        size = units * w
        tasks = 1 if apart else shares
        parts = tasks if g == 1 else shares
        back_size = size * (GATES if g == 1 else shares)
        for turn in range(end, end - 1 if apart else begin, -1):
            for task in prange(strips * tasks):
                strip = task // tasks
                share = task - strip * tasks
                for t in range(turn - 1, begin - 1 if apart else turn - 2, -1):
                    gate_base = step_place(t, GATES * units, n, w, strips, strip)
                    dy_base = step_place(t, units, n, w, strips, strip)
                    now, later = state_places(t, strips, strip, back_size)
                    c_old = (t * strips + strip) * size
                    c_new = c_old + strips * size
                    for part in range(share, shares if g > 1 and apart else share + 1):
                        if g > 1 and t > 0:
                            clear(back, now + part * size, size)
                        first, last = share_bounds(indptr, units, 1, part, parts)
                        for j in range(first, last):
                            ahead = min(j + _AHEAD, units - 1)
                            prefetch_gates(gates, gate_base + ahead * n, GATES, units * n, w)
                            prefetch_row(dy, dy_base + ahead * n, w)

                            dh = vload(dy, dy_base + j * n, w)
                            dcell = vbroadcast(_ZERO, w)
                            if t + 1 < steps:
                                if g == 1:
                                    dh = row_product_split(
                                        dh, j, indptr, indices, data, back, later, GATES * units
                                    )
                                else:
                                    for other in range(shares):
                                        dh = dh + vload_row(back, later + other * size, j, units, dh)
                                dcell = vload_row(dc, strip * size, j, units, dh)
                            row = gate_base + j * n
                            i, f, a, o = gload(gates, row, units * n, GATES, w)
                            tanh_c = vtanh(vload_row(c, c_new, j, units, dh))
                            c_prev = vload_row(c, c_old, j, units, dh)
                            dgates, dcell = gate_gradients(i, f, a, o, c_prev, tanh_c, dh, dcell)
                            vstore_row(dc, strip * size, j, units, dcell)
                            gstore(gates, row, units * n, dgates)
                            if g == 1:
                                vstore_row(back, now, j, GATES * units, dgates[0])
                                vstore_row(back, now, j + units, GATES * units, dgates[1])
                                vstore_row(back, now, j + 2 * units, GATES * units, dgates[2])
                                vstore_row(back, now, j + 3 * units, GATES * units, dgates[3])
                            elif t > 0:
                                scatter_group(
                                    back, now + part * size, units, dgates, j, indptr, indices, data, GATES
                                )

    return lstm_backward_kernel
