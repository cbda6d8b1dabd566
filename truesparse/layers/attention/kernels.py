"""Scaled dot-product attention of panels, and its gradient.

The batch is the SIMD axis here too: a task takes one head of a few sequences side by side, copies its
queries, keys and values to a scratch of its own, where an element is a vector of `c` lanes, and makes
products of such matrices. Scores exist for the tasks that run, never for a batch.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from truesparse.kernels.jit import jit, parallel_jit, prange
from truesparse.kernels.layout import step_place
from truesparse.simd import (
    gbroadcast,
    gfma_each,
    gload,
    gstore,
    has_avx512,
    vbroadcast,
    vexp,
    vfma,
    vlike,
    vload,
    vmax,
    vselect_less,
    vstore,
)

_ZERO = np.float32(0)
_ONE = np.float32(1)
_NEVER = np.float32(-1e30)  # the score of a step that a sequence does not have

# Of a block of a product that stays in registers: 16 of 32, or 8 of 16.
ROWS, COLUMNS = 4, 4 if has_avx512() else 2


def lanes_at_once(w: int) -> int:
    """How many sequences of a strip of `w` lanes a task takes: a vector register's, if they divide it."""
    widest = 16 if has_avx512() else 8
    return next(c for c in (widest, 8, 4) if w % c == 0)


