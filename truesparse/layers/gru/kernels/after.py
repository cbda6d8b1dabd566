"""The recurrence of gated recurrent units over a window, forward and backward.

Letters: T time steps, B batch, H hidden units; gates in the order r, z, n. The reset gate comes after the
product; `before` has the other kind. A thread takes whole units (their three rows of W_hh), and all threads
share the units of a step, or each takes strips of sequences `apart`, as in `truesparse.layers.lstm.kernels`.
The gates of a unit may share their connections, `g` = 3 rows of W_hh then being a group. Layout: see
`truesparse.kernels.layout`.
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
    at,
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

_AHEAD = 8  # units; as in the LSTM's recurrence
GATES = 3
_ZERO = np.float32(0)
_ONE = np.float32(1)


@cache
def after_forward(w: int, n: int, g: int = 1):
    """Return the kernel that runs the recurrence of a window whose reset gates come after the product; `w`
    lanes a step, `n` lanes a panel, groups of `g` rows, 1 or 3.

    For each step t, with ``gates`` holding W_ih x_t + bias on entry::

        r, z = sigmoid(gates + W_hh h_prev),  m = W_hn h_prev + b_hn,  n = tanh(gates + r m)
        h = (1 - z) n + z h_prev

    The kernel takes
    ``gates`` : float32 `[panels, 3H, n]`, pre-activations, replaced by the activations r, z, n;
    ``y`` : float32 `[panels, H, n]`, receives h_t;
    ``hidden`` : float32 `[panels, 3H, n]`, whose last block receives m;
    ``h_prev`` : float32 `[panels, H, n]`, receives h_{t-1} at the place of step t;
    ``h`` : float32 `[2, strips, H w]` lane-split, h[0] given; step t reads h[t % 2] and writes the other;
    ``indptr, indices, data`` : CSR arrays of W_hh `[3H, H]`, with an index over groups;
    ``bias_hn`` : float32 `[H]`;
    ``begin, end`` : int, the steps to run; ``steps`` : int, those of the window;
    ``shares`` : int, tasks a step (the number of threads), of no use with ``apart``;
    ``apart`` : bool, whether a task is a strip of sequences.
    """
    sets = sum_sets(w, g)

    @parallel_jit
    def after_forward_kernel(
        gates, y, hidden, h_prev, h, indptr, indices, data, bias_hn, begin, end, steps, shares, apart
    ):
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
                    for j in range(first, last):
                        ahead = min(j + _AHEAD, units - 1)
                        prefetch_gates(gates, gate_base + ahead * n, GATES, units * n, w)
                        prefetch_row(hidden, gate_base + (2 * units + ahead) * n, w)
                        prefetch_row(y, y_base + ahead * n, w)
                        if t + 1 < steps:
                            prefetch_row(h_prev, shifted + ahead * n, w)

                        row = gate_base + j * n
                        r, z, a = gload(gates, row, units * n, GATES, w)
                        m = vbroadcast(at(bias_hn, j), w)
                        if g == 1:
                            r = row_product_split(r, j, indptr, indices, data, h, old, units)
                            z = row_product_split(z, j + units, indptr, indices, data, h, old, units)
                            m = row_product_split(m, j + 2 * units, indptr, indices, data, h, old, units)
                        else:
                            r, z, m = group_product(
                                (r, z, m), zero, sets, j, indptr, indices, data, GATES, h, old, units
                            )
                        r = vsigmoid(r)
                        z = vsigmoid(z)
                        a = vtanh(vfma(r, m, a))
                        gstore(gates, row, units * n, (r, z, a))
                        vstore(hidden, row + 2 * units * n, m)
                        before = vload_row(h, old, j, units, a)
                        out = vfma(z, before - a, a)
                        vstore_row(h, new, j, units, out)
                        vstore(y, y_base + j * n, out)
                        if t == 0:
                            vstore(h_prev, y_base + j * n, before)
                        if t + 1 < steps:
                            vstore(h_prev, shifted + j * n, out)

    return after_forward_kernel


@inline_jit
def gate_gradients(r, z, a, m, before, dh):
    """The gradients of a unit's pre-activations, of m, and of what is carried on; see `after_backward`."""
    da = dh * (_ONE - z) * (_ONE - a * a)
    dz = dh * (before - a) * z * (_ONE - z)
    dr = da * m * r * (_ONE - r)
    return (dr, dz, da), da * r, dh * z


