"""What the processes of one training run tell each other; by default there is one, which has nothing to tell.

A run on several machines is the same program in several processes, the *ranks*. Each reads all data and draws
the same random numbers, learns from its own lanes of every batch, and adds up gradients with the others. So
weights, topology and all decisions are the same everywhere, to the bit, and only sums have to travel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from truesparse.data.batches import Batch
from truesparse.errors import UsageError
from truesparse.training.launcher import launched

T = TypeVar("T")


class Communicator:
    """One process, which exchanges nothing; `truesparse.training.mpi` has the one for several.

    All ranks call the same methods in the same order, or none ever returns.

    Attributes
    ----------
    rank, size : int
        Which of the processes this is, from 0, and how many there are.
    neighbours, cores : int
        How many of them share this machine, and how many cores they have there together; 0 for all.
    rounds : bool
        Whether arrays travel as bf16, two bytes a number, if they need not be exact. Sums are taken in
        float32, and rounded once more on their way back.
    payload : int
        Bytes of numbers that were given to be added up so far; with n ranks each sends 2 (n - 1) / n times as
        many.
    """

    rank = 0
    size = 1
    neighbours = 1
    cores = 0
    rounds = False
    payload = 0

    @property
    def threads(self) -> int:
        """How many cores of this machine each of its ranks has; 0 for all."""
        return max(1, self.cores // self.neighbours) if self.cores else 0

    def all_reduce(self, array: NDArray[np.float32], exact: bool = False) -> None:
        """Add up an array over all ranks, in place: the same bits everywhere, whatever sends them.

        Parameters
        ----------
        array : ndarray of float32
            C-contiguous.
        exact : bool
            Whether it travels as float32 even if others travel rounded.
        """

    def start(self, array: NDArray[np.float32]) -> None:
        """Begin to add up an array as `all_reduce` does, while this process computes something else.

        Until `finish` nobody may use the array, or call another method than `start`.
        """
        self.all_reduce(array)

    def finish(self) -> None:
        """Wait for all sums that were begun."""

    def sums(self, *values: float) -> list[float]:
        """Add up numbers over all ranks, in their order."""
        return [float(value) for value in values]

    def any(self, value: bool) -> bool:
        """Whether it is so on any rank."""
        return bool(value)

    def gather(self, value: T) -> list[T]:
        """What each rank has, in their order; on all ranks."""
        return [value]

    def total(self, array: NDArray[Any]) -> NDArray[Any]:
        """The sum of an array over all ranks, in their order."""
        total, *others = self.gather(array)
        for other in others:
            total = total + other
        return total

    def broadcast(self, value: T) -> T:
        """What rank 0 has."""
        return value

    def lanes(self) -> slice:
        """Which lanes of a batch are this rank's: neighbours go to different ranks, so that a last batch that
        is not full is shared too."""
        return slice(self.rank, None, self.size)

    def cut(self, batch: Batch) -> tuple[Batch, float]:
        """Cut a batch among the ranks.

        Parameters
        ----------
        batch : Batch
            The same on all ranks; their number divides its lanes.

        Returns
        -------
        batch : Batch
            The lanes of this rank. Where these have no target, some that have.
        share : float
            How much its mean loss counts in that of the batch; 0 if it has no target.
        """
        if self.size == 1:
            return batch, 1.0
        total = _weight(batch)
        mine = _lanes(batch, self.lanes())
        own = _weight(mine)
        if own or not total:
            return mine, own / (total or 1.0)
        others = (_lanes(batch, slice(rank, None, self.size)) for rank in range(self.size))
        return next(other for other in others if _weight(other)), 0.0

    def check_batch_size(self, batch_size: int) -> None:
        """Raise UsageError if the ranks do not divide the lanes of a batch."""
        if batch_size % self.size:
            lower = batch_size // self.size * self.size
            wanted = f"{lower} or {lower + self.size}" if lower else f"{self.size}"
            raise UsageError(
                f"--batch-size is {batch_size}, which {self.size} ranks cannot share equally; use {wanted},"
                " or another number of ranks"
            )

    def gather_lanes(self, arrays: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """Arrays of all lanes of a batch, of those of each rank, whose last axis is its lanes."""
        if self.size == 1:
            return arrays
        every = self.gather(arrays)
        return {
            name: np.stack([own[name] for own in every], axis=-1).reshape(*array.shape[:-1], -1)
            for name, array in arrays.items()
        }

    def own_lanes(self, arrays: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """Those of this rank, of what `gather_lanes` gave."""
        return {name: array[..., self.lanes()] for name, array in arrays.items()}


SERIAL = Communicator()


def find_communicator(mpi: bool | None = None) -> Communicator:
    """The communicator of this process.

    Parameters
    ----------
    mpi : bool, optional
        Whether to use MPI; if a launcher has started several processes, where it is not given.

    Raises
    ------
    TruesparseError
        mpi4py is not installed, or finds no MPI library.
    """
    if not (launched() if mpi is None else mpi):
        return SERIAL
    from truesparse.training.mpi import MPICommunicator

    communicator = MPICommunicator()
    return communicator if communicator.size > 1 else SERIAL


def counted(ranks: int) -> str:
    """Such as "2 ranks"."""
    return f"{ranks} rank{'s' * (ranks > 1)}"


def _lanes(batch: Batch, lanes: slice) -> Batch:
    def some(array: Any) -> Any:
        return None if array is None else np.ascontiguousarray(array[..., lanes])

    cut = {name: some(getattr(batch, name)) for name in ("inputs", "targets", "lengths", "weights")}
    return batch._replace(**cut, chosen=None)


def _weight(batch: Batch) -> float:
    """How much the targets of a batch count together, as `Model.loss_and_gradients` divides by it."""
    if batch.weights is not None:
        return float(batch.weights.sum())
    targets = batch.targets
    there = targets >= 0 if targets.dtype.kind in "iu" else ~np.isnan(targets[..., 0, :])
    return float(np.count_nonzero(there))


# What to do where ranks have started something else
SAME_START = "give all ranks the same flags, files and environment variables"


def same_everywhere(communicator: Communicator, what: Sequence[tuple[str, Any, str]]) -> None:
    """Check that all ranks have the same.

    Parameters
    ----------
    communicator : Communicator
    what : sequence of (str, value, str)
        What it is called, what this rank has, and what to do where that differs.

    Raises
    ------
    UsageError
        On all ranks: one has something else than rank 0.
    """
    every = communicator.gather([value for _, value, _ in what])
    for rank, values in enumerate(every):
        for (name, _, advice), first, own in zip(what, every[0], values, strict=True):
            if own != first:
                raise UsageError(f"rank {rank} has another {name} than rank 0: {own}, not {first}; {advice}")
