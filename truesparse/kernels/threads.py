"""Threads of the parallel kernels.

Numba's TBB layer enters a parallel region in 1.4 µs and stays quick beside other busy processes; OpenMP's
spinning makes every region last a whole scheduler quantum there, and Numba's own work queue takes 100 µs. A
training step has some 200 regions.
"""

from __future__ import annotations

import ctypes
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from truesparse.errors import TruesparseError, UsageError
from truesparse.kernels.cores import available_cores, thread_counts

_MOST_THREADS = 4096  # of kernels; many more do not fit the stack

try:
    import numba
except ValueError as error:  # the one variable that it refuses so early
    raise UsageError(
        f"NUMBA_NUM_THREADS is {os.environ.get('NUMBA_NUM_THREADS')!r}: {str(error).rstrip('.')}"
        f"; unset it, or set it to 1 or more"
    ) from None
from llvmlite.binding import address_of_symbol  # noqa: E402

if numba.config.NUMBA_NUM_THREADS > _MOST_THREADS:
    raise UsageError(  # the process would end
        f"NUMBA_NUM_THREADS is {numba.config.NUMBA_NUM_THREADS}, more than {_MOST_THREADS}; unset it, or set"
        " it to as many as there are cores"
    )
if numba.config.DISABLE_JIT:
    raise UsageError("NUMBA_DISABLE_JIT is set, but kernels have to be compiled; unset it")
if not all(feature[0] in "+-" for feature in filter(None, (numba.config.CPU_FEATURES or "").split(","))):
    raise UsageError(  # LLVM would end the process
        f"NUMBA_CPU_FEATURES is {numba.config.CPU_FEATURES!r}, not features that begin with + or -; unset it"
    )


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
_count: Callable[[], int] | None = None  # how many threads the kernels use, once they have started


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
        Number of threads; 0 for as many as may run at once, see `available_cores`, or as NUMBA_NUM_THREADS
        says. More than Numba was started with are cut to that number.

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
    thread_count()
    numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS) if count > 0 else _usual_count())
    return numba.get_num_threads()


def thread_count() -> int:
    """Return how many threads the kernels use; the first call starts them.

    Raises
    ------
    UsageError
        The threading layer that a variable asks for is unknown or not installed.
    """
    global _count
    if _count is not None:
        return _count()
    try:
        count = numba.get_num_threads()
        if count == numba.config.NUMBA_NUM_THREADS > _usual_count():  # Numba knows of no cgroups
            count = _usual_count()
            numba.set_num_threads(count)
        # Asked directly: Numba would take a lock between processes first, and let go of Python's.
        _count = ctypes.PYFUNCTYPE(ctypes.c_int)(address_of_symbol("get_num_threads"))
        return count
    except ValueError as error:
        names = [name for name in _LAYER_VARIABLES if name in os.environ]
        raise UsageError(
            f"Numba cannot start its threads: {str(error).splitlines()[0].rstrip('.')}"
            f"; unset {' and '.join(names or _LAYER_VARIABLES)}, or install what it asks for"
        ) from None


def _usual_count() -> int:
    most: int = numba.config.NUMBA_NUM_THREADS
    return most if "NUMBA_NUM_THREADS" in os.environ else min(most, available_cores())


_LAYER_VARIABLES = ("NUMBA_THREADING_LAYER", "NUMBA_THREADING_LAYER_PRIORITY")


class ThreadTrial:
    """Finds out, while work that is done again and again goes on, whether one thread is faster than all.

    Threads that exchange little pieces of data all the time can be slower than one, by how much depends on
    where the cores are, and on what else the machine has to do; and where cores have hyperthreads, one thread
    for each core may be the fastest. Each time stands in a ``with``; after a few with each number in turn
    (see `thread_counts`), the fastest is set. Now and then that is tried again, so that a busy moment does
    not decide for good. Results do not depend on it. Work that is not always as much says how much it was::

        with trial:
            trial.amount = learn(batch)

    Parameters
    ----------
    on : bool, optional
        Without, nothing is tried: the number of threads stays.
    clock : callable, optional
        Gives seconds.
    every : int, optional
        At each that many-th time a trial begins, whatever that costs. Ranks need it: they wait for each
        other, so their trials have to be at the same times, and what each measures is its own.

    Attributes
    ----------
    amount : float
        Of the work of the last time; times are divided by it.
    count : int
        The number of threads that the last trial found fastest; before there was one, all.

    Notes
    -----
    Without `every`, between two trials lie so many times that those with a slower number are at most a
    hundredth of all, and that what they take longer is at most a hundredth of the time.
    """

    _ROUNDS = 4
    _SHARE = 0.01  # of times, and of seconds, that trials may cost

    def __init__(
        self, on: bool = True, clock: Callable[[], float] = time.perf_counter, every: int = 0
    ) -> None:
        counts = thread_counts(numba.get_num_threads())
        self.count = counts[0]
        self._turns = counts * self._ROUNDS if on and len(counts) > 1 else ()
        self._every = every
        self._plan = list(self._turns)
        self._times: dict[int, list[float]] = {}
        self._rest = 0  # times until the next trial
        self._clock = clock
        self._began = 0.0
        self.amount = 1.0

    @property
    def running(self) -> bool:
        """Whether a trial is going on."""
        return bool(self._plan)

    def again(self) -> None:
        """Begin a new trial with the next time."""
        self._plan, self._times = list(self._turns), {}

    def __enter__(self) -> None:
        if not self._plan and self._turns:
            if self._rest:
                self._rest -= 1
            else:
                self.again()
        if self._plan:
            numba.set_num_threads(self._plan[0])
            self._began = self._clock()

    def __exit__(self, *error: object) -> None:
        if not self._plan:
            return
        seconds = self._clock() - self._began
        self._times.setdefault(self._plan.pop(0), []).append(seconds / self.amount)
        if not self._plan:
            self._decide()
        numba.set_num_threads(self.count)

    def _decide(self) -> None:
        """Take the number whose best time is the lowest: whatever disturbs, such as the compiler or memory
        used for the first time, adds."""
        best = {count: min(times) for count, times in self._times.items()}
        self.count, *slower = sorted(best, key=lambda count: (best[count], -count))
        middle = sum(statistics.median_low(self._times[count]) for count in slower)
        lost = middle / max(best[self.count], 1e-9) - len(slower)
        rest = math.ceil(self._ROUNDS * max(lost, len(slower)) / self._SHARE)
        self._rest = self._every - len(self._turns) if self._every else rest


def threading_layer() -> str:
    """Return the name of Numba's threading layer, or "not started" before the first parallel kernel."""
    try:
        return numba.threading_layer()
    except ValueError:
        return "not started"