def padded(steps: int, size: int) -> tuple[int, int]:
    """Steps and features of a head, filled up to whole blocks."""
    return -(-steps // ROWS) * ROWS, -(-size // COLUMNS) * COLUMNS


def scratch_size(steps: int, size: int, c: int) -> int:
    """Numbers that a task needs for its backward pass: two of scores, four of features and a result."""
    rows, columns = padded(steps, size)
    return (2 * rows * rows + 5 * rows * columns) * c


@cache
def _pieces(c: int):
    """What the two kernels consist of, for `c` lanes. All offsets are those of `s`, the scratch."""

    @jit
    def product(s, out, out_i, out_j, a, a_i, a_k, b, b_k, b_j, rows, columns, depth, scale):
        """``out[i, j] = scale sum over k of a[i, k] b[k, j]``, with whole blocks of rows and columns."""
        zero, factor = gbroadcast(_ZERO, COLUMNS, c), vbroadcast(scale, c)
        for i in range(0, rows, ROWS):
            for j in range(0, columns, COLUMNS):
                r0 = r1 = r2 = r3 = zero
                left, right = a + i * a_i, b + j * b_j
                for _ in range(depth):
                    y = gload(s, right, b_j, COLUMNS, c)
                    r0 = gfma_each(r0, vload(s, left, c), y)
                    r1 = gfma_each(r1, vload(s, left + a_i, c), y)
                    r2 = gfma_each(r2, vload(s, left + 2 * a_i, c), y)
                    r3 = gfma_each(r3, vload(s, left + 3 * a_i, c), y)
                    left += a_k
                    right += b_k
                place = out + i * out_i + j * out_j
                gstore(s, place, out_j, gfma_each(zero, factor, r0))
                gstore(s, place + out_i, out_j, gfma_each(zero, factor, r1))
                gstore(s, place + 2 * out_i, out_j, gfma_each(zero, factor, r2))
                gstore(s, place + 3 * out_i, out_j, gfma_each(zero, factor, r3))

    @jit
    def softmax(s, scores, lengths, sequence, rows):
        """Probabilities in the place of scores; 0 for steps that a sequence does not have."""
        length = vload(lengths, sequence, c)
        for t in range(rows):
            row = scores + t * rows * c
            largest = vbroadcast(_NEVER, c)
            for u in range(rows):
                score = vselect_less(vlike(np.float32(u), length), length, vload(s, row + u * c, c), largest)
                largest = vmax(largest, score)
            total = vbroadcast(_ZERO, c)
            for u in range(rows):
                share = vexp(vload(s, row + u * c, c) - largest)
                share = vselect_less(vlike(np.float32(u), length), length, share, vlike(_ZERO, length))
                vstore(s, row + u * c, share)
                total = total + share
            # a place that holds no sequence has no steps: nothing is divided by 0 there
            inverse = vlike(_ONE, total) / vselect_less(vlike(_ZERO, total), total, total, vlike(_ONE, total))
            for u in range(rows):
                vstore(s, row + u * c, vload(s, row + u * c, c) * inverse)

    @jit
    def softmax_gradient(s, gradient, shares, rows):
        """The gradient of the scores in the place of that of their probabilities."""
        for t in range(rows):
            row, own = gradient + t * rows * c, shares + t * rows * c
            mean = vbroadcast(_ZERO, c)
            for u in range(rows):
                mean = vfma(vload(s, row + u * c, c), vload(s, own + u * c, c), mean)
            for u in range(rows):
                change = (vload(s, row + u * c, c) - mean) * vload(s, own + u * c, c)
                vstore(s, row + u * c, change)

    @jit
    def load(s, to, x, first, size, n, w, strips, strip, lane, steps, rows, columns):
        """Copy a head's features of the steps to the scratch, and zeros where it is longer."""
        for t in range(rows):
            place = step_place(t, x.shape[1], n, w, strips, strip) + first * n + lane
            for j in range(columns):
                inside = t < steps and j < size
                value = vload(x, place + j * n, c) if inside else vbroadcast(_ZERO, c)
                vstore(s, to + (t * columns + j) * c, value)

    @jit
    def store(y, first, s, source, size, n, w, strips, strip, lane, steps, columns):
        """Copy a head's features of the steps back."""
        for t in range(steps):
            place = step_place(t, y.shape[1], n, w, strips, strip) + first * n + lane
            for j in range(size):
                vstore(y, place + j * n, vload(s, source + (t * columns + j) * c, c))

    return product, softmax, softmax_gradient, load, store


@cache
def attend(c: int):
    """Return the kernel ``y = softmax(q k^T / sqrt(size)) v`` of each head of each sequence.

    The kernel takes ``y`` : float32 `[panels, D, n]`, overwritten; ``given`` : float32 `[panels, 3 D, n]`,
    queries, keys and values; ``lengths`` : float32 `[strips, w]`, steps of each sequence; ``steps``,
    ``heads`` : int; ``s`` : float32 `[workers, scratch_size]`.
    """
    product, softmax, _, load, store = _pieces(c)

    @parallel_jit
    def attend_kernel(y, given, lengths, steps, heads, s):
        strips, w = lengths.shape
        features, n, workers = y.shape[1], y.shape[2], s.shape[0]
        size, pieces = features // heads, w // c
        rows, columns = -(-steps // ROWS) * ROWS, -(-size // COLUMNS) * COLUMNS
        scale = _ONE / np.sqrt(np.float32(size))
        across, step = rows * c, columns * c
        tasks = strips * heads * pieces
        for worker in prange(workers):
            scores = worker * s.shape[1]
            q = scores + 2 * rows * rows * c
            k, v, out = q + rows * step, q + 2 * rows * step, q + 4 * rows * step
            for task in range(worker, tasks, workers):
                strip, head, lane = task // (heads * pieces), task // pieces % heads, task % pieces * c
                first = head * size
                load(s, q, given, first, size, n, w, strips, strip, lane, steps, rows, columns)
                load(s, k, given, features + first, size, n, w, strips, strip, lane, steps, rows, columns)
                load(s, v, given, 2 * features + first, size, n, w, strips, strip, lane, steps, rows, columns)
                product(s, scores, across, c, q, step, c, k, c, step, rows, rows, size, scale)
                softmax(s, scores, lengths, strip * w + lane, rows)
                product(s, out, step, c, scores, across, c, v, step, c, rows, columns, steps, _ONE)
                store(y, first, s, out, size, n, w, strips, strip, lane, steps, columns)

    return attend_kernel


@cache
def attend_backward(c: int):
    """Return the kernel that writes the gradients of queries, keys and values in their place.

    The kernel takes ``given`` : as in `attend`, overwritten; ``dy`` : float32 `[panels, D, n]`; the rest as
    in `attend`. Probabilities are computed again.
    """
    product, softmax, softmax_gradient, load, store = _pieces(c)

    @parallel_jit
    def attend_backward_kernel(given, dy, lengths, steps, heads, s):
        strips, w = lengths.shape
        features, n, workers = dy.shape[1], dy.shape[2], s.shape[0]
        size, pieces = features // heads, w // c
        rows, columns = -(-steps // ROWS) * ROWS, -(-size // COLUMNS) * COLUMNS
        scale = _ONE / np.sqrt(np.float32(size))
        across, step = rows * c, columns * c
        tasks = strips * heads * pieces
        for worker in prange(workers):
            scores = worker * s.shape[1]
            change, q = scores + rows * across, scores + 2 * rows * across
            k, v, d, out = q + rows * step, q + 2 * rows * step, q + 3 * rows * step, q + 4 * rows * step
            for task in range(worker, tasks, workers):
                strip, head, lane = task // (heads * pieces), task // pieces % heads, task % pieces * c
                first = head * size
                load(s, q, given, first, size, n, w, strips, strip, lane, steps, rows, columns)
                load(s, k, given, features + first, size, n, w, strips, strip, lane, steps, rows, columns)
                load(s, v, given, 2 * features + first, size, n, w, strips, strip, lane, steps, rows, columns)
                load(s, d, dy, first, size, n, w, strips, strip, lane, steps, rows, columns)
                product(s, scores, across, c, q, step, c, k, c, step, rows, rows, size, scale)
                softmax(s, scores, lengths, strip * w + lane, rows)
                product(s, out, step, c, scores, c, across, d, step, c, rows, columns, steps, _ONE)
                store(given, 2 * features + first, s, out, size, n, w, strips, strip, lane, steps, columns)
                product(s, change, across, c, d, step, c, v, c, step, rows, rows, size, _ONE)
                softmax_gradient(s, change, scores, rows)
                product(s, out, step, c, change, across, c, k, step, c, rows, columns, steps, scale)
                store(given, first, s, out, size, n, w, strips, strip, lane, steps, columns)
                product(s, out, step, c, change, c, across, q, step, c, rows, columns, steps, scale)
                store(given, features + first, s, out, size, n, w, strips, strip, lane, steps, columns)

    return attend_backward_kernel
