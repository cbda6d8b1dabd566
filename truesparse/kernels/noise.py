"""Noise on the weights, by a counter: a function of keys and place, whatever the number of threads."""

from __future__ import annotations

import numpy as np

from truesparse.kernels.jit import parallel_jit, prange
from truesparse.simd import vlike, vload, vstore, vuniform

_CHUNK = 8192  # elements of one task
_TWO = np.float32(2)
_ROOT_OF_3 = np.float32(3**0.5)  # 1 / standard deviation of the sum of four uniform numbers


@parallel_jit
def signed_noise(values, signs, keys, penalty, noise):
    """Draw each weight towards 0 and shake it: ``values = values - penalty sign + noise sign z``.

    Parameters
    ----------
    values : ndarray of float32, shape (size,), size a multiple of 16
        Modified in place.
    signs : ndarray of float32, shape (size,)
        -1 or 1; where it is 0, as for biases, nothing happens.
    keys : ndarray of uint64, shape (4,)
        Choose the noise.
    penalty, noise : float32

    Notes
    -----
    z has mean 0 and variance 1; it is the scaled sum of four uniform numbers, within 3.5 of 0 and close to
    normal.
    """
    size = values.size
    for task in prange((size + _CHUNK - 1) // _CHUNK):
        for i in range(task * _CHUNK, min(size, (task + 1) * _CHUNK), 16):
            z = vuniform(keys[0], i, 16) + vuniform(keys[1], i, 16)
            z = z + vuniform(keys[2], i, 16) + vuniform(keys[3], i, 16)
            z = (z - vlike(_TWO, z)) * _ROOT_OF_3
            vstore(values, i, vload(values, i, 16) + vload(signs, i, 16) * (z * noise - vlike(penalty, z)))