@cache
def after_backward(w: int, n: int, g: int = 1):
    """Return the kernel that runs the recurrence of a window backward; see `after_forward`.

    For each step t from the last, with dh = dy_t + z_{t+1} dh_{t+1} + W_hh^T (dr, dz, dm)_{t+1}::

        dn = dh (1 - z) (1 - n^2),  dz = dh (h_prev - n) z (1 - z)
        dr = dn m r (1 - r),  dm = dn r

    The kernel takes
    ``gates`` : float32 `[panels, 3H, n]`, activations, replaced by (dr, dz, dn);
    ``hidden`` : float32 `[panels, 3H, n]`, as `after_forward` left it, replaced by (dr, dz, dm);
    ``dy`` : float32 `[panels, H, n]`, gradient of h_t from above;
    ``h_prev`` : float32 `[panels, H, n]`, as `after_forward` left it;
    ``back`` : float32, working space, what a step hands to the one before it, lane-split: (dr, dz, dm)
    `[2, strips, 3H w]`, or with groups the gradient of the state that it read, a part for each share
    `[2, strips, shares, H w]`;
    ``carry`` : float32 `[strips, H w]` lane-split, working space;
    ``indptr, indices, data`` : W_hh column by column (the transposed index), or with groups by rows;
    ``begin, end, steps, shares, apart`` : as in `truesparse.layers.lstm.kernels.lstm_backward`.
    """

    @parallel_jit
    def after_backward_kernel(
        gates, hidden, dy, h_prev, back, carry, indptr, indices, data, begin, end, steps, shares, apart
    ):
        units, strips = dy.shape[1], carry.shape[0]
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
                    for part in range(share, shares if g > 1 and apart else share + 1):
                        if g > 1 and t > 0:
                            clear(back, now + part * size, size)
                        first, last = share_bounds(indptr, units, 1, part, parts)
                        for j in range(first, last):
                            ahead = min(j + _AHEAD, units - 1)
                            prefetch_gates(gates, gate_base + ahead * n, GATES, units * n, w)
                            prefetch_gates(hidden, gate_base + ahead * n, GATES, units * n, w)
                            prefetch_row(dy, dy_base + ahead * n, w)
                            prefetch_row(h_prev, dy_base + ahead * n, w)

                            dh = vload(dy, dy_base + j * n, w)
                            if t + 1 < steps:
                                if g == 1:
                                    dh = row_product_split(
                                        dh, j, indptr, indices, data, back, later, GATES * units
                                    )
                                else:
                                    for other in range(shares):
                                        dh = dh + vload_row(back, later + other * size, j, units, dh)
                                dh = dh + vload_row(carry, strip * size, j, units, dh)
                            row = gate_base + j * n
                            r, z, a = gload(gates, row, units * n, GATES, w)
                            m = vload(hidden, row + 2 * units * n, w)
                            before = vload(h_prev, dy_base + j * n, w)
                            dgates, dm, kept = gate_gradients(r, z, a, m, before, dh)
                            vstore_row(carry, strip * size, j, units, kept)
                            gstore(gates, row, units * n, dgates)
                            dhidden = (dgates[0], dgates[1], dm)
                            gstore(hidden, row, units * n, dhidden)
                            if g == 1:
                                vstore_row(back, now, j, GATES * units, dhidden[0])
                                vstore_row(back, now, j + units, GATES * units, dhidden[1])
                                vstore_row(back, now, j + 2 * units, GATES * units, dhidden[2])
                            elif t > 0:
                                scatter_group(
                                    back, now + part * size, units, dhidden, j, indptr, indices, data, GATES
                                )

    return after_backward_kernel
