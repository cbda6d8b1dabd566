"""Features of each step brought to mean 0 and variance 1, and the gradient."""

from __future__ import annotations

from functools import cache

import numpy as np

from truesparse.kernels.jit import parallel_jit, prange
from truesparse.simd import at, vbroadcast, vfma, vlike, vload, vsqrt, vstore, vsum

_ZERO = np.float32(0)
_ONE = np.float32(1)


@cache
def layer_norm_forward(n: int):
    """Return the kernel ``y = scale (x - mean) / deviation + bias``, for panels of `n` lanes.

    The kernel takes ``y``, ``kept`` : float32 `[panels, features, n]` and `[panels, 2, n]`, both overwritten,
    the second with mean and 1 / deviation; ``x`` : as ``y``; ``scale``, ``bias`` : float32 `[features]`;
    ``epsilon`` : float32.
    """

    @parallel_jit
    def layer_norm_forward_kernel(y, kept, x, scale, bias, epsilon):
        panels, features = x.shape[0], x.shape[1]
        share = _ONE / np.float32(features)
        for panel in prange(panels):
            first = panel * features * n
            mean = vbroadcast(_ZERO, n)
            for j in range(features):
                mean = mean + vload(x, first + j * n, n)
            mean = mean * share
            variance = vbroadcast(_ZERO, n)
            for j in range(features):
                centred = vload(x, first + j * n, n) - mean
                variance = vfma(centred, centred, variance)
            inverse = vlike(_ONE, mean) / vsqrt(variance * share + vlike(epsilon, mean))
            vstore(kept, panel * 2 * n, mean)
            vstore(kept, (panel * 2 + 1) * n, inverse)
            for j in range(features):
                normal = (vload(x, first + j * n, n) - mean) * inverse
                vstore(y, first + j * n, normal * at(scale, j) + vlike(at(bias, j), mean))

    return layer_norm_forward_kernel


@cache
def layer_norm_backward(n: int):
    """Return the kernel that writes the gradient of ``x``, for panels of `n` lanes.

    The kernel takes ``dx`` : float32 `[panels, features, n]`, overwritten, may be ``dy``; ``dy``, ``x`` : as
    ``dx``; ``kept`` : what the forward pass wrote; ``scale`` : float32 `[features]`.
    """

    @parallel_jit
    def layer_norm_backward_kernel(dx, dy, x, kept, scale):
        panels, features = x.shape[0], x.shape[1]
        share = _ONE / np.float32(features)
        for panel in prange(panels):
            first = panel * features * n
            mean, inverse = vload(kept, panel * 2 * n, n), vload(kept, (panel * 2 + 1) * n, n)
            total, along = vbroadcast(_ZERO, n), vbroadcast(_ZERO, n)
            for j in range(features):
                gradient = vload(dy, first + j * n, n) * at(scale, j)
                total = total + gradient
                along = vfma(gradient, (vload(x, first + j * n, n) - mean) * inverse, along)
            total, along = total * share, along * share
            for j in range(features):
                gradient = vload(dy, first + j * n, n) * at(scale, j)
                normal = (vload(x, first + j * n, n) - mean) * inverse
                vstore(dx, first + j * n, (gradient - total - normal * along) * inverse)

    return layer_norm_backward_kernel


@cache
def scale_gradient(n: int):
    """Return the kernel that adds the gradients of scale and bias, for panels of `n` lanes.

    The kernel takes ``dscale``, ``dbias`` : float32 `[features]`, added to in place; ``dy``, ``x`` : float32
    `[panels, features, n]`; ``kept`` : what the forward pass wrote; ``shares`` : int, tasks.
    """

    @parallel_jit
    def scale_gradient_kernel(dscale, dbias, dy, x, kept, shares):
        panels, features = x.shape[0], x.shape[1]
        for share in prange(shares):
            for j in range(features * share // shares, features * (share + 1) // shares):
                scales, biases = vbroadcast(_ZERO, n), vbroadcast(_ZERO, n)
                for panel in range(panels):
                    place = (panel * features + j) * n
                    mean, inverse = vload(kept, panel * 2 * n, n), vload(kept, (panel * 2 + 1) * n, n)
                    gradient = vload(dy, place, n)
                    scales = vfma(gradient, (vload(x, place, n) - mean) * inverse, scales)
                    biases = biases + gradient
                dscale[np.uintp(j)] += vsum(scales)
                dbias[np.uintp(j)] += vsum(biases)

    return scale_gradient_kernel
