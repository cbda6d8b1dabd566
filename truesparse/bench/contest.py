"""Contestants: one process for each side, asked in turn."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import truesparse
from truesparse.bench.monitor import Monitor
from truesparse.bench.settings import Conditions
from truesparse.bench.timing import Timing, take_turns
from truesparse.errors import TruesparseError

LABELS = {
    "ours": "truesparse",
    "ours-untiled": "truesparse untiled",
    "torch": "PyTorch",
    "torch-bf16": "PyTorch bf16",
    "torch-compile": "PyTorch compiled",
    "torch-dense": "PyTorch dense",
    "torch-dense-bf16": "PyTorch dense bf16",
    "numpy": "NumPy",
    "numpy-dense": "NumPy dense",
    "keras-tensorflow": "Keras on TensorFlow",
    "keras-jax": "Keras on JAX",
    "keras-torch": "Keras on PyTorch",
    "runtime": "NumPy runtime",
    "c": "C",
    "scipy": "SciPy",
    "torch-csr": "torch CSR",
    "sparselab": "SparseLab",
    "sparseprop": "SparseProp",
}


def title(side: str) -> str:
    """The label of a side of training, with what the models of a dense one are."""
    plain = side == "ours" or "dense" in side or side.startswith("keras")
    return LABELS[side] if plain else f"masked {LABELS[side]}"


_THREAD_VARIABLES = (
    "NUMBA_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "NPROC",  # of XLA, which JAX compiles with
)


class ContestantError(TruesparseError):
    """A contestant cannot go on.

    Attributes
    ----------
    side : str
        Which one.
    """

    def __init__(self, side: str, message: str) -> None:
        super().__init__(message)
        self.side = side


class Contestant:
    """A process that runs one side.

    Parameters
    ----------
    side : str
        A key of `LABELS`.
    threads : int
        For each library the process may use.
    """

    def __init__(self, side: str, threads: int) -> None:
        self.side = side
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "truesparse.bench.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=_environment(side, threads),
            start_new_session=True,  # Ctrl-C stops this process, whose end ends that one and its children
        )

    def ask(self, question: str, **arguments: Any) -> dict[str, Any]:
        """Ask for a method of `truesparse.bench.worker.Worker` and return its answer.

        Raises
        ------
        ContestantError
            If it fails, or the process has ended.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            stdin.write(json.dumps({"ask": question, **arguments}) + "\n")
            stdin.flush()
            line = stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            code = self._process.wait()
            reason = "it was killed, perhaps for want of memory" if code == -9 else self._last_error()
            raise ContestantError(
                self.side, f"the process of {LABELS[self.side]} ended (exit code {code}): {reason}"
            )
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ContestantError(self.side, f"{LABELS[self.side]} failed: {answer['error']}")
        return answer

    def turn(self, part: str, seconds: float) -> float:
        """Run a part for about `seconds` and return the seconds a call takes."""
        return float(self.ask("turn", part=part, seconds=seconds)["seconds"])

    def close(self) -> None:
        """End the process and those it has started."""
        if self._process.poll() is None:
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()
        self._process.communicate()
        self._errors.close()

    def __enter__(self) -> Contestant:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _last_error(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        return lines[-1] if lines else "it said nothing"


def start(stack: ExitStack, sides: Iterable[str], threads: int) -> dict[str, Contestant]:
    """Start a contestant for each side; the stack ends them."""
    return {side: stack.enter_context(Contestant(side, threads)) for side in sides}


def measure(
    sides: Mapping[str, Contestant], part: str, conditions: Conditions, monitor: Monitor
) -> dict[str, Timing]:
    """Let contestants take turns at a part.

    Raises
    ------
    ContestantError
        If one fails.
    """

    def turn_of(contestant: Contestant) -> Callable[[], float]:
        return lambda: contestant.turn(part, conditions.seconds)

    turns = {name: turn_of(contestant) for name, contestant in sides.items()}
    return take_turns(turns, conditions.repeats, monitor.done)


class Field:
    """Our side and the baselines that can be measured beside it; those that cannot are left out, with a note.

    Parameters
    ----------
    stack : ExitStack
        Ends their processes.
    baselines : mapping of str to str
        Names, each with the reason for which it cannot be measured, or "".
    threads : int
    monitor : Monitor

    Attributes
    ----------
    sides : dict of str to Contestant
    unavailable : dict of str to str
        Baselines that cannot be measured, and why.
    """

    def __init__(
        self, stack: ExitStack, baselines: Mapping[str, str], threads: int, monitor: Monitor
    ) -> None:
        self.unavailable: dict[str, str] = {}
        self._monitor = monitor
        for name, reason in baselines.items():
            if reason:
                self._leave_out(name, reason)
        self.sides = start(stack, ["ours", *(n for n in baselines if n not in self.unavailable)], threads)

    @property
    def names(self) -> str:
        """The labels of those that are left."""
        return ", ".join(LABELS[name] for name in self.sides)

    def ask(self, question: str, **arguments: Any) -> dict[str, dict[str, Any]]:
        """Ask every side, which gets its name.

        Raises
        ------
        ContestantError
            Ours cannot answer.
        """
        answers = {}
        for name, side in list(self.sides.items()):
            try:
                answers[name] = side.ask(question, side=name, **arguments)
            except ContestantError as error:
                self._drop(error)
        return answers

    def measure(self, part: str, conditions: Conditions) -> dict[str, Timing]:
        """Let them take turns; without a baseline that fails, from the beginning.

        Raises
        ------
        ContestantError
            Ours fails.
        """
        while True:
            try:
                return measure(self.sides, part, conditions, self._monitor)
            except ContestantError as error:
                self._drop(error)

    def _drop(self, error: ContestantError) -> None:
        if error.side == "ours":
            raise error
        self.sides.pop(error.side).close()
        self._leave_out(error.side, str(error))

    def _leave_out(self, name: str, reason: str) -> None:
        self.unavailable[name] = reason
        self._monitor.note(f"{title(name)} is not available: {reason}")


def _environment(side: str, threads: int) -> dict[str, str]:
    """The environment of a contestant: as many threads for every library, and this very package."""
    package = str(Path(truesparse.__file__).parent.parent)
    path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    own = {"PYTHONPATH": path, **dict.fromkeys(_THREAD_VARIABLES, str(threads))}
    if side.startswith("keras-"):
        own["KERAS_BACKEND"] = side.removeprefix("keras-")
    return {**os.environ, **own}
