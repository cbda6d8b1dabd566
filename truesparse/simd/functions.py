"""exp, sigmoid and tanh of vectors: Numba compiles those of NumPy to slow calls for one number at a time."""

from __future__ import annotations

import numpy as np
from numba import njit

from truesparse.simd.arithmetic import vfma, vlike, vmax, vmin, vpow2, vrint

_inline = njit(forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
_LOG2_E = np.float32(1.4426950408889634)
# ln 2 in two parts (Cody & Waite 1980): k * _LN2_HIGH is exact for |k| < 2**14.
_LN2_HIGH = np.float32(0.693359375)
_LN2_LOW = np.float32(-2.12194440e-4)
_ONE = np.float32(1)
_TWO = np.float32(2)


@_inline
def _reduced_expm1(x):
    """`k` and `p` with exp(x) = 2**k (1 + p), by the minimax polynomial of degree 6 of Cephes' expf (Moshier
    1989)."""
    k = vrint(x * _LOG2_E)
    r = vfma(k, vlike(-_LN2_HIGH, x), x)
    r = vfma(k, vlike(-_LN2_LOW, x), r)
    p = vlike(np.float32(1.9875691500e-4), x)
    p = vfma(p, r, vlike(np.float32(1.3981999507e-3), x))
    p = vfma(p, r, vlike(np.float32(8.3334519073e-3), x))
    p = vfma(p, r, vlike(np.float32(4.1665795894e-2), x))
    p = vfma(p, r, vlike(np.float32(1.6666665459e-1), x))
    p = vfma(p, r, vlike(np.float32(5.0000001201e-1), x))
    return k, vfma(p, r * r, r)


@_inline
def vexp(x):
    """exp(x) to 1 ulp for x in [-87.3, 88]; beyond, the value at the nearer end. NaN stays NaN."""
    x = vmin(vmax(x, vlike(np.float32(-87.3), x)), vlike(np.float32(88.0), x))
    k, p = _reduced_expm1(x)
    return (p + _ONE) * vpow2(k)


@_inline
def vsigmoid(x):
    """1 / (1 + exp(-x)) to 3 ulp. NaN stays NaN."""
    return _ONE / (vexp(-x) + _ONE)


@_inline
def vtanh(x):
    """tanh(x) to 3 ulp, near 0 too: t / (t + 2) with t = exp(2 x) - 1. NaN stays NaN."""
    x = vmin(vmax(x, vlike(np.float32(-9.1), x)), vlike(np.float32(9.1), x))
    k, p = _reduced_expm1(x + x)
    scale = vpow2(k)
    t = vfma(p, scale, scale - _ONE)
    return t / (t + _TWO)
