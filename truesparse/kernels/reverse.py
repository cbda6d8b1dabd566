"""Sequences from their ends: the steps of each in the other order, within its own length."""

from __future__ import annotations

from functools import cache

import numpy as np

from truesparse.kernels.jit import parallel_jit, prange
from truesparse.kernels.layout import step_place


@cache
def reverse_steps(w: int, n: int):
    """Return the kernel ``y_t[first:] = x_{L - 1 - t}`` for the steps t of a sequence of L steps.

    ``y`` : float32 `[panels, at least first + features, n]`, receives them in the rows from ``first`` on;
    ``x`` : float32 `[panels, at least its_first + features, n]`, read from the row ``its_first`` on;
    ``features`` : int, how many rows;
    ``lengths`` : float32 `[strips, w]`, steps of each sequence. Steps beyond it stay where they are;
    ``steps`` : int, of the window; ``add`` : bool, whether the steps are added to those of ``y``.

    Layout: see `truesparse.kernels.layout`. Moves 8 bytes for each number, twelve where it adds.
    """

    @parallel_jit
    def reverse_steps_kernel(y, first, x, its_first, features, lengths, steps, add):
        strips, high, its_high = lengths.shape[0], y.shape[1], x.shape[1]
        to, source = y.reshape(-1), x.reshape(-1)
        for task in prange(strips * features):
            strip = task // features
            feature = task - strip * features
            for step in range(steps):
                place = step_place(step, high, n, w, strips, strip) + (first + feature) * n
                for lane in range(w):
                    other = np.intp(lengths[strip, lane]) - 1 - step
                    if other < 0:
                        other = step
                    value = source[
                        step_place(other, its_high, n, w, strips, strip) + (its_first + feature) * n + lane
                    ]
                    to[place + lane] = to[place + lane] + value if add else value

    return reverse_steps_kernel
