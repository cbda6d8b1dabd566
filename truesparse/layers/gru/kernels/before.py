"""The recurrence of gated recurrent units whose reset gates multiply the state before the product.

As in `after`, but a step takes two regions: one for the gates r and z of all units, and one for the
candidates, which read r h_prev.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from truesparse.kernels.jit import parallel_jit, prange
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
def before_forward(w: int, n: int, g: int = 1):
    """Return the kernel that runs the recurrence of a window; `w` lanes a step, `n` lanes a panel, groups of
    `g` rows, 1 or 3.

    For each step t, with ``gates`` holding W_ih x_t + bias on entry::

        r, z = sigmoid(gates + W_hh h_prev),  n = tanh(gates + W_hn (r h_prev))
        h = (1 - z) n + z h_prev

    The kernel takes
    ``gates`` : float32 `[panels, 3H, n]`, pre-activations, replaced by the activations r, z, n;
    ``y`` : float32 `[panels, H, n]`, receives h_t;
    ``states`` : float32 `[panels, 2H, n]`, receives h_{t-1} and r h_{t-1} at the place of step t;
    ``h`` : float32 `[2, strips, H w]` lane-split, h[0] given; step t reads h[t % 2] and writes the other;
    ``reset`` : float32 `[strips, H w]` lane-split, working space: r h_{t-1};
    ``indptr, indices, data`` : CSR arrays of W_hh `[3H, H]`, with an index over groups;
    ``begin, end`` : int, the steps to run; ``steps`` : int, those of the window; ``shares`` : int, tasks a
    region (the number of threads).
    """
    sets = sum_sets(w, g)

    @parallel_jit
    def before_forward_kernel(gates, y, states, h, reset, indptr, indices, data, begin, end, steps, shares):
        units, strips = y.shape[1], h.shape[1]
        size = units * w
        candidates = data[GATES - 1 :] if g > 1 else data
        for t in range(begin, end):
            for task in prange(strips * shares):
                strip, _, first, last = task_share(indptr, units, GATES // g, task, shares)
                gate_base = step_place(t, GATES * units, n, w, strips, strip)
                place = step_place(t, 2 * units, n, w, strips, strip)
                old, _ = state_places(t, strips, strip, size)
                zero = gbroadcast(_ZERO, 2, w)
                for j in range(first, last):
                    ahead = min(j + _AHEAD, units - 1)
                    prefetch_gates(gates, gate_base + ahead * n, 2, units * n, w)
                    prefetch_row(states, place + (units + ahead) * n, w)

                    row = gate_base + j * n
                    r, z = gload(gates, row, units * n, 2, w)
                    if g == 1:
                        r = row_product_split(r, j, indptr, indices, data, h, old, units)
                        z = row_product_split(z, j + units, indptr, indices, data, h, old, units)
                    else:
                        r, z = group_product(
                            (r, z), zero, sets, j, indptr, indices, data, GATES, h, old, units
                        )
                    r = vsigmoid(r)
                    z = vsigmoid(z)
                    gstore(gates, row, units * n, (r, z))
                    before = vload_row(h, old, j, units, r)
                    if t == 0:
                        vstore(states, place + j * n, before)
                    kept = r * before
                    vstore(states, place + (units + j) * n, kept)
                    vstore_row(reset, strip * size, j, units, kept)
            for task in prange(strips * shares):
                strip, _, first, last = task_share(indptr, units, GATES // g, task, shares)
                gate_base = step_place(t, GATES * units, n, w, strips, strip)
                y_base = step_place(t, units, n, w, strips, strip)
                shifted = step_place(t + 1, 2 * units, n, w, strips, strip)
                old, new = state_places(t, strips, strip, size)
                own = strip * size
                zero = gbroadcast(_ZERO, 1, w)
                for j in range(first, last):
                    ahead = min(j + _AHEAD, units - 1)
                    prefetch_gates(gates, gate_base + (units + ahead) * n, 2, units * n, w)
                    prefetch_row(y, y_base + ahead * n, w)
                    if t + 1 < steps:
                        prefetch_row(states, shifted + ahead * n, w)

                    row = gate_base + (units + j) * n
                    z, a = gload(gates, row, units * n, 2, w)
                    if g == 1:
                        a = row_product_split(a, j + 2 * units, indptr, indices, data, reset, own, units)
                    else:
                        (a,) = group_product(
                            (a,), zero, sets, j, indptr, indices, candidates, GATES, reset, own, units
                        )
                    a = vtanh(a)
                    vstore(gates, row + units * n, a)
                    out = vfma(z, vload_row(h, old, j, units, a) - a, a)
                    vstore_row(h, new, j, units, out)
                    vstore(y, y_base + j * n, out)
                    if t + 1 < steps:
                        vstore(states, shifted + j * n, out)

    return before_forward_kernel


@cache
def before_backward(w: int, n: int, g: int = 1):
    """Return the kernel that runs the recurrence of a window backward; see `before_forward`.

    For each step t from the last, with dh = dy_t + carry + W_hh^T (dr, dz)_{t+1}::

        dn = dh (1 - z) (1 - n^2),  dz = dh (h_prev - n) z (1 - z)
        ds = W_hn^T dn,  dr = ds h_prev r (1 - r)
        carry = dh z + ds r

    The kernel takes
    ``gates`` : float32 `[panels, 3H, n]`, activations, replaced by (dr, dz, dn);
    ``hidden`` : float32 `[panels, 6H, n]`, receives (dr, dz, 0) and (0, 0, dn), where zeros are already;
    ``dy`` : float32 `[panels, H, n]`, gradient of h_t from above;
    ``states`` : float32 `[panels, 2H, n]`, as `before_forward` left it;
    ``back`` : float32 `[strips, 4H w]`, working space, what a step hands to the one before it, lane-split:
    (dr, dz) `[3H w]`, or with groups the gradient of the state that it read, a part for each share `[shares,
    H w]`;
    ``reset`` : the same for dn and ds, within a step;
    ``carry`` : float32 `[strips, H w]` lane-split, working space;
    ``starts`` : int32 `[H, 4]`, where the rows r, z and n begin in each column of W_hh, and where it ends; of
    no use with groups;
    ``indptr, indices, data`` : W_hh column by column (the transposed index), or with groups by rows;
    ``begin, end`` : int, the steps to run, from ``end - 1`` down to ``begin``; ``steps`` : int, those of the
    window; ``shares`` : int, tasks a region (see `backward_shares`).
    """

    @parallel_jit
    def before_backward_kernel(
        gates,
        hidden,
        dy,
        states,
        back,
        reset,
        carry,
        starts,
        indptr,
        indices,
        data,
        begin,
        end,
        steps,
        shares,
    ):
        units, strips = dy.shape[1], carry.shape[0]
        size = units * w
        back_size = back.shape[1]
        candidates = data[GATES - 1 :] if g > 1 else data
        for t in range(end - 1, begin - 1, -1):
            for task in prange(strips * shares):
                strip, share, first, last = task_share(indptr, units, 1, task, shares)
                gate_base = step_place(t, GATES * units, n, w, strips, strip)
                hidden_base = step_place(t, 2 * GATES * units, n, w, strips, strip)
                dy_base = step_place(t, units, n, w, strips, strip)
                place = step_place(t, 2 * units, n, w, strips, strip)
                base = strip * back_size
                if g > 1:
                    clear(reset, base + share * size, size)
                for j in range(first, last):
                    ahead = min(j + _AHEAD, units - 1)
                    prefetch_gates(gates, gate_base + (units + ahead) * n, 2, units * n, w)
                    prefetch_gates(hidden, hidden_base + (units + ahead) * n, 2, 4 * units * n, w)
                    prefetch_row(dy, dy_base + ahead * n, w)
                    prefetch_row(states, place + ahead * n, w)

                    dh = vload(dy, dy_base + j * n, w)
                    if t + 1 < steps:
                        if g == 1:
                            i = j * (GATES + 1)
                            dh = row_product_split(dh, i, starts, indices, data, back, base, GATES * units)
                            i += 1
                            dh = row_product_split(dh, i, starts, indices, data, back, base, GATES * units)
                        else:
                            for other in range(shares):
                                dh = dh + vload_row(back, base + other * size, j, units, dh)
                        dh = dh + vload_row(carry, strip * size, j, units, dh)
                    row = gate_base + (units + j) * n
                    z, a = gload(gates, row, units * n, 2, w)
                    da = dh * (_ONE - z) * (_ONE - a * a)
                    dz = dh * (vload(states, place + j * n, w) - a) * z * (_ONE - z)
                    vstore_row(carry, strip * size, j, units, dh * z)
                    gstore(gates, row, units * n, (dz, da))
                    gstore(hidden, hidden_base + (units + j) * n, 4 * units * n, (dz, da))
                    if g == 1:
                        vstore_row(reset, base, j + 2 * units, GATES * units, da)
                    else:
                        scatter_group(
                            reset, base + share * size, units, (da,), j, indptr, indices, candidates, GATES
                        )
            for task in prange(strips * shares):
                strip, share, first, last = task_share(indptr, units, 1, task, shares)
                gate_base = step_place(t, GATES * units, n, w, strips, strip)
                hidden_base = step_place(t, 2 * GATES * units, n, w, strips, strip)
                place = step_place(t, 2 * units, n, w, strips, strip)
                base = strip * back_size
                if g > 1:
                    clear(back, base + share * size, size)
                for j in range(first, last):
                    ahead = min(j + _AHEAD, units - 1)
                    prefetch_gates(gates, gate_base + ahead * n, 2, units * n, w)
                    prefetch_row(hidden, hidden_base + ahead * n, w)
                    prefetch_row(states, place + ahead * n, w)

                    ds = vbroadcast(_ZERO, w)
                    if g == 1:
                        i = j * (GATES + 1) + 2
                        ds = row_product_split(ds, i, starts, indices, data, reset, base, GATES * units)
                    else:
                        for other in range(shares):
                            ds = ds + vload_row(reset, base + other * size, j, units, ds)
                    row = gate_base + j * n
                    r, dz = gload(gates, row, units * n, 2, w)
                    dr = ds * vload(states, place + j * n, w) * r * (_ONE - r)
                    kept = vfma(ds, r, vload_row(carry, strip * size, j, units, ds))
                    vstore_row(carry, strip * size, j, units, kept)
                    vstore(gates, row, dr)
                    vstore(hidden, hidden_base + j * n, dr)
                    if g == 1:
                        vstore_row(back, base, j, GATES * units, dr)
                        vstore_row(back, base, j + units, GATES * units, dz)
                    elif t > 0:
                        scatter_group(
                            back, base + share * size, units, (dr, dz), j, indptr, indices, data, GATES
                        )

    return before_backward_kernel
