"""This side of every comparison: truesparse itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.bench.workload import LEARNING_RATE, MAX_NORM, MOMENTUM, Workload
from truesparse.data import Batch
from truesparse.kernels.threads import ThreadTrial, thread_count, threading_layer
from truesparse.model import Model, random_model
from truesparse.optim import SGD
from truesparse.sparse import Arena, SparseMatrix
from truesparse.sparse.matrix import Numbers
from truesparse.sparse.plan import machine_plan
from truesparse.training.training import Training


def build(task: Workload) -> Model:
    """Return the sparse model of a task; the same task gives the same one."""
    return random_model(task.chain, task.density, np.random.default_rng(task.seed))


class SparseTraining:
    """Training steps of the sparse model: forward, backward, clip, update.

    Parameters
    ----------
    task : Workload
    options : collection of {"untiled"}
        Products that read all rows of a panel at a time, from here on in this process.
    """

    def __init__(self, task: Workload, options: Collection[str] = ()) -> None:
        if "untiled" in options:
            machine_plan().tiles = False
        model = build(task)
        optimizer = SGD(model.arena, LEARNING_RATE, MOMENTUM)
        self._training = Training(model, optimizer, clip=MAX_NORM)
        self._training.workspace(task.bptt, task.batch_size)
        # a window of a text goes on where the one before ended; sequences begin anew
        carries = model.chain.per_step
        self._batches = (
            Batch(ids, targets, carries=carries, begins=False) for ids, targets in cycle(task.windows())
        )
        self._trial = ThreadTrial()
        self._threads: Counter[int] = Counter()

    def step(self) -> float:
        """Train on the next window and return its mean loss before the update."""
        self._threads[thread_count()] += 1
        return self._train()

    def tune(self) -> None:
        """Find out whether one thread is faster than all, as training does."""
        self.tune_again()
        self._threads.clear()

    def tune_again(self) -> None:
        """Find out again, between turns."""
        self._trial.again()
        while self._trial.running:
            with self._trial:
                self._train()

    def _train(self) -> float:
        return self._training.step(next(self._batches)).loss

    def facts(self) -> dict[str, Any]:
        """Return the facts about this side for the report."""
        return {
            "weights": {name: matrix.nnz for name, matrix in self._training.model.matrices.items()},
            "parameter_bytes": parameter_bytes(self._training.model.arena),
            "threads": most_used(self._threads),
            "threading_layer": threading_layer(),
        }


class SparsePrediction:
    """The next token's log-probabilities, one step at a time.

    Parameters
    ----------
    task : Workload
        A language model's; `bptt` does not matter.
    """

    def __init__(self, task: Workload) -> None:
        self._model = build(task)
        self._ids = cycle([ids[:1] for ids, _ in task.windows()])
        self._ws = self._model.workspace(1, task.batch_size)
        self._state = self._model.zero_state(task.batch_size)

    def step(self) -> NDArray[np.float32]:
        """Read the next token of every sequence; return log-probabilities of shape (B, V)."""
        return self._model.predict(next(self._ids), self._ws, self._state).T

    def facts(self) -> dict[str, Any]:
        """Return the facts about this side for the report."""
        return {"threads": thread_count(), "threading_layer": threading_layer()}


def most_used(threads: Counter[int]) -> int:
    """The number of threads that most steps were made with; that of now if none was made."""
    return threads.most_common(1)[0][0] if threads else thread_count()


def parameter_bytes(arena: Arena) -> int:
    """Count the bytes of values, gradients, optimizer states and all index arrays."""
    flat = arena.values.nbytes + arena.grads.nbytes + sum(state.nbytes for state in arena.states.values())
    return flat + sum(_array_bytes(matrix) for matrix in arena.matrices.values())


def _array_bytes(thing: Any) -> int:
    """Bytes of the arrays that an object of `truesparse.sparse` holds itself, or in parts other than the
    arena."""
    total = 0
    for slot in thing.__slots__:
        value = getattr(thing, slot)
        if isinstance(value, np.ndarray):
            total += value.nbytes
        elif isinstance(value, dict):
            total += sum(array.nbytes for array in value.values() if isinstance(array, np.ndarray))
        elif hasattr(value, "__slots__") and not isinstance(value, Numbers):
            total += _array_bytes(value)
    return total


def dense_copy(matrix: SparseMatrix) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a matrix as dense weights and a mask of zeros and ones."""
    csr = matrix.to_scipy()
    weight = csr.toarray()
    csr.data.fill(1)
    return weight, csr.toarray()
