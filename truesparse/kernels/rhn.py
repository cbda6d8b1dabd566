"""The recurrence of a recurrent highway layer over a window, forward and backward.

Letters: T time steps, B batch, H hidden units, L recurrence depth. A time step is L *micro-steps*, each of
which has matrices of its own; their blocks are h (candidate) and t (transform gate). One parallel region a
micro-step: a thread takes whole units (their two rows of R), so that a unit's candidate and gate stay in
registers until the new state.

Layout: see `truesparse.kernels.lstm`; arrays over depth have it as their first axis.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from truesparse.kernels.dropout import drop_lanes
from truesparse.kernels.jit import inline_jit, parallel_jit, prange
from truesparse.kernels.rows import prefetch_gates, prefetch_row, row_product_blocked, share_start
from truesparse.simd import (
    at,
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
def begin_window(lanes, n, state, s_prev, s, block, units, first, end, key, rate):
    """Put the state that units `first` to `end` of a block start with where the first micro-step reads it;
    `lanes` is any vector of the lanes of a step."""
    w = state.shape[1] // units
    for j in range(first, end):
        start = vload_row(state, block * units * w, j, units, lanes)
        vstore(s_prev, (block * units + j) * n, start)
        if rate > _ZERO:
            start = drop_lanes(start, key, (block * units + j) * w, rate, _ONE / (_ONE - rate))
        vstore_row(s, block * units * w, j, units, start)


@inline_jit
def micro_places(micro, depth, n, w, panels, units, blocks, block):
    """Where, in panels, a micro-step has its gates, the state before it, the state after it, and the row of
    its time step in y."""
    step = micro // depth
    level = micro - step * depth
    steps_per_panel = n // w
    group = step // steps_per_panel
    lane = (step - group * steps_per_panel) * w
    panel = group * blocks + block
    before = (level * panels + panel) * units * n + lane
    after = before + panels * units * n
    if level == depth - 1:
        group = (step + 1) // steps_per_panel
        lane_after = (step + 1 - group * steps_per_panel) * w
        after = (group * blocks + block) * units * n + lane_after
    return (before - lane) * GATES + lane, before, after, panel * units * n + lane


@inline_jit
def gate_gradients(h, t, s, ds):
    """The gradients of a unit's two pre-activations, and of what it carries on; see `rhn_backward`."""
    dh = ds * t * (_ONE - h * h)
    dt = ds * (h - s) * t * (_ONE - t)
    return dh, dt, ds * (_ONE - t)


@cache
def rhn_forward(w: int, n: int):
    """Return the kernel that runs the recurrence of a window; `w` lanes a step, `n` lanes a panel.

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
    ``state`` : float32 `[blocks, H w]` lane-blocked, carried on in place;
    ``s`` : float32 `[2, blocks, H w]` lane-blocked, working space: the state with dropout before and after a
    micro-step;
    ``indptr, indices, data`` : for each depth the CSR arrays of R_l `[2H, H]`, in tuples;
    ``biases`` : for each depth b_l, float32 `[2H]`, in a tuple; b_0 is not used;
    ``key, rate`` : uint64 and float32, dropout mask and its rate, 0 for none; places as in `locked_dropout`;
    ``steps`` : int; ``shares`` : int, tasks a micro-step (the number of threads).

    References
    ----------
    Zilly, Srivastava, Koutník & Schmidhuber, "Recurrent highway networks", 2017, section 4, with the carry
    gate 1 - t; the masks: Gal & Ghahramani, "A theoretically grounded application of dropout in recurrent
    neural networks", 2016.
    """

    @parallel_jit
    def rhn_forward_kernel(
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
                first = share_start(starts, units, 2, share, shares)
                end = share_start(starts, units, 2, share + 1, shares)
                for j in range(first, end):
                    ahead = min(j + _AHEAD, units - 1)
                    prefetch_gates(gates, gate_base + ahead * n, GATES, units * n, w)
                    prefetch_row(s_prev, before + ahead * n, w)
                    if not last:
                        prefetch_row(s_prev, after + ahead * n, w)
                    if last_level:
                        prefetch_row(y, y_base + ahead * n, w)

                    row = gate_base + j * n
                    a = vload(gates, row, w) if first_level else vbroadcast(at(bias, j), w)
                    a = row_product_blocked(
                        a, at(starts, j), at(starts, j + 1), columns, values, s, old, units
                    )
                    h = vtanh(a)
                    vstore(gates, row, h)
                    row += units * n
                    r = j + units
                    a = vload(gates, row, w) if first_level else vbroadcast(at(bias, r), w)
                    a = row_product_blocked(
                        a, at(starts, r), at(starts, r + 1), columns, values, s, old, units
                    )
                    t = vsigmoid(a)
                    vstore(gates, row, t)

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

    return rhn_forward_kernel


@cache
def rhn_backward(w: int, n: int):
    """Return the kernel that runs the recurrence of a window backward; see `rhn_forward` for the layout.

    For each micro-step from the last, ds being the gradient of the state after it::

        ds = carry + drop(R_next^T dgates_next)  [+ dy_t at the last depth]
        dgates = ds t (1 - h^2),  ds (h - s) t (1 - t)
        carry = ds (1 - t)

    where ``next`` is the micro-step after this one, whose gradients are there already.

    The kernel takes
    ``gates`` : float32 `[L, panels, 2H, n]`, activations, replaced by dgates;
    ``dy`` : float32 `[panels, H, n]`, gradient of the outputs;
    ``s_prev`` : float32 `[L, panels, H, n]`, as `rhn_forward` left it;
    ``dgates`` : float32 `[2, blocks, 2H w]` lane-blocked, working space;
    ``carry`` : float32 `[blocks, H w]` lane-blocked, working space;
    ``indptr, indices, data`` : for each depth R_l column by column (the transposed index), in tuples;
    ``key, rate`` : the same as forward; ``steps`` : int; ``shares`` : int, tasks a micro-step.
    """

    @parallel_jit
    def rhn_backward_kernel(
        gates, dy, s_prev, dgates, carry, indptr, indices, data, key, rate, steps, shares
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
            following = 0 if last_level else level + 1
            starts, rows, values = indptr[following], indices[following], data[following]
            for task in prange(blocks * shares):
                block = task // shares
                share = task - block * shares
                gate_base, before, _, dy_base = micro_places(micro, depth, n, w, panels, units, blocks, block)
                later = ((1 - (micro & 1)) * blocks + block) * 2 * size
                now = ((micro & 1) * blocks + block) * 2 * size
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
                        ds = row_product_blocked(
                            ds,
                            at(starts, j),
                            at(starts, j + 1),
                            rows,
                            values,
                            dgates,
                            later,
                            2 * units,
                        )
                        if rate > _ZERO:
                            ds = drop_lanes(ds, key, (block * units + j) * w, rate, scale)
                        ds = ds + vload_row(carry, block * size, j, units, ds)
                    if last_level:
                        ds = ds + vload(dy, dy_base + j * n, w)
                    row = gate_base + j * n
                    h = vload(gates, row, w)
                    t = vload(gates, row + units * n, w)
                    dh, dt, kept = gate_gradients(h, t, vload(s_prev, before + j * n, w), ds)
                    vstore_row(carry, block * size, j, units, kept)
                    vstore(gates, row, dh)
                    vstore(gates, row + units * n, dt)
                    vstore_row(dgates, now, j, 2 * units, dh)
                    vstore_row(dgates, now, j + units, 2 * units, dt)

    return rhn_backward_kernel
