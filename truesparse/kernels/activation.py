"""What a layer without gates makes of its sums, element by element, and the gradient."""

from __future__ import annotations

from functools import cache

import numpy as np

from truesparse.kernels.jit import inline_jit, parallel_jit, prange
from truesparse.simd import vlike, vload, vselect_less, vstore, vsum, vtanh

_ZERO = np.float32(0)
_ONE = np.float32(1)
_HALF = np.float32(0.5)
_SELU = np.float32(1.0507009873554805)
_SELU_FLOOR = np.float32(1.7580993408473766)  # times alpha: what it comes near to on the left


@inline_jit
def _relu(x):
    zero = vlike(_ZERO, x)
    return vselect_less(x, zero, zero, x)  # NaN stays NaN


@inline_jit
def _selu(x):
    t = vtanh(x * _HALF)  # exp(x) - 1 = 2 t / (1 - t), exact near 0 too
    return vselect_less(vlike(_ZERO, x), x, x * _SELU, _SELU_FLOOR * (t + t) / (vlike(_ONE, x) - t))


@inline_jit
def _of_sum(dy, y):
    return dy


@inline_jit
def _of_relu(dy, y):
    zero = vlike(_ZERO, y)
    return vselect_less(zero, y, dy, zero)


@inline_jit
def _of_tanh(dy, y):
    return dy * (vlike(_ONE, y) - y * y)


@inline_jit
def _of_selu(dy, y):
    return dy * vselect_less(vlike(_ZERO, y), y, vlike(_SELU, y), y + vlike(_SELU_FLOOR, y))


_FORWARD = {"relu": _relu, "tanh": vtanh, "selu": _selu}
_BACKWARD = {"none": _of_sum, "relu": _of_relu, "tanh": _of_tanh, "selu": _of_selu}


@cache
def activation_forward(name: str, n: int):
    """Return the kernel ``y = f(y)``, which keeps a copy, for panels of `n` lanes; f is "relu", "tanh" or
    "selu".

    The kernel takes ``y``, ``kept`` : float32 `[panels, features, n]`, both overwritten.
    """
    function = _FORWARD[name]

    @parallel_jit
    def activation_forward_kernel(y, kept):
        for row in prange(y.shape[0] * y.shape[1]):
            value = function(vload(y, row * n, n))
            vstore(y, row * n, value)
            vstore(kept, row * n, value)

    return activation_forward_kernel


@cache
def activation_backward(name: str, n: int):
    """Return the kernel that writes the gradient of the sums in the place of what `activation_forward` kept.

    The kernel takes ``kept``, ``dy`` : float32 `[panels, features, n]`; of "none" it copies ``dy``.
    """
    function = _BACKWARD[name]

    @parallel_jit
    def activation_backward_kernel(kept, dy):
        for row in prange(dy.shape[0] * dy.shape[1]):
            vstore(kept, row * n, function(vload(dy, row * n, n), vload(kept, row * n, n)))

    return activation_backward_kernel


@cache
def srelu_forward(n: int):
    """Return the kernel of the activation SReLU, which keeps its inputs, for panels of `n` lanes.

    The kernel takes ``y``, ``kept`` : float32 `[panels, features, n]`, both overwritten; ``bends`` : float32
    `[4 * features]`, left bends, left slopes, right bends and right slopes of all features.
    """

    @parallel_jit
    def srelu_forward_kernel(y, kept, bends):
        features = y.shape[1]
        for row in prange(y.shape[0] * features):
            unit = row % features
            left, right = bends[unit], bends[2 * features + unit]
            x = vload(y, row * n, n)
            t_left, t_right = vlike(left, x), vlike(right, x)
            inner = vselect_less(x, t_left, t_left + (x - t_left) * bends[features + unit], x)
            beyond = t_right + (x - t_right) * bends[3 * features + unit]
            vstore(y, row * n, vselect_less(x, t_right, inner, beyond))
            vstore(kept, row * n, x)

    return srelu_forward_kernel


@cache
def srelu_backward(n: int):
    """Return the kernel that writes the gradient of the sums in the place of what `srelu_forward` kept.

    The kernel takes ``kept`` : float32 `[panels, features, n]`; ``grads`` : float32 `[4 * features]`, added
    to; ``dy`` as ``kept``; ``bends`` as in `srelu_forward`. A unit is summed by one thread, panel by panel.
    """

    @parallel_jit
    def srelu_backward_kernel(kept, grads, dy, bends):
        features = dy.shape[1]
        for unit in prange(features):
            left, right = bends[unit], bends[2 * features + unit]
            a_left, a_right = bends[features + unit], bends[3 * features + unit]
            below = sloped_below = above = sloped_above = vlike(_ZERO, vload(dy, 0, n))
            for panel in range(dy.shape[0]):
                place = (panel * features + unit) * n
                x, d = vload(kept, place, n), vload(dy, place, n)
                zero, t_left, t_right = vlike(_ZERO, x), vlike(left, x), vlike(right, x)
                d_left = vselect_less(x, t_right, vselect_less(x, t_left, d, zero), zero)
                d_right = vselect_less(x, t_right, zero, d)
                below = below + d_left
                above = above + d_right
                sloped_below = sloped_below + d_left * (x - t_left)
                sloped_above = sloped_above + d_right * (x - t_right)
                inner = vselect_less(x, t_left, d * a_left, d)
                vstore(kept, place, vselect_less(x, t_right, inner, d * a_right))
            grads[unit] += vsum(below) * (_ONE - a_left)
            grads[features + unit] += vsum(sloped_below)
            grads[2 * features + unit] += vsum(above) * (_ONE - a_right)
            grads[3 * features + unit] += vsum(sloped_above)

    return srelu_backward_kernel
