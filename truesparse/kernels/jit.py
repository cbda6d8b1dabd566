"""The decorators that every kernel uses.

Compiled code is kept on disk, signatures are lazy (an explicit one would compile at import), and division
follows NumPy, without a check for zero. Bounds are checked when ``NUMBA_BOUNDSCHECK=1``, in `truesparse.simd`
too; parallel kernels then run on one thread, since an error in another thread is lost.

Kernels cannot make arrays: they are compiled without Numba's runtime. With it, each call of an inline
function that has a loop would count the references to its arrays. That takes longer than the sums of a short
row of a product (`benchmarks/mlp_step.py`).

Numba's work queue, which runs the parallel kernels where neither TBB nor OpenMP is, ends the process when two
threads of Python enter it. There a parallel kernel waits for the one that runs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from truesparse.kernels import threads  # before Numba: it says in words of its own what Numba refuses

# isort: split
from numba import njit, prange
from numba.core import config
from numba.core.registry import CPUDispatcher

from truesparse.kernels.cache import keep_code
from truesparse.kernels.linking import only_linked
from truesparse.kernels.tasks import with_tasks

__all__ = ["beside_jit", "inline_jit", "jit", "parallel_jit", "prange", "threads"]

_queue = threading.Lock()
_PLAIN: dict[str, Any] = {"error_model": "numpy", "no_cfunc_wrapper": True, "_nrt": False}


class _Kernel(CPUDispatcher):
    """A kernel."""

    def compile(self, sig: Any) -> Any:
        with only_linked():
            return super().compile(sig)


class _OneAtATime(_Kernel):
    """A parallel kernel on the work queue."""

    def __call__(self, *arrays: Any) -> Any:
        with _queue:
            return super().__call__(*arrays)


class _Unstarted(_Kernel):
    """A parallel kernel that has not been called yet: what runs it is not known before."""

    def __call__(self, *arrays: Any) -> Any:
        threads.thread_count()
        alone = threads.threading_layer() == "workqueue"
        self.__class__ = _OneAtATime if alone else _Kernel
        return self(*arrays)


def _decorator(**options: Any) -> Callable[[Any], Any]:
    def decorate(function: Any) -> Any:
        kernel = njit(**_PLAIN, **options)(function)
        keep_code(kernel)
        kernel.__class__ = _Kernel
        return kernel

    return decorate


jit = _decorator()
beside_jit = _decorator(nogil=True)  # for a thread of Python beside the one that computes
# For functions that only kernels call.
inline_jit = njit(**_PLAIN, forceinline=True, no_cpython_wrapper=True)


def parallel_jit(function: Any) -> Any:
    """A kernel whose loops over `prange` several threads share."""
    kernel = jit(function)
    if not config.BOUNDSCHECK:
        kernel.__class__ = _Unstarted
        kernel._compiler._get_implementation = lambda args, kws: with_tasks(function, inline_jit)
    return kernel
