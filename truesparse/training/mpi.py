"""Several ranks that exchange sums over MPI."""

from __future__ import annotations

import os
from typing import TypeVar

import mpi4py
import numpy as np
from numpy.typing import NDArray

from truesparse.training.communicator import Communicator

mpi4py.rc.thread_level = "funneled"  # threads of kernels do not exchange anything

from mpi4py import MPI  # noqa: E402  (which starts MPI)

T = TypeVar("T")

_BLOCK = 1 << 22  # numbers that travel at once; a second buffer of as many receives them


class MPICommunicator(Communicator):
    """The processes that an MPI launcher has started.

    Notes
    -----
    An array is cut into as many pieces as there are ranks. Each rank receives one piece of all the others,
    adds them up in the order of the ranks, and sends the sum to all: n ranks each send 2 (n - 1) / n times
    the array, as little as can be. So all have the same bits, whatever the library of MPI, which an
    all-reduction of its own does not promise.
    """

    def __init__(self) -> None:
        self._world = MPI.COMM_WORLD
        self.rank = self._world.rank
        self.size = self._world.size
        machine = self._world.Split_type(MPI.COMM_TYPE_SHARED)
        self.neighbours = machine.size
        if hasattr(os, "sched_getaffinity"):  # launchers may give each rank cores of its own
            self.cores = len(set().union(*machine.allgather(os.sched_getaffinity(0))))
        machine.Free()
        self.payload = 0
        self._received = np.empty(0, np.float32)

    def all_reduce(self, array: NDArray[np.float32], exact: bool = False) -> None:
        """See `Communicator.all_reduce`."""
        flat = array.reshape(-1)
        assert np.shares_memory(flat, array)
        for start in range(0, flat.size, _BLOCK):
            self._reduce(flat[start : start + _BLOCK])

    def _reduce(self, flat: NDArray[np.float32]) -> None:
        ends = np.arange(self.size + 1) * flat.size // self.size
        starts, counts = ends[:-1], np.diff(ends)
        mine = slice(ends[self.rank], ends[self.rank + 1])
        own = int(counts[self.rank])
        if self._received.size < self.size * own:
            self._received = np.empty(self.size * own, np.float32)
        received = self._received[: self.size * own].reshape(self.size, own)
        pieces = [flat, (counts, starts), MPI.FLOAT]
        places = np.full(self.size, own), np.arange(self.size) * own
        self._world.Alltoallv(pieces, [received, places, MPI.FLOAT])
        np.add(received[0], received[1], out=flat[mine])
        for other in received[2:]:
            flat[mine] += other
        self._world.Allgatherv(MPI.IN_PLACE, pieces)
        self.payload += flat.nbytes

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
