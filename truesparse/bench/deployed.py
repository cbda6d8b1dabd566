"""A trained model as it is used elsewhere: by the runtime, and as C. Both run on one thread."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse import runtime
from truesparse.bench.ours import build
from truesparse.bench.workload import Workload
from truesparse.errors import TruesparseError
from truesparse.export import export_model
from truesparse.model.saving import save_model

# Compiling takes about 240 bytes of memory and 4 microseconds for each weight.
C_WEIGHTS = 4_000_000
_FLAGS = ("-std=c99", "-O3", "-shared", "-fPIC")


def compiles(task: Workload) -> bool:
    """Whether there is a C compiler, and the source is for this batch and not too large for it."""
    return bool(
        shutil.which("cc") and task.batch_size == 1 and task.density * task.dense_parameters <= C_WEIGHTS
    )


class RuntimePrediction:
    """The next token's log-probabilities by `truesparse.runtime`, one step at a time.

    Parameters
    ----------
    task : Workload
        A language model's; `bptt` does not matter.
    """

    def __init__(self, task: Workload) -> None:
        with TemporaryDirectory() as folder:
            self._stream = runtime.load_language_model(_save(task, Path(folder))).stream(task.batch_size)
        self._ids = cycle([ids[0] for ids, _ in task.windows()])

    def step(self) -> NDArray[np.float32]:
        """Read the next token of every sequence; return log-probabilities of shape (B, V)."""
        return self._stream.step(next(self._ids))

    def facts(self) -> dict[str, Any]:
        """Return the facts about this side for the report."""
        return {"runtime_threads": 1}


class CPrediction:
    """The next token's probabilities by the exported C source, one step at a time, of one sequence.

    Parameters
    ----------
    task : Workload
        A language model's with a batch of 1; see `compiles`.
    """

    def __init__(self, task: Workload) -> None:
        with TemporaryDirectory() as name:
            folder = Path(name)
            report = export_model(_save(task, folder), "c", folder / "out")
            command = ["cc", *_FLAGS, "-o", "model.so", "model.c", "-lm"]
            result = subprocess.run(command, cwd=folder / "out", capture_output=True, text=True, check=False)
            if result.returncode:
                raise TruesparseError(f"cc failed: {result.stderr.strip().splitlines()[-1]}")
            self._library = ctypes.CDLL(str(folder / "out" / "model.so"))
        self._state = (ctypes.c_float * (report["ram_bytes"] // 4))()
        self._scores = np.empty(task.vocab_size, np.float32)
        self._pointer = ctypes.c_void_p(self._scores.ctypes.data)
        self._ids = cycle([ctypes.c_uint32(int(ids[0, 0])) for ids, _ in task.windows()])
        self._library.model_init(self._state)

    def step(self) -> NDArray[np.float32]:
        """Read the next token; return probabilities of shape (1, V)."""
        self._library.model_step(self._state, next(self._ids))
        self._library.model_output(self._state, self._pointer)
        self._library.model_softmax(self._pointer)
        return self._scores[None]

    def facts(self) -> dict[str, Any]:
        """Return the facts about this side for the report."""
        return {"c_flags": " ".join(_FLAGS), "c_threads": 1}


def _save(task: Workload, folder: Path) -> Path:
    file = folder / "model.safetensors"
    save_model(file, build(task))
    return file
