"""Several ranks that exchange sums over MPI."""

from __future__ import annotations

import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from operator import iadd
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from truesparse.errors import TruesparseError
from truesparse.kernels.cores import within_cgroup
from truesparse.training.communicator import Communicator
from truesparse.training.launcher import end_job_with_program

T = TypeVar("T")

_BLOCK = 1 << 20  # numbers that travel at once; buffers of as many receive them
_PAUSE = 0.0002  # seconds between two looks at what travels while this process computes


class MPICommunicator(Communicator):
    """The processes that an MPI launcher has started.

    Notes
    -----
    An array is cut into as many pieces as there are ranks. Each rank receives one piece of all the others,
    adds them up in the order of the ranks, and sends the sum to all: n ranks each send 2 (n - 1) / n times
    the array, as little as can be. So all have the same bits, whatever the library of MPI, which an
    all-reduction of its own does not promise, and in whatever parts an array comes.

    What is begun with `start` a thread exchanges, in the order of the calls. It looks now and then whether
    something has arrived: libraries of MPI move large messages only while they are asked.

    Raises
    ------
    TruesparseError
        mpi4py is not installed, or finds no library of MPI.
    """

    def __init__(self) -> None:
        self._mpi = MPI = _started()
        self._world = MPI.COMM_WORLD
        self.rank = self._world.rank
        self.size = self._world.size
        machine = self._world.Split_type(MPI.COMM_TYPE_SHARED)
        self.neighbours = machine.size
        if hasattr(os, "sched_getaffinity"):  # launchers may give each rank cores of its own
            cpus: set[int] = set().union(*machine.allgather(os.sched_getaffinity(0)))
            self.cores = within_cgroup(len(cpus))
        machine.Free()
        self.payload = 0
        end_job_with_program()
        self._pending: list[Future[None]] = []
        self._computes = False  # whether this process does something while sums travel
        apart = MPI.Query_thread() >= MPI.THREAD_SERIALIZED
        self._thread = ThreadPoolExecutor(1, "exchange") if apart else None

    def all_reduce(self, array: NDArray[np.float32], exact: bool = False) -> None:
        """See `Communicator.all_reduce`."""
        assert array.flags.c_contiguous
        flat = array.reshape(-1)
        for start in range(0, flat.size, _BLOCK):
            self._reduce(flat[start : start + _BLOCK], self.rounds and not exact)

    def start(self, array: NDArray[np.float32]) -> None:
        """See `Communicator.start`."""
        if self._thread is None:
            self.all_reduce(array)
        else:
            self._computes = True
            self._pending.append(self._thread.submit(self.all_reduce, array))

    def finish(self) -> None:
        """See `Communicator.finish`."""
        self._computes = False
        pending, self._pending = self._pending, []
        for begun in pending:
            begun.result()

    def _wait(self, request: Any) -> None:
        """Wait for what travels, without taking the processor from what computes meanwhile."""
        while self._computes:
            if request.Test():
                return
            time.sleep(_PAUSE)
        request.Wait()

    def _reduce(self, flat: NDArray[np.float32], rounds: bool) -> None:
        """Add up a block."""
        from truesparse.kernels.bf16 import add_bf16, to_bf16

        ends = np.arange(self.size + 1) * flat.size // self.size
        own = int(ends[self.rank + 1] - ends[self.rank])
        mine = slice(ends[self.rank], ends[self.rank + 1])
        add = add_bf16 if rounds else iadd
        sent: NDArray[Any] = np.empty(flat.size, np.uint16) if rounds else flat
        if rounds:
            to_bf16(sent, flat)
        kind = self._mpi.UINT16_T if rounds else self._mpi.FLOAT
        received = np.empty((self.size, own), sent.dtype)
        pieces = [sent, (np.diff(ends), ends[:-1]), kind]
        places = np.full(self.size, own), np.arange(self.size) * own
        self._wait(self._world.Ialltoallv(pieces, [received, places, kind]))
        total, *others = (np.zeros(own, np.float32), *received) if rounds else received
        for other in others:
            add(total, other)
        if rounds:
            to_bf16(sent[mine], total)
        else:
            flat[mine] = total
        self._wait(self._world.Iallgatherv(self._mpi.IN_PLACE, pieces))
        if rounds:
            flat.fill(0)
            add_bf16(flat, sent)
        self.payload += sent.nbytes

    def sums(self, *values: float) -> list[float]:
        """See `Communicator.sums`."""
        every = np.empty((self.size, len(values)))
        self._world.Allgather(np.array(values, np.float64), every)
        return [sum(column) for column in every.T.tolist()]

    def any(self, value: bool) -> bool:
        """See `Communicator.any`."""
        return any(self.sums(value))

    def gather(self, value: T) -> list[T]:
        """See `Communicator.gather`."""
        return self._world.allgather(value)

    def broadcast(self, value: T) -> T:
        """See `Communicator.broadcast`."""
        return self._world.bcast(value)


def _started() -> Any:
    """The module of MPI, which starts it when it is imported."""
    try:
        import mpi4py

        mpi4py.rc.thread_level = "serialized"  # one thread at a time exchanges something
        from mpi4py import MPI
    except (ImportError, RuntimeError):  # the latter: mpi4py without a library of MPI
        raise TruesparseError(
            "training on several ranks needs mpi4py and an MPI library; run pip install 'truesparse[mpi]'"
        ) from None
    return MPI
