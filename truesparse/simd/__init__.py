"""Vectors of float32 lanes for Numba kernels.

`Lanes(n)` is a Numba type of `n` float32 numbers held in vector registers. Any `n` works: it is held as a sum
of powers of two (20 lanes are one vector of 16 and one of 4), because LLVM legalises powers of two well on
every instruction set (one 64-lane value is four AVX-512, eight AVX2 or sixteen SSE registers) and other
widths badly (a plain ``<20 x float>`` is three to six times slower). Widths are literal integers, so that a
kernel is made by a factory closing over its width::

    def make_axpy(n):
        @jit
        def axpy(y, a, x):
            for i in range(0, y.size, n):
                vstore(y, i, vfma(vbroadcast(a, n), vload(x, i, n), vload(y, i, n)))
        return axpy

Loads and stores take a C-contiguous array and an offset in elements from its first one. They are not checked,
unless ``NUMBA_BOUNDSCHECK=1`` is set when the kernel is compiled: then an access outside of the array raises
IndexError.

`+ - * /` and unary minus work lane by lane, between two vectors of the same width or a vector and a float32
scalar.
"""

from truesparse.simd.arithmetic import vbroadcast, vfma, vlike, vmax, vmin, vselect_less, vsqrt
from truesparse.simd.functions import vexp, vsigmoid, vtanh
from truesparse.simd.groups import (
    gadd,
    gadd_dots,
    gbroadcast,
    gbroadcast_each,
    gdot,
    gdot8,
    gfma,
    gfma_each,
    gload,
    gload_like,
    gstore,
)
from truesparse.simd.lanes import Lanes, has_avx512, split_lanes
from truesparse.simd.memory import (
    at,
    prefetch,
    transpose_square,
    vload,
    vload_like,
    vload_row,
    vstore,
    vstore_row,
)
from truesparse.simd.sums import vdot16, vsum, vsum8
from truesparse.simd.uniform import vuniform, vuniform_like

__all__ = [
    "Lanes",
    "at",
    "gadd",
    "gadd_dots",
    "gbroadcast",
    "gbroadcast_each",
    "gdot",
    "gdot8",
    "gfma",
    "gfma_each",
    "gload",
    "gload_like",
    "gstore",
    "has_avx512",
    "prefetch",
    "split_lanes",
    "transpose_square",
    "vbroadcast",
    "vdot16",
    "vexp",
    "vfma",
    "vlike",
    "vload",
    "vload_like",
    "vload_row",
    "vmax",
    "vmin",
    "vselect_less",
    "vsigmoid",
    "vsqrt",
    "vstore",
    "vstore_row",
    "vsum",
    "vsum8",
    "vtanh",
    "vuniform",
    "vuniform_like",
]
