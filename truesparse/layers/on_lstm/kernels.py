"""The recurrence of an LSTM with ordered neurons over a window, forward and backward.

Letters: T time steps, B batch, H hidden units, M chunks of H / M units; gates in the order i, f, g, o, master
gates in the order forget, input. A step takes three regions forward: the products of all gates, the
cumulative softmax of the master gates, for which all of their products are needed, and the units; and two
backward. Threads share units and chunks, but strips of sequences where there is a cumulative softmax. The
four gates of a unit may share their connections, `g` = 4 rows of W_hh then being a group; a master gate has
connections of its own. Layout: see `truesparse.kernels.layout`.
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
    sum_sets,
    task_share,
)
from truesparse.simd import (
    gbroadcast,
    gload,
    gstore,
    vbroadcast,
    vexp,
    vfma,
    vload,
    vload_row,
    vmax,
    vsigmoid,
    vstore,
    vstore_row,
    vtanh,
)

_AHEAD = 8  # units; as in the LSTM's recurrence
GATES = 4
MASTERS = 2
_ZERO = np.float32(0)
_ONE = np.float32(1)


@inline_jit
def cumulative_softmax(masters, levels, base, chunks, n, w):
    """Put the softmax of the rows of both master gates in their place, and its running sum, or 1 minus that
    for the input gate, into `levels`; `chunks` rows a gate, of `w` lanes, from `base` on."""
    for gate in range(MASTERS):
        first = base + gate * chunks * n
        highest = vload(masters, first, w)
        for k in range(1, chunks):
            highest = vmax(vload(masters, first + k * n, w), highest)
        total = vbroadcast(_ZERO, w)
        for k in range(chunks):
            power = vexp(vload(masters, first + k * n, w) - highest)
            vstore(masters, first + k * n, power)
            total = total + power
        factor = _ONE / total
        level = vbroadcast(_ZERO, w)
        for k in range(chunks):
            share = vload(masters, first + k * n, w) * factor
            vstore(masters, first + k * n, share)
            level = level + share
            vstore(levels, first + k * n, level if gate == 0 else _ONE - level)


@inline_jit
def cumulative_softmax_gradients(masters, levels, base, chunks, n, w):
    """Put the gradients of the rows of both master gates in the place of their softmax, given in `levels` the
    gradients of its running sums; see `cumulative_softmax`."""
    for gate in range(MASTERS):
        first = base + gate * chunks * n
        gradient = vbroadcast(_ZERO, w)
        mean = vbroadcast(_ZERO, w)
        for k in range(chunks - 1, -1, -1):
            gradient = gradient + vload(levels, first + k * n, w)
            vstore(levels, first + k * n, gradient)
            mean = vfma(vload(masters, first + k * n, w), gradient, mean)
        for k in range(chunks):
            share = vload(masters, first + k * n, w)
            vstore(masters, first + k * n, share * (vload(levels, first + k * n, w) - mean))


@cache
def on_lstm_forward(w: int, n: int, g: int = 1):
    """Return the kernel that runs the recurrence of a window; `w` lanes a step, `n` lanes a panel, groups of
    `g` rows, 1 or 4.

    For each step t, with ``gates`` and ``masters`` holding W_ih x_t + bias on entry::

        i, f, o = sigmoid(gates + W_hh h_prev), g = tanh(gates + W_hh h_prev)
        F, I = cumsum(softmax(masters + M_hh h_prev)), 1 - cumsum(softmax(masters + M_hh h_prev))
        c = (f F I + F (1 - I)) c_prev + (i F I + I (1 - F)) g,  h = o tanh(c)

    where each row of F and I serves the units of a chunk. The kernel takes
    ``gates`` : float32 `[panels, 4H, n]`, pre-activations, replaced by the activations i, f, g, o;
    ``masters`` : float32 `[panels, 2M, n]`, pre-activations, replaced by their softmax;
    ``levels`` : float32 `[panels, 2M, n]`, receives F and I;
    ``y`` : float32 `[panels, H, n]`, receives h_t;
    ``h_prev`` : float32 `[panels, H, n]`, receives h_{t-1} at the place of step t;
    ``c`` : float32 `[T + 1, strips, H w]` lane-split, c[0] given, c[t + 1] written;
    ``h`` : float32 `[2, strips, H w]` lane-split, h[0] given; step t reads h[t % 2] and writes the other;
    ``indptr, indices, data`` : CSR arrays of W_hh `[4H, H]`, with an index over groups;
    ``its_indptr, its_indices, its_data`` : those of M_hh `[2M, H]`, whose rows have no groups;
    ``begin, end`` : int, the steps to run; ``steps`` : int, those of the window; ``shares`` : int, tasks a
    region (the number of threads).

    References
    ----------
    Shen, Tan, Sordoni & Courville, "Ordered neurons: integrating tree structures into recurrent neural
    networks", 2019, equations 1 to 13.
    """
    sets = sum_sets(w, g)

    @parallel_jit
    def on_lstm_forward_kernel(
        gates,
        masters,
        levels,
        y,
        h_prev,
        c,
        h,
        indptr,
        indices,
        data,
        its_indptr,
        its_indices,
        its_data,
        begin,
        end,
        steps,
        shares,
    ):
        units, rows, strips = y.shape[1], masters.shape[1], h.shape[1]
        chunks = rows // MASTERS
        chunk = units // chunks
        size = units * w
        for t in range(begin, end):
            for task in prange(strips * shares):
                strip, share, first, last = task_share(indptr, units, GATES // g, task, shares)
                zero = gbroadcast(_ZERO, GATES, w)
                gate_base = step_place(t, GATES * units, n, w, strips, strip)
                its_base = step_place(t, rows, n, w, strips, strip)
                old, _ = state_places(t, strips, strip, size)
                for r in range(rows * share // shares, rows * (share + 1) // shares):
                    place = its_base + r * n
                    total = vload(masters, place, w)
                    total = row_product_split(total, r, its_indptr, its_indices, its_data, h, old, units)
                    vstore(masters, place, total)
                for j in range(first, last):
                    ahead = min(j + _AHEAD, units - 1)
                    prefetch_gates(gates, gate_base + ahead * n, GATES, units * n, w)
                    row = gate_base + j * n
                    if g == 1:  # one gate after the other: four sums of each do not fit the registers
                        for gate in range(GATES):
                            place = row + gate * units * n
                            total = vload(gates, place, w)
                            r = j + gate * units
                            total = row_product_split(total, r, indptr, indices, data, h, old, units)
                            vstore(gates, place, total)
                    else:
                        sums = gload(gates, row, units * n, GATES, w)
                        sums = group_product(sums, zero, sets, j, indptr, indices, data, GATES, h, old, units)
                        gstore(gates, row, units * n, sums)
            for strip in prange(strips):
                its_base = step_place(t, rows, n, w, strips, strip)
                cumulative_softmax(masters, levels, its_base, chunks, n, w)
            for task in prange(strips * shares):
                strip, _, first, last = task_share(indptr, units, GATES // g, task, shares)
                gate_base = step_place(t, GATES * units, n, w, strips, strip)
                its_base = step_place(t, rows, n, w, strips, strip)
                y_base = step_place(t, units, n, w, strips, strip)
                shifted = step_place(t + 1, units, n, w, strips, strip)
                old, new = state_places(t, strips, strip, size)
                c_old = (t * strips + strip) * size
                c_new = c_old + strips * size
                for j in range(first, last):
                    k = j // chunk
                    kept = vload(levels, its_base + k * n, w)
                    added = vload(levels, its_base + (k + chunks) * n, w)
                    both = kept * added
                    row = gate_base + j * n
                    i, f, a, o = gload(gates, row, units * n, GATES, w)
                    i = vsigmoid(i)
                    f = vsigmoid(f)
                    a = vtanh(a)
                    o = vsigmoid(o)
                    gstore(gates, row, units * n, (i, f, a, o))
                    cell = vfma(i, both, added - both) * a
                    cell = vfma(vfma(f, both, kept - both), vload_row(c, c_old, j, units, i), cell)
                    out = o * vtanh(cell)
                    vstore_row(c, c_new, j, units, cell)
                    vstore_row(h, new, j, units, out)
                    vstore(y, y_base + j * n, out)
                    if t == 0:
                        vstore(h_prev, y_base + j * n, vload_row(h, old, j, units, i))
                    if t + 1 < steps:
                        vstore(h_prev, shifted + j * n, out)

    return on_lstm_forward_kernel


@cache
def on_lstm_backward(w: int, n: int, g: int = 1):
    """Return the kernel that runs the recurrence of a window backward; see `on_lstm_forward`.

    For each step t from the last, with dh = dy_t + W_hh^T dgates_{t+1} + M_hh^T dmasters_{t+1} and W = F I::

        dc = dc_next + dh o (1 - tanh(c)^2),  dc_prev = dc (f W + F - W)
        dgates = dc g W i (1 - i),  dc c_prev W f (1 - f),  dc (i W + I - W) (1 - g^2),  dh tanh(c) o (1 - o)
        dW = dc c_prev (f - 1) + dc g (i - 1),  dF = dc c_prev + dW I,  dI = dc g + dW F, summed over a chunk
        dp_m = the sum over k from m on of dF_k, or of -dI_k;  dmasters = p (dp - sum(p dp))

    The kernel takes
    ``gates, masters`` : as `on_lstm_forward` left them, replaced by dgates and dmasters;
    ``levels`` : float32 `[panels, 2M, n]`, F and I; used up;
    ``dy`` : float32 `[panels, H, n]`, gradient of h_t from above;
    ``c`` : float32 `[T + 1, strips, H w]`, as `on_lstm_forward` left it;
    ``back`` : float32, working space, what a step hands to the one before it, lane-split: its dgates
    `[2, strips, 4H w]`, or with groups the gradient of the state that it read, a part for each share
    `[2, strips, shares, H w]`;
    ``its_back`` : float32 `[2, strips, 2M w]`, working space, the dmasters of a step;
    ``dc`` : float32 `[strips, H w]` lane-split, working space;
    ``indptr, indices, data`` : W_hh column by column (the transposed index), or with groups by rows;
    ``its_indptr, its_indices, its_data`` : M_hh column by column;
    ``begin, end`` : int, the steps to run, from ``end - 1`` down to ``begin``; ``steps`` : int, those of the
    window; ``shares`` : int, tasks a region, each of some chunks (see `backward_shares`).
    """

    @parallel_jit
    def on_lstm_backward_kernel(
        gates,
        masters,
        levels,
        dy,
        c,
        back,
        its_back,
        dc,
        indptr,
        indices,
        data,
        its_indptr,
        its_indices,
        its_data,
        begin,
        end,
        steps,
        shares,
    ):
        units, rows, strips = dy.shape[1], masters.shape[1], dc.shape[0]
        chunks = rows // MASTERS
        chunk = units // chunks
        size = units * w
        its_size = rows * w
        back_size = size * (GATES if g == 1 else shares)
        for t in range(end - 1, begin - 1, -1):
            for task in prange(strips * shares):
                strip = task // shares
                share = task - strip * shares
                gate_base = step_place(t, GATES * units, n, w, strips, strip)
                its_base = step_place(t, rows, n, w, strips, strip)
                dy_base = step_place(t, units, n, w, strips, strip)
                now, later = state_places(t, strips, strip, back_size)
                _, its_later = state_places(t, strips, strip, its_size)
                c_old = (t * strips + strip) * size
                c_new = c_old + strips * size
                if g > 1:
                    clear(back, now + share * size, size)
                for k in range(chunks * share // shares, chunks * (share + 1) // shares):
                    kept = vload(levels, its_base + k * n, w)
                    added = vload(levels, its_base + (k + chunks) * n, w)
                    both = kept * added
                    dkept = vbroadcast(_ZERO, w)
                    dadded = vbroadcast(_ZERO, w)
                    dboth = vbroadcast(_ZERO, w)
                    for j in range(k * chunk, (k + 1) * chunk):
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
                            dh = row_product_split(
                                dh, j, its_indptr, its_indices, its_data, its_back, its_later, rows
                            )
                            dcell = vload_row(dc, strip * size, j, units, dh)
                        row = gate_base + j * n
                        i, f, a, o = gload(gates, row, units * n, GATES, w)
                        tanh_c = vtanh(vload_row(c, c_new, j, units, dh))
                        dcell = vfma(dh * o, _ONE - tanh_c * tanh_c, dcell)
                        vstore_row(dc, strip * size, j, units, dcell * vfma(f, both, kept - both))
                        df = dcell * vload_row(c, c_old, j, units, dh)
                        di = dcell * a
                        dkept = dkept + df
                        dadded = dadded + di
                        dboth = vfma(df, f - _ONE, vfma(di, i - _ONE, dboth))
                        dgates = (
                            di * both * i * (_ONE - i),
                            df * both * f * (_ONE - f),
                            dcell * vfma(i, both, added - both) * (_ONE - a * a),
                            dh * tanh_c * o * (_ONE - o),
                        )
                        gstore(gates, row, units * n, dgates)
                        if g == 1:
                            vstore_row(back, now, j, GATES * units, dgates[0])
                            vstore_row(back, now, j + units, GATES * units, dgates[1])
                            vstore_row(back, now, j + 2 * units, GATES * units, dgates[2])
                            vstore_row(back, now, j + 3 * units, GATES * units, dgates[3])
                        elif t > 0:
                            scatter_group(
                                back, now + share * size, units, dgates, j, indptr, indices, data, GATES
                            )
                    vstore(levels, its_base + k * n, vfma(dboth, added, dkept))
                    vstore(levels, its_base + (k + chunks) * n, _ZERO - vfma(dboth, kept, dadded))
            for strip in prange(strips):
                its_base = step_place(t, rows, n, w, strips, strip)
                its_now, _ = state_places(t, strips, strip, its_size)
                cumulative_softmax_gradients(masters, levels, its_base, chunks, n, w)
                for r in range(rows):
                    vstore_row(its_back, its_now, r, rows, vload(masters, its_base + r * n, w))

    return on_lstm_backward_kernel
