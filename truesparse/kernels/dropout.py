"""Dropout on panels, by a counter: the mask is a function of key and place, drawn again in the backward
pass."""

from __future__ import annotations

import numpy as np

from truesparse.kernels.jit import parallel_jit, prange
from truesparse.simd import vbroadcast, vlike, vload, vselect_less, vstore, vuniform

_CHUNK = 4096  # elements of one task
_ZERO = np.float32(0)


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
        scale = np.float32(1) / (np.float32(1) - rate)
        end = min(size, (task + 1) * _CHUNK)
        i = task * _CHUNK
        while i + 15 < end:
            lanes = vload(x, i, 16)
            vstore(
                x,
                i,
                vselect_less(vuniform(key, i, 16), vlike(rate, lanes), vbroadcast(_ZERO, 16), lanes * scale),
            )
            i += 16
        while i < end:
            quad = vload(x, i, 4)
            vstore(
                x, i, vselect_less(vuniform(key, i, 4), vlike(rate, quad), vbroadcast(_ZERO, 4), quad * scale)
            )
            i += 4
