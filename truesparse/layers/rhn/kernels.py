"""The recurrence of a recurrent highway layer over a window, forward and backward.

Letters: T time steps, B batch, H hidden units, L recurrence depth. A time step is L *micro-steps*, each of
which has matrices of its own; their blocks are h (candidate) and t (transform gate). One parallel region a
micro-step: a thread takes whole units (their two rows of R), so that a unit's candidate and gate stay in
registers until the new state. The two rows may be a group; then as in `truesparse.layers.lstm.kernels`.

Layout: see `truesparse.kernels.layout`; arrays over depth have it as their first axis.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from truesparse.kernels.dropout import drop_lanes
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

_AHEAD = 8  # units; as in the LSTM's recurrence
GATES = 2
_ZERO = np.float32(0)
_ONE = np.float32(1)


@inline_jit
def begin_window(lanes, n, state, s_prev, s, strip, units, first, end, key, rate):
    """Put the state that units `first` to `end` of a strip start with where the first micro-step reads it;
    `lanes` is any vector of the lanes of a step."""
    w = state.shape[1] // units
    for j in range(first, end):
        start = vload_row(state, strip * units * w, j, units, lanes)
        vstore(s_prev, (strip * units + j) * n, start)
        if rate > _ZERO:
            start = drop_lanes(start, key, (strip * units + j) * w, rate, _ONE / (_ONE - rate))
        vstore_row(s, strip * units * w, j, units, start)


@inline_jit
def micro_places(micro, depth, n, w, panels, units, strips, strip):
    """Where, in panels, a micro-step has its gates, the state before it, the state after it, and the row of
    its time step in y."""
    step = micro // depth
    level = micro - step * depth
    size = panels * units * n  # of the states of a level
    y = step_place(step, units, n, w, strips, strip)
    before = level * size + y
    after = before + size
    if level == depth - 1:
        after = step_place(step + 1, units, n, w, strips, strip)
    return level * GATES * size + step_place(step, GATES * units, n, w, strips, strip), before, after, y


@inline_jit
def gate_gradients(h, t, s, ds):
    """The gradients of a unit's two pre-activations, and of what it carries on; see `rhn_backward`."""
    dh = ds * t * (_ONE - h * h)
    dt = ds * (h - s) * t * (_ONE - t)
    return (dh, dt), ds * (_ONE - t)


