"""Flat kernels over the arena: its sizes are multiples of 16 elements, so that no loop has a tail."""

from __future__ import annotations

import numpy as np

from truesparse.kernels.jit import parallel_jit, prange
from truesparse.simd import vbroadcast, vexp, vfma, vlike, vload, vmin, vselect_less, vsqrt, vstore, vsum

_CHUNK = 8192  # elements of one task
_ONE = np.float32(1)
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


@parallel_jit
def adam(values, first, second, grads, lr, rate, root, beta1, beta2, epsilon, decay, shrink, scale):
    """Take one step of Adam.

    ::

        g = scale grads + decay values
        m = beta1 m + (1 - beta1) g
        v = beta2 v + (1 - beta2) g²
        values = values - shrink lr values - rate m / (root sqrt(v) + epsilon)

    Parameters
    ----------
    values, first, second : ndarray of float32, shape (size,), size a multiple of 16
        Weights and the moments m and v; modified in place.
    grads : ndarray of float32, shape (size,)
    lr, rate, root : float32
        The learning rate; the same divided by ``1 - beta1**t``; and ``1 / sqrt(1 - beta2**t)``.
    beta1, beta2, epsilon, decay, shrink, scale : float32

    Notes
    -----
    28 bytes of memory traffic an element, which is its roof.
    """
    size = values.size
    for task in prange((size + _CHUNK - 1) // _CHUNK):
        for i in range(task * _CHUNK, min(size, (task + 1) * _CHUNK), 16):
            value = vload(values, i, 16)
            g = vfma(vlike(scale, value), vload(grads, i, 16), vlike(decay, value) * value)
            m = vfma(vlike(beta1, value), vload(first, i, 16), g * (_ONE - beta1))
            v = vfma(vlike(beta2, value), vload(second, i, 16), g * g * (_ONE - beta2))
            vstore(first, i, m)
            vstore(second, i, v)
            kept = vfma(vlike(-shrink * lr, value), value, value)
            vstore(values, i, kept - m * rate / vfma(vlike(root, value), vsqrt(v), vlike(epsilon, value)))


@parallel_jit
def adam_by_age(
    values,
    first,
    second,
    ages,
    grads,
    lr,
    log_beta1,
    log_beta2,
    warmup,
    beta1,
    beta2,
    epsilon,
    decay,
    shrink,
    scale,
):
    """Take one step of Adam in which each weight counts its own steps, t.

    ::

        t = t + 1,  m and v as in `adam`
        values = values - shrink lr values
                 - lr min(1, t / warmup) m / (1 - beta1**t) / (sqrt(v / (1 - beta2**t)) + epsilon)

    Parameters
    ----------
    values, first, second, ages : ndarray of float32, shape (size,), size a multiple of 16
        Weights, moments and t, exact up to 2**24; modified in place.
    grads : ndarray of float32, shape (size,)
    lr, log_beta1, log_beta2 : float32
        The learning rate, and natural logarithms.
    warmup : float32
        Steps, at least 1.
    beta1, beta2, epsilon, decay, shrink, scale : float32

    Notes
    -----
    36 bytes of memory traffic an element. A power is an exponential, which costs less than that.
    """
    size = values.size
    for task in prange((size + _CHUNK - 1) // _CHUNK):
        for i in range(task * _CHUNK, min(size, (task + 1) * _CHUNK), 16):
            value = vload(values, i, 16)
            age = vload(ages, i, 16) + _ONE
            vstore(ages, i, age)
            g = vfma(vlike(scale, value), vload(grads, i, 16), vlike(decay, value) * value)
            m = vfma(vlike(beta1, value), vload(first, i, 16), g * (_ONE - beta1))
            v = vfma(vlike(beta2, value), vload(second, i, 16), g * g * (_ONE - beta2))
            vstore(first, i, m)
            vstore(second, i, v)
            kept = vfma(vlike(-shrink * lr, value), value, value)
            rate = vmin(age / warmup, vlike(_ONE, value)) * lr / (_ONE - vexp(age * log_beta1))
            root = vsqrt(v / (_ONE - vexp(age * log_beta2))) + epsilon
            vstore(values, i, kept - m * rate / root)


@parallel_jit
def average(averages, values, share):
    """Move averages towards the values: ``averages += share (values - averages)``.

    Parameters
    ----------
    averages : ndarray of float32, shape (size,), size a multiple of 16
        Modified in place.
    values : ndarray of float32, shape (size,)
    share : float32
    """
    size = values.size
    for task in prange((size + _CHUNK - 1) // _CHUNK):
        for i in range(task * _CHUNK, min(size, (task + 1) * _CHUNK), 16):
            mean = vload(averages, i, 16)
            vstore(averages, i, vfma(vlike(share, mean), vload(values, i, 16) - mean, mean))


@parallel_jit
def average_by_age(averages, ages, values):
    """Average each weight over its own life, leaving out its first iterate.

    ::

        k = k + 1
        averages = values                             where k <= 2
        averages = averages + (values - averages) / (k - 1)   elsewhere

    Parameters
    ----------
    averages, ages : ndarray of float32, shape (size,), size a multiple of 16
        Modified in place. `ages` are the k, the steps that each weight has been averaged over; exact up to
        2**24.
    values : ndarray of float32, shape (size,)
    """
    size = values.size
    for task in prange((size + _CHUNK - 1) // _CHUNK):
        for i in range(task * _CHUNK, min(size, (task + 1) * _CHUNK), 16):
            value, mean = vload(values, i, 16), vload(averages, i, 16)
            before = vload(ages, i, 16)  # k - 1
            vstore(ages, i, before + _ONE)
            moved = mean + (value - mean) / before
            vstore(averages, i, vselect_less(before, vlike(np.float32(1.5), mean), value, moved))
