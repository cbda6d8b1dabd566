"""The decorators that every kernel uses.

Compiled code is kept on disk (``cache=True``), signatures are lazy (an explicit one would compile at import),
and division follows NumPy, without a check for zero. Bounds are checked when ``NUMBA_BOUNDSCHECK=1``, in
`truesparse.simd` too; parallel kernels then run on one thread, since an error in another thread is lost.
"""

from __future__ import annotations

from numba import njit, prange
from numba.core import config

from truesparse.kernels import threads

__all__ = ["inline_jit", "jit", "parallel_jit", "prange", "threads"]

jit = njit(cache=True, error_model="numpy")
parallel_jit = njit(cache=True, error_model="numpy", parallel=not config.BOUNDSCHECK)
inline_jit = njit(cache=True, error_model="numpy", forceinline=True)