@cache
def rhn_forward(w: int, n: int, g: int = 1):
    """Return the kernel that runs the recurrence of a window; `w` lanes a step, `n` lanes a panel, groups of
    `g` rows, 1 or 2.

    For each time step and depth l from 0, s being the state before and ``gates[0]`` holding W x_t + b_0 on
    entry::

        h = tanh([W x_t] + R_l drop(s) + b_l),  t = sigmoid([W x_t] + R_l drop(s) + b_l)
        s <- h t + s (1 - t)

    where W x_t enters at depth 0 only, and ``drop`` is a dropout mask that is the same for all steps and
    depths and spares what is carried.

    The kernel takes
    ``gates`` : float32 `[L, panels, 2H, n]`, pre-activations at depth 0, replaced by the activations h, t at
    every depth;
    ``y`` : float32 `[panels, H, n]`, receives the state after each time step;
    ``s_prev`` : float32 `[L, panels, H, n]`, receives the state before each micro-step, without dropout;
    ``state`` : float32 `[strips, H w]` lane-split, carried on in place;
    ``s`` : float32 `[2, strips, H w]` lane-split, working space: the state with dropout before and after a
    micro-step;
    ``indptr, indices, data`` : for each depth the CSR arrays of R_l `[2H, H]`, with an index over groups, in
    tuples;
    ``biases`` : for each depth b_l, float32 `[2H]`, in a tuple; b_0 is not used;
    ``key, rate`` : uint64 and float32, dropout mask and its rate, 0 for none; places as in `locked_dropout`;
    ``steps`` : int; ``shares`` : int, tasks a micro-step (the number of threads).

    References
    ----------
    Zilly, Srivastava, Koutník & Schmidhuber, "Recurrent highway networks", 2017, section 4, with the carry
    gate 1 - t; the masks: Gal & Ghahramani, "A theoretically grounded application of dropout in recurrent
    neural networks", 2016.
    """

    sets = sum_sets(w, g)

    @parallel_jit
    def rhn_forward_kernel(
        gates, y, s_prev, state, s, indptr, indices, data, biases, key, rate, steps, shares
    ):
        depth, panels = gates.shape[0], gates.shape[1]
        units = y.shape[1]
        strips = state.shape[0]
        size = units * w
        scale = _ONE / (_ONE - rate)
        for task in prange(strips * shares):
            strip = task // shares
            share = task - strip * shares
            first, end = units * share // shares, units * (share + 1) // shares
            begin_window(vbroadcast(_ZERO, w), n, state, s_prev, s, strip, units, first, end, key, rate)
        for micro in range(steps * depth):
            step = micro // depth
            level = micro - step * depth
            first_level = level == 0
            last_level = level == depth - 1
            last = micro == steps * depth - 1
            starts, columns, values, bias = indptr[level], indices[level], data[level], biases[level]
            for task in prange(strips * shares):
                strip, share, first, end = task_share(starts, units, GATES // g, task, shares)
                gate_base, before, after, y_base = micro_places(
                    micro, depth, n, w, panels, units, strips, strip
                )
                old, new = state_places(micro, strips, strip, size)
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
                    if g == 1:
                        sums = (
                            row_product_split(sums[0], j, starts, columns, values, s, old, units),
                            row_product_split(sums[1], j + units, starts, columns, values, s, old, units),
                        )
                    else:
                        sums = group_product(
                            sums, zero, sets, j, starts, columns, values, GATES, s, old, units
                        )
                    h = vtanh(sums[0])
                    t = vsigmoid(sums[1])
                    gstore(gates, row, units * n, (h, t))

                    kept = vload(s_prev, before + j * n, w)
                    out = vfma(t, h - kept, kept)
                    if last_level:
                        vstore(y, y_base + j * n, out)
                    if last:
                        vstore_row(state, strip * size, j, units, out)
                    else:
                        vstore(s_prev, after + j * n, out)
                        if rate > _ZERO:
                            out = drop_lanes(out, key, (strip * units + j) * w, rate, scale)
                        vstore_row(s, new, j, units, out)

    return rhn_forward_kernel


@cache
def rhn_backward(w: int, n: int, g: int = 1):
    """Return the kernel that runs the recurrence of a window backward; see `rhn_forward`.

    For each micro-step from the last, ds being the gradient of the state after it::

        ds = carry + drop(R_next^T dgates_next)  [+ dy_t at the last depth]
        dgates = ds t (1 - h^2),  ds (h - s) t (1 - t)
        carry = ds (1 - t)

    where ``next`` is the micro-step after this one, whose gradients are there already.

    The kernel takes
    ``gates`` : float32 `[L, panels, 2H, n]`, activations, replaced by dgates;
    ``dy`` : float32 `[panels, H, n]`, gradient of the outputs;
    ``s_prev`` : float32 `[L, panels, H, n]`, as `rhn_forward` left it;
    ``back`` : float32, working space, what a micro-step hands to the one before it, lane-split: its dgates
    `[2, strips, 2H w]`, or with groups the gradient of the state that it read, a part for each share
    `[2, strips, shares, H w]`;
    ``carry`` : float32 `[strips, H w]` lane-split, working space;
    ``indptr, indices, data`` : for each depth R_l column by column (the transposed index), or with groups by
    rows, in tuples;
    ``key, rate`` : the same as forward; ``steps`` : int;
    ``shares`` : int, tasks a micro-step (see `backward_shares`).
    """

    @parallel_jit
    def rhn_backward_kernel(gates, dy, s_prev, back, carry, indptr, indices, data, key, rate, steps, shares):
        depth, panels = gates.shape[0], gates.shape[1]
        units = dy.shape[1]
        strips = carry.shape[0]
        size = units * w
        back_size = size * (GATES if g == 1 else shares)
        scale = _ONE / (_ONE - rate)
        for micro in range(steps * depth - 1, -1, -1):
            step = micro // depth
            level = micro - step * depth
            last_level = level == depth - 1
            last = micro == steps * depth - 1
            following = 0 if last_level else level + 1
            read = following if g == 1 else level  # what comes from there, or what goes there
            starts, columns, values = indptr[read], indices[read], data[read]
            for task in prange(strips * shares):
                strip, share, first, end = task_share(starts, units, 1, task, shares)
                gate_base, before, _, dy_base = micro_places(micro, depth, n, w, panels, units, strips, strip)
                now, later = state_places(micro, strips, strip, back_size)
                if g > 1 and micro > 0:
                    clear(back, now + share * size, size)
                for j in range(first, end):
                    ahead = min(j + _AHEAD, units - 1)
                    prefetch_gates(gates, gate_base + ahead * n, GATES, units * n, w)
                    prefetch_row(s_prev, before + ahead * n, w)
                    if last_level:
                        prefetch_row(dy, dy_base + ahead * n, w)

                    ds = vbroadcast(_ZERO, w)
                    if not last:
                        if g == 1:
                            ds = row_product_split(ds, j, starts, columns, values, back, later, GATES * units)
                        else:
                            for other in range(shares):
                                ds = ds + vload_row(back, later + other * size, j, units, ds)
                        if rate > _ZERO:
                            ds = drop_lanes(ds, key, (strip * units + j) * w, rate, scale)
                        ds = ds + vload_row(carry, strip * size, j, units, ds)
                    if last_level:
                        ds = ds + vload(dy, dy_base + j * n, w)
                    row = gate_base + j * n
                    h, t = gload(gates, row, units * n, GATES, w)
                    dgates, kept = gate_gradients(h, t, vload(s_prev, before + j * n, w), ds)
                    vstore_row(carry, strip * size, j, units, kept)
                    gstore(gates, row, units * n, dgates)
                    if g == 1:
                        vstore_row(back, now, j, GATES * units, dgates[0])
                        vstore_row(back, now, j + units, GATES * units, dgates[1])
                    elif micro > 0:
                        scatter_group(
                            back, now + share * size, units, dgates, j, starts, columns, values, GATES
                        )

    return rhn_backward_kernel
