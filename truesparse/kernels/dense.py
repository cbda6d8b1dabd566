"""Gradients at all positions of some rows of a matrix, for methods that grow weights where these are large.

Each entry is summed by one thread in a fixed order: the results do not depend on the number of threads.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from truesparse.kernels.jit import inline_jit, parallel_jit, prange
from truesparse.simd import at, vbroadcast, vexp, vfma, vload, vload_like, vstore, vsum, vsum8

_ZERO = np.float32(0)


@cache
def product_rows(n: int):
    """Return the kernel ``out[i, j] = sum over panels and lanes of dy[p, first + i] x[p, j]``.

    Panels have `n` lanes.

    The kernel takes
    ``out`` : float32 `[some rows, columns]`, overwritten;
    ``dy`` : float32 `[panels, rows, n]`;
    ``first`` : int, the row of ``dy`` that row 0 of ``out`` belongs to;
    ``x`` : float32 `[panels, columns, n]`.

    Notes
    -----
    2 n floating-point operations an entry and panel. The eight columns of a task stay in the L1 cache for all
    rows; sums are kept in registers over all panels and folded once.
    """
    w = next(width for width in (16, 8, 4) if n % width == 0)

    @inline_jit
    def one(dy, x, row, column):
        panels, rows, columns = dy.shape[0], dy.shape[1], x.shape[1]
        total = vbroadcast(_ZERO, w)
        for panel in range(panels):
            g = (panel * rows + row) * n
            k = (panel * columns + column) * n
            for lane in range(0, n, w):
                total = vfma(vload(dy, g + lane, w), vload(x, k + lane, w), total)
        return vsum(total)

    if w < 16:

        @parallel_jit
        def product_rows_kernel(out, dy, first, x):
            for column in prange(x.shape[1]):
                for i in range(out.shape[0]):
                    out[np.uintp(i), np.uintp(column)] = one(dy, x, first + i, column)

        return product_rows_kernel

    @parallel_jit
    def product_rows_by_eight_kernel(out, dy, first, x):
        panels, rows, columns = dy.shape[0], dy.shape[1], x.shape[1]
        for task in prange((columns + 7) // 8):
            column = task * 8
            if column + 8 > columns:
                for j in range(column, columns):
                    for i in range(out.shape[0]):
                        out[np.uintp(i), np.uintp(j)] = one(dy, x, first + i, j)
            else:
                for i in range(out.shape[0]):
                    a = b = c = d = e = f = o = h = vbroadcast(_ZERO, 16)
                    for panel in range(panels):
                        row = (panel * rows + first + i) * n
                        k = (panel * columns + column) * n
                        for lane in range(0, n, 16):
                            g = vload(dy, row + lane, 16)
                            a = vfma(g, vload_like(x, k + lane, g), a)
                            b = vfma(g, vload_like(x, k + n + lane, g), b)
                            c = vfma(g, vload_like(x, k + 2 * n + lane, g), c)
                            d = vfma(g, vload_like(x, k + 3 * n + lane, g), d)
                            e = vfma(g, vload_like(x, k + 4 * n + lane, g), e)
                            f = vfma(g, vload_like(x, k + 5 * n + lane, g), f)
                            o = vfma(g, vload_like(x, k + 6 * n + lane, g), o)
                            h = vfma(g, vload_like(x, k + 7 * n + lane, g), h)
                    vstore(out, i * columns + column, vsum8(a, b, c, d, e, f, o, h))

    return product_rows_by_eight_kernel


@cache
def lookup_rows(n: int):
    """Return the kernel ``out[ids[p, lane] - first] += dx[p, :, lane]`` for panels of `n` lanes.

    The kernel takes
    ``out`` : float32 `[some rows, columns]`, added to in place;
    ``ids`` : int32 `[panels, n]`; only those from ``first`` to ``first + len(out)`` count;
    ``first`` : int;
    ``dx`` : float32 `[panels, columns, n]`.
    """

    @parallel_jit
    def lookup_rows_kernel(out, ids, first, dx):
        panels, columns = dx.shape[0], dx.shape[1]
        parts = (columns + 63) // 64
        for part in prange(parts):
            for panel in range(panels):
                for lane in range(n):
                    row = np.intp(ids[panel, lane]) - first
                    if 0 <= row < out.shape[0]:
                        for j in range(part * 64, min(columns, part * 64 + 64)):
                            out[np.uintp(row), np.uintp(j)] += at(dx, (panel * columns + j) * n + lane)

    return lookup_rows_kernel


@cache
def softmax_rows(n: int):
    """Return the kernel that turns the logits of some words into their gradients, for panels of `n` lanes.

    The kernel takes
    ``logits`` : float32 `[panels, some words, n]`; overwritten with ``weight * scale * (softmax -
    onehot(target))``;
    ``first`` : int, the first of the words;
    ``targets`` : int32 `[panels, n]`;
    ``weights`` : float32 `[panels, n]`, how much each lane counts;
    ``normaliser`` : float32 `[panels, 2, n]`: the highest logit of all words, and ``weight * scale`` divided
    by the sum of all words' ``exp(logit - highest)``, 0 for an unused lane;
    ``scale`` : float32, what the sum of the losses is multiplied by for a mean.
    """

    @parallel_jit
    def softmax_rows_kernel(logits, first, targets, weights, normaliser, scale):
        panels, words = logits.shape[0], logits.shape[1]
        for panel in prange(panels):
            shift = vload(normaliser, 2 * panel * n, n)
            factor = vload(normaliser, (2 * panel + 1) * n, n)
            for i in range(words):
                place = (panel * words + i) * n
                vstore(logits, place, vexp(vload(logits, place, n) - shift) * factor)
            for lane in range(n):
                word = np.intp(targets[panel, lane]) - first
                if targets[panel, lane] >= 0 and 0 <= word < words:
                    logits[panel, np.uintp(word), np.uintp(lane)] -= scale * weights[panel, lane]

    return softmax_rows_kernel


@parallel_jit
def decay_and_add(mean, new, decay, share):
    """``mean = decay mean + share new``, element by element.

    Parameters
    ----------
    mean : ndarray of float32, shape (rows, columns)
        Modified in place.
    new : ndarray of float32, shape (rows, columns)
    decay, share : float32
    """
    rows, columns = mean.shape
    for i in prange(rows):
        for j in range(columns):
            mean[i, j] = decay * mean[i, j] + share * new[i, j]
