"""What a process knows of the MPI job that it is part of, before it imports anything of MPI."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from typing import Any

_PASSED_ON = 0.5  # seconds in which a launcher passes on what was said; it drops the rest once the job ends
_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")


def launched() -> bool:
    """Whether a launcher of MPI, such as ``mpiexec``, has started this process beside others."""
    if any(_number(name) > 1 for name in _SIZES):
        return True
    return "PMIX_RANK" in os.environ and _number("SLURM_NTASKS") > 1


def rank_of_job() -> int:
    """Which of the processes of a job this is, from 0; 0 if it is none of a job."""
    mpi = sys.modules.get("mpi4py.MPI")
    if mpi is not None and mpi.Is_initialized():
        return int(mpi.COMM_WORLD.rank)
    ranks = (*(name.replace("_SIZE", "_RANK") for name in _SIZES), "PMIX_RANK")
    return max(map(_number, ranks)) if launched() else 0


def end_job(code: int, shared: bool = False) -> None:
    """End all processes of the job at once: the others wait for this one, which cannot go on.

    Parameters
    ----------
    code : int
        That the job ends with.
    shared : bool
        Whether they wait even if this one has not got as far as MPI.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    if launched():
        time.sleep(_PASSED_ON)
    mpi = sys.modules.get("mpi4py.MPI")
    if mpi is not None and mpi.Is_initialized():
        if mpi.COMM_WORLD.size > 1:
            mpi.COMM_WORLD.Abort(code)
    elif shared and launched():
        with suppress(KeyError, ValueError, OSError):  # what MPICH itself would tell its launcher
            os.write(int(os.environ["PMI_FD"]), f"cmd=abort exitcode={code}\n".encode())
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)  # which other launchers notice


def end_job_with_program() -> None:
    """See that an error that ends this program ends the others of the job too, once it was printed."""
    show = sys.excepthook

    def end(*error: Any) -> None:
        show(*error)
        end_job(1)

    sys.excepthook = end


def _number(name: str) -> int:
    value = os.environ.get(name, "")
    return int(value) if value.isdecimal() else 0
