"""Flat kernels over the arena: its sizes are multiples of 16 elements, so that no loop has a tail."""

from __future__ import annotations

import numpy as np

from truesparse.kernels.jit import parallel_jit, prange
from truesparse.simd import vbroadcast, vfma, vlike, vload, vstore, vsum

_CHUNK = 8192  # elements of one task
NORM_CHUNKS = 256  # a fixed number, so that the sum does not depend on the number of threads


@parallel_jit
def squared_norm(values, partial):
    """Return the sum of squares of a flat float32 array, as float64.

    Parameters
    ----------
    values : ndarray of float32, shape (size,), size a multiple of 16
    partial : ndarray of float64, shape (NORM_CHUNKS,)
        Working space.
    """
    vectors = values.size // 16
    for chunk in prange(NORM_CHUNKS):
        total = vbroadcast(np.float32(0), 16)
        second = vbroadcast(np.float32(0), 16)
        first = vectors * chunk // NORM_CHUNKS
        last = vectors * (chunk + 1) // NORM_CHUNKS
        k = first
        while k + 1 < last:
            x = vload(values, k * 16, 16)
            total = vfma(x, x, total)
            x = vload(values, k * 16 + 16, 16)
            second = vfma(x, x, second)
            k += 2
        if k < last:
            x = vload(values, k * 16, 16)
            total = vfma(x, x, total)
        partial[chunk] = vsum(total + second)
    result = 0.0
    for chunk in range(NORM_CHUNKS):
        result += partial[chunk]
    return result


@parallel_jit
def sgd_momentum(values, momentum, grads, lr, mu, decay, scale):
    """Take one step of stochastic gradient descent with momentum.

    ::

        u = mu u + scale grads + decay values
        values = values - lr u

    Parameters
    ----------
    values, momentum : ndarray of float32, shape (size,), size a multiple of 16
        Modified in place.
    grads : ndarray of float32, shape (size,)
    lr, mu, decay, scale : float32

    Notes
    -----
    20 bytes of memory traffic an element, which is its roof.
    """
    size = values.size
    for task in prange((size + _CHUNK - 1) // _CHUNK):
        for i in range(task * _CHUNK, min(size, (task + 1) * _CHUNK), 16):
            value = vload(values, i, 16)
            u = vfma(vlike(scale, value), vload(grads, i, 16), vlike(decay, value) * value)
            u = vfma(vlike(mu, value), vload(momentum, i, 16), u)
            vstore(momentum, i, u)
            vstore(values, i, vfma(vlike(-lr, value), u, value))


@parallel_jit
def sgd(values, grads, lr, decay, scale):
    """Take one step of plain stochastic gradient descent: ``values -= lr (scale grads + decay values)``; see
    `sgd_momentum`."""
    size = values.size
    for task in prange((size + _CHUNK - 1) // _CHUNK):
        for i in range(task * _CHUNK, min(size, (task + 1) * _CHUNK), 16):
            value = vload(values, i, 16)
            u = vfma(vlike(scale, value), vload(grads, i, 16), vlike(decay, value) * value)
            vstore(values, i, vfma(vlike(-lr, value), u, value))
