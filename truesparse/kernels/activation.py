"""What a layer without gates makes of its sums, element by element, and the gradient."""

from __future__ import annotations

from functools import cache

import numpy as np

from truesparse.kernels.jit import inline_jit, parallel_jit, prange
from truesparse.simd import vlike, vload, vselect_less, vstore, vtanh

_ZERO = np.float32(0)
_ONE = np.float32(1)


@inline_jit
def _relu(x):
    zero = vlike(_ZERO, x)
    return vselect_less(x, zero, zero, x)  # NaN stays NaN


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


_FORWARD = {"relu": _relu, "tanh": vtanh}
_BACKWARD = {"none": _of_sum, "relu": _of_relu, "tanh": _of_tanh}


@cache
def activation_forward(name: str, n: int):
    """Return the kernel ``y = f(y)``, which keeps a copy, for panels of `n` lanes; f is "relu" or "tanh".

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
