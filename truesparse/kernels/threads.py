"""Threads of the parallel kernels.

Numba's TBB layer enters a parallel region in 1.4 µs and stays quick beside other busy processes; OpenMP's
spinning makes every region last a whole scheduler quantum there, and Numba's own work queue takes 100 µs. A
training step has some 200 regions.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from pathlib import Path

import numba

from truesparse.errors import TruesparseError


def _preload_tbb() -> None:
    """Make the TBB library of the `tbb` package visible to Numba, which looks for it on the system's path
    alone."""
    for folder in (
        Path(sys.prefix) / "lib",
        Path(sys.base_prefix) / "lib",
        Path(sys.prefix) / "Library" / "bin",
    ):
        for library in sorted(folder.glob("libtbb.so.*")) + sorted(folder.glob("tbb12.dll")):
            try:
                ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
            except OSError:
                continue
            return
    # OpenMP is next in Numba's order: let its threads give up the processor soon instead of spinning for
    # milliseconds.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")


_preload_tbb()
_openmp_ends_here = False


def _remember_fork() -> None:
    """In a process that was forked: GNU's OpenMP kills it at the next parallel kernel if its parent has run
    one, and a pool of such processes makes new ones for ever."""
    global _openmp_ends_here
    _openmp_ends_here = threading_layer() == "omp"


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_remember_fork)


def set_threads(count: int) -> int:
    """Set how many threads the kernels use. Results do not depend on it, to the bit.

    Parameters
    ----------
    count : int
        Number of threads; 0 for one per available core. More than Numba was started with are cut to that
        number.

    Returns
    -------
    int
        The number in use.

    Raises
    ------
    TruesparseError
        The process was forked from one that has run kernels on OpenMP, so it can run none.
    """
    if _openmp_ends_here:
        raise TruesparseError(
            "this process was forked from one that has run kernels on OpenMP, and can run none; install tbb,"
            " or start processes otherwise: with joblib's loky backend, or multiprocessing's spawn"
        )
    most = numba.config.NUMBA_NUM_THREADS
    numba.set_num_threads(min(count, most) if count > 0 else most)
    return numba.get_num_threads()


def thread_count() -> int:
    """Return how many threads the kernels use."""
    return numba.get_num_threads()


class ThreadTrial:
    """Finds out, while work that is done again and again goes on, whether one thread is faster than all.

    Threads that exchange little pieces of data all the time can be slower than one, by how much depends on
    where the cores are. Each time in a ``with`` block is one of the work; after a few with all threads and
    with one in turn, the faster number is set. Results do not depend on it. Work that is not always as much
    says how much it was::

        with trial:
            trial.amount = learn(batch)

    Parameters
    ----------
    on : bool, optional
        Without, nothing is tried: the number of threads stays.

    Attributes
    ----------
    amount : float
        Of the work in the last block; times are divided by it.
    """

    _ROUNDS = 4

    def __init__(self, on: bool = True) -> None:
        most = numba.get_num_threads()
        self._plan = [most, 1] * self._ROUNDS if on and most > 1 else []
        self._times: dict[int, list[float]] = {}
        self._began = 0.0
        self.amount = 1.0

    @property
    def running(self) -> bool:
        """Whether there is more to try."""
        return bool(self._plan)

    def __enter__(self) -> None:
        if self._plan:
            numba.set_num_threads(self._plan[0])
            self._began = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        if not self._plan:
            return
        seconds = time.perf_counter() - self._began
        self._times.setdefault(self._plan.pop(0), []).append(seconds / self.amount)
        if not self._plan:  # whatever disturbs, such as the compiler or memory used for the first time, adds
            best = {count: min(times) for count, times in self._times.items()}
            numba.set_num_threads(min(best, key=lambda count: (best[count], -count)))


def threading_layer() -> str:
    """Return the name of Numba's threading layer, or "not started" before the first parallel kernel."""
    try:
        return numba.threading_layer()
    except ValueError:
        return "not started"
