"""What the ranks of a run agree on before it begins."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import asdict

from truesparse.kernels.threads import set_threads
from truesparse.settings import flag
from truesparse.training.communicator import SAME_START, Communicator, same_everywhere
from truesparse.training.config import Config
from truesparse.training.environment import versions
from truesparse.training.logs import with_logs
from truesparse.training.reporter import Reporter
from truesparse.training.task import Task

_OF_MACHINE = frozenset({"data", "log", "threads"})  # what may differ from rank to rank


def of_rank(
    reporter: Reporter | None, stop: Callable[[], bool], config: Config, communicator: Communicator
) -> tuple[Reporter, Callable[[], bool]]:
    """The reporter of this rank, and a wish to stop that is the same on all.

    Raises
    ------
    UsageError
        The ranks do not divide a batch.
    """
    communicator.check_batch_size(config.batch_size)
    if communicator.size == 1:
        return with_logs(reporter or Reporter(), config.log), stop
    told = Reporter() if communicator.rank else with_logs(reporter or Reporter(), config.log)
    return told, lambda: communicator.any(stop())


def shared(task: Task, communicator: Communicator) -> Task:
    """A task that ranks share, once they have found that they have the same.

    Raises
    ------
    UsageError
        They have not.
    """
    own = {name: value for name, value in asdict(task.config).items() if name not in _OF_MACHINE}
    same_everywhere(
        communicator,
        [
            *(
                (f"version of {name}", its, "install the same one everywhere")
                for name, its in versions().items()
            ),
            *((f"value of {flag(name)}", value, SAME_START) for name, value in own.items()),
            ("checksum of the data", task.crc32, "give all ranks the same --data"),
        ],
    )
    communicator.rounds = task.config.comm_dtype == "bf16"
    task.communicator = communicator
    return task


def set_rank_threads(wanted: int, communicator: Communicator) -> int:
    """Set the threads of this rank: by default its share of the cores; more than there are get a warning."""
    ranks, cores = communicator.neighbours, communicator.cores
    if ranks == 1 or not cores:
        return set_threads(wanted)
    threads = wanted or communicator.threads
    if ranks * threads > cores and communicator.rank == 0:
        fewer = f"use --threads {communicator.threads}" if ranks <= cores else f"start {cores} here at most"
        warnings.warn(
            f"{ranks} ranks of {threads} thread{'s' * (threads > 1)} are more than the"
            f" {cores} core{'s' * (cores > 1)} of this machine, and disturb each other; {fewer}",
            stacklevel=2,
        )
    return set_threads(threads)
