"""From the outputs of all steps to one vector a sequence: the last, the mean or the maximum, and back.

Layout: see `truesparse.kernels.layout`; `w` lanes a step, panels of `n` lanes. The steps of a sequence beyond
its length have no influence, and their gradient is zero; so a backward pass that comes from here finds zeros
until it reaches the last step of a sequence, and recurrent kernels need to know nothing of lengths.

All kernels take
``out``, ``dout`` : float32 `[strips, features, w]`, the pooled vectors and their gradient;
``y``, ``dy`` : float32 `[panels, features, n]`, outputs of all steps and their gradient, overwritten;
``lengths`` : float32 `[strips, w]`, steps of each sequence, at most ``steps``; 0 pools to a vector of zeros;
``steps`` : int.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from truesparse.kernels.jit import inline_jit, parallel_jit, prange
from truesparse.kernels.layout import step_place
from truesparse.simd import vbroadcast, vload, vselect_less, vstore

_ZERO = np.float32(0)
_HALF = np.float32(0.5)
_ONE = np.float32(1)
_LOWEST = np.float32(-3e38)


@inline_jit
def _place(step, task, strips, features, w, n):
    """Where a step's lanes of the feature and strip of a task begin in the panels."""
    strip = task // features
    feature = task - strip * features
    return step_place(step, features, n, w, strips, strip) + feature * n


@cache
def last_forward(w: int, n: int):
    """Return the kernel ``out[:, s] = y_t[:, s]`` at the last step t of each sequence s.

    It takes ``backward`` too, int, after ``steps``: of so many features, the last ones, the first step is
    taken, which is the last one of what reads from the end.
    """

    @parallel_jit
    def last_forward_kernel(out, y, lengths, steps, backward):
        strips, features = out.shape[0], out.shape[1]
        flat = y.reshape(-1)
        for task in prange(strips * features):
            strip = task // features
            feature = task - strip * features
            for lane in range(w):
                last = np.intp(lengths[strip, lane]) - 1
                if feature >= features - backward:
                    last = min(last, 0)
                value = _ZERO
                if last >= 0:
                    value = flat[_place(last, task, strips, features, w, n) + lane]
                out[strip, feature, lane] = value

    return last_forward_kernel


@cache
def last_backward(w: int, n: int):
    """Return the kernel ``dy_t[:, s] = dout[:, s]`` at the last step t of each sequence s, else 0; takes
    ``backward`` as `last_forward`."""

    @parallel_jit
    def last_backward_kernel(dy, dout, lengths, steps, backward):
        strips, features = dout.shape[0], dout.shape[1]
        flat = dy.reshape(-1)
        for task in prange(strips * features):
            strip = task // features
            feature = task - strip * features
            for step in range(steps):
                vstore(dy, _place(step, task, strips, features, w, n), vbroadcast(_ZERO, w))
            for lane in range(w):
                last = np.intp(lengths[strip, lane]) - 1
                if feature >= features - backward:
                    last = min(last, 0)
                if last >= 0:
                    place = _place(last, task, strips, features, w, n) + lane
                    flat[place] = dout[strip, feature, lane]

    return last_backward_kernel


@cache
def mean_forward(w: int, n: int):
    """Return the kernel ``out = sum_t y_t / length`` over the steps of each sequence."""

    @parallel_jit
    def mean_forward_kernel(out, y, lengths, steps):
        strips, features = out.shape[0], out.shape[1]
        for task in prange(strips * features):
            zero = vbroadcast(_ZERO, w)
            length = vload(lengths, task // features * w, w)
            total = zero
            for step in range(steps):
                row = vload(y, _place(step, task, strips, features, w, n), w)
                total = total + vselect_less(vbroadcast(np.float32(step), w), length, row, zero)
            mean = vselect_less(length, vbroadcast(_HALF, w), zero, total / length)
            vstore(out, task * w, mean)

    return mean_forward_kernel


@cache
def mean_backward(w: int, n: int):
    """Return the kernel ``dy_t = dout / length`` at the steps of each sequence, else 0."""

    @parallel_jit
    def mean_backward_kernel(dy, dout, lengths, steps):
        strips, features = dout.shape[0], dout.shape[1]
        for task in prange(strips * features):
            zero = vbroadcast(_ZERO, w)
            length = vload(lengths, task // features * w, w)
            share = vload(dout, task * w, w) / length
            for step in range(steps):
                row = vselect_less(vbroadcast(np.float32(step), w), length, share, zero)
                vstore(dy, _place(step, task, strips, features, w, n), row)

    return mean_backward_kernel


@cache
def max_forward(w: int, n: int):
    """Return the kernel ``out = max_t y_t`` over the steps of each sequence.

    It takes ``best`` too, float32 `[strips, features, w]`, after ``out``: receives the step of each maximum,
    the first one of equals, and -1 without steps.
    """

    @parallel_jit
    def max_forward_kernel(out, best, y, lengths, steps):
        strips, features = out.shape[0], out.shape[1]
        for task in prange(strips * features):
            lowest = vbroadcast(_LOWEST, w)
            length = vload(lengths, task // features * w, w)
            highest = lowest
            where = vbroadcast(-_ONE, w)
            for step in range(steps):
                now = vbroadcast(np.float32(step), w)
                row = vload(y, _place(step, task, strips, features, w, n), w)
                row = vselect_less(now, length, row, lowest)
                where = vselect_less(highest, row, now, where)
                highest = vselect_less(highest, row, row, highest)
            vstore(best, task * w, where)
            vstore(out, task * w, vselect_less(where, vbroadcast(-_HALF, w), vbroadcast(_ZERO, w), highest))

    return max_forward_kernel


@cache
def max_backward(w: int, n: int):
    """Return the kernel ``dy_t = dout`` where `max_forward` found the maximum, else 0; takes ``best`` before
    ``lengths``."""

    @parallel_jit
    def max_backward_kernel(dy, dout, best, lengths, steps):
        strips, features = dout.shape[0], dout.shape[1]
        for task in prange(strips * features):
            zero = vbroadcast(_ZERO, w)
            where = vload(best, task * w, w)
            gradient = vload(dout, task * w, w)
            for step in range(steps):
                late = vselect_less(vbroadcast(np.float32(step) - _HALF, w), where, gradient, zero)
                row = vselect_less(where, vbroadcast(np.float32(step) + _HALF, w), late, zero)
                vstore(dy, _place(step, task, strips, features, w, n), row)

    return max_backward_kernel
