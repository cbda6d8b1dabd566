"""Gradients of penalties on activations."""

from __future__ import annotations

import numpy as np

from truesparse.kernels.jit import parallel_jit, prange

_ZERO = np.float32(0)


@parallel_jit
def add_penalties(dx, x, lengths, size, change):
    """Add gradients: of ``size / 2`` times the sum of squares, of ``change / 2`` times that of differences.

    Parameters
    ----------
    dx, x : ndarray of float32, shape (panels, features, lanes)
        Gradient, which is added to, and activations, in the layout of a window.
    lengths : ndarray of float32, shape (strips, step lanes)
        Steps of each sequence; what lies beyond has no gradient.
    size, change : float32
    """
    panels, features, lanes = x.shape
    strips, w = lengths.shape
    in_panel = lanes // w
    for task in prange(panels * features):
        panel = task // features
        i = task - panel * features
        strip = panel % strips
        first = panel // strips * in_panel
        for lane in range(lanes):
            place = lane // w
            step = first + place
            length = lengths[strip, lane - place * w]
            if step < length:
                here = x[panel, i, lane]
                slope = _ZERO
                if place > 0:
                    slope += here - x[panel, i, lane - w]
                elif step > 0:
                    slope += here - x[panel - strips, i, lane + lanes - w]
                if step + 1 < length:
                    last = place + 1 == in_panel
                    after = x[panel + strips, i, lane - lanes + w] if last else x[panel, i, lane + w]
                    slope += here - after
                dx[panel, i, lane] += size * here + change * slope
