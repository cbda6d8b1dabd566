"""Dropout by a counter: a mask is a function of key and place, drawn again in the backward pass."""

from __future__ import annotations

from functools import cache

import numpy as np

from truesparse.kernels.jit import inline_jit, jit, parallel_jit, prange
from truesparse.kernels.layout import sequence_number
from truesparse.simd import vbroadcast, vlike, vload, vselect_less, vstore, vsum, vuniform, vuniform_like

_CHUNK = 4096  # elements of one task
_ZERO = np.float32(0)
_ONE = np.float32(1)


@inline_jit
def drop_lanes(x, key, place, rate, scale):
    """Zero in each lane with probability `rate`, `scale` times `x` in the others; lane k has place + k."""
    return vselect_less(vuniform_like(key, place, x), vlike(rate, x), vlike(_ZERO, x), x * scale)


@parallel_jit
def dropout(x, key, rate):
    """Set each element to zero with probability `rate`, divide the others by 1 - `rate`.

    The same call on the gradient is the backward pass.

    Parameters
    ----------
    x : ndarray of float32, any shape with a multiple of 4 elements
        Modified in place.
    key : uint64
        Chooses the mask.
    rate : float32
        In [0, 1).
    """
    size = x.size
    for task in prange((size + _CHUNK - 1) // _CHUNK):
        scale = _ONE / (_ONE - rate)
        end = min(size, (task + 1) * _CHUNK)
        i = task * _CHUNK
        while i + 15 < end:
            vstore(x, i, drop_lanes(vload(x, i, 16), key, i, rate, scale))
            i += 16
        while i < end:
            vstore(x, i, drop_lanes(vload(x, i, 4), key, i, rate, scale))
            i += 4


@cache
def locked_dropout(w: int, n: int):
    """Return the kernel that drops the same elements at every step; `w` lanes a step, `n` lanes a panel.

    The kernel takes
    ``x`` : float32 `[panels, features, n]` in the layout of a window, modified in place;
    ``key`` : uint64, chooses the mask;
    ``rate, scale`` : float32, probability of zero, and what the other elements are multiplied by;
    ``strips`` : int, strips of the batch: panels p and p + strips hold the same sequences.

    The same call on the gradient is the backward pass. Lane k of feature i in strip b has the place
    ``(b * features + i) * w + k`` of the key's sequence.
    """

    @parallel_jit
    def locked_dropout_kernel(x, key, rate, scale, strips):
        panels, features = x.shape[0], x.shape[1]
        for task in prange(strips * features):
            strip = task // features
            feature = task - strip * features
            mask = drop_lanes(vbroadcast(_ONE, w), key, task * w, rate, scale)
            for panel in range(strip, panels, strips):
                row = (panel * features + feature) * n
                for lane in range(row, row + n, w):
                    vstore(x, lane, vload(x, lane, w) * mask)

    return locked_dropout_kernel


@jit
def drop_words(ids, key, rate, vocabulary, strips, step_lanes):
    """Replace words by -1 with probability `rate`, all occurrences of a word in a sequence alike.

    Parameters
    ----------
    ids : ndarray of int32, shape (panels, lanes)
        Modified in place; -1 stays.
    key : uint64
        Chooses the words.
    rate : float32
    vocabulary : int
        Above every id.
    strips, step_lanes : int
        Layout of the window, as in `locked_dropout`.
    """
    panels, lanes = ids.shape
    for panel in range(panels):
        for lane in range(lanes):
            word = ids[panel, lane]
            if word >= 0:
                sequence = sequence_number(panel, lane, step_lanes, strips)
                if vsum(vuniform(key, sequence * vocabulary + word, 1)) < rate:
                    ids[panel, lane] = -1
