"""What the ranks of `test_mpi.py` do, many checks in one launch: ``mpiexec -n 2 python mpi_program.py DIR``.

Rank 0 writes what they came to as JSON. With ``--all`` all methods are compared, and the ranks after 500
steps, which takes some minutes.
"""

from __future__ import annotations

import json
import sys
import tracemalloc
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from training_helpers import StopAt, assert_same_end, records

from truesparse.errors import TruesparseError
from truesparse.kernels.threads import set_threads
from truesparse.tasks.lm.settings import LanguageModelConfig
from truesparse.tasks.run import resume_run, train_model
from truesparse.training import lockstep
from truesparse.training.build import build_model, build_training
from truesparse.training.communicator import SERIAL, Communicator, find_communicator
from truesparse.training.lockstep import check_equal
from truesparse.training.loop import TrainingStopped
from truesparse.training.mpi import MPICommunicator
from truesparse.training.state import make_generators
from truesparse.training.training import Training

STEPS, LONG = 50, 500
METHODS = {
    "dsr": {"update_interval": 8},
    "rigl": {"update_interval": 8},
    "snfs": {"update_interval": 8},
    "gmp": {"update_interval": 8},
    "granet": {"update_interval": 8},
    "iss": {"update_interval": 8},
    "snip": {"saliency_windows": 3},
}
EVERY = ("st-rnn", "selfish", "set", "cht", "dsr", "deepr", "gmp", "iss", "granet", "rigl", "snfs", "snip")
CELLS: dict[str, dict[str, Any]] = {"lstm": {"layers": 2}, "rhn": {"cell": "rhn", "depth": 2}}


def base(folder: Path) -> LanguageModelConfig:
    return LanguageModelConfig(
        data=str(folder / "text.txt"), hidden_size=20, density=0.3, batch_size=4, bptt=10, threads=1
    )


def trained(
    config: LanguageModelConfig, communicator: Communicator, count: int = STEPS
) -> tuple[list[float], Training, int]:
    """Losses of the steps, what made them, and the bytes that the first one gave to be added up."""
    task = config.filled().make_task()
    generators = make_generators(config.seed)
    model, _ = build_model(
        task.config, task.chain, task.train, generators["initial"], communicator=communicator
    )
    steps = len(task.train)
    training = build_training(
        task.config, model, generators, task.chain, steps, count + 8, communicator=communicator
    )
    losses, payload = [], communicator.payload
    for k in range(count):
        losses.append(training.step(task.train.batch(*divmod(k, steps))).loss)
        payload = communicator.payload - payload if k == 0 else payload
    return losses, training, payload


def compared(config: LanguageModelConfig, communicator: Communicator) -> tuple[dict[str, Any], Training]:
    """How far several ranks are from one rank with all lanes, and what a step gives to be added up."""
    alone, single, _ = trained(config, SERIAL)
    losses, training, payload = trained(config, communicator)
    check_equal(communicator, training.model.arena, STEPS)
    matrices = training.model.matrices
    measures = {
        "difference": float(np.abs(np.subtract(losses, alone)).max()),
        "fell": alone[0] - alone[-1],
        "moved": sum(_moved(first, matrices[name]) for name, first in _first(config).items()),
        "topology": sum(
            int(np.setxor1d(_places(matrix), _places(matrices[name])).size)
            for name, matrix in single.model.matrices.items()
        ),
        "bytes": payload,
        "weights": training.model.arena.size,
        "embedded": matrices["embedding.weight"].nnz,
    }
    return measures, training


def moved(config: LanguageModelConfig, communicator: Communicator) -> int:
    """How many positions have changed after many steps on several ranks, which are all equal."""
    model = trained(config, communicator, LONG)[1].model
    check_equal(communicator, model.arena, LONG)
    return sum(_moved(first, model.matrices[name]) for name, first in _first(config).items())


def _first(config: LanguageModelConfig) -> dict[str, Any]:
    task = config.filled().make_task()
    rng = make_generators(config.seed)["initial"]
    return build_model(task.config, task.chain, task.train, rng)[0].matrices


def _places(matrix: Any) -> Any:
    pattern = matrix.pattern
    rows = np.repeat(np.arange(pattern.shape[0]), np.diff(pattern.indptr))
    return rows * pattern.shape[1] + pattern.indices


def _moved(before: Any, after: Any) -> int:
    return int(np.setxor1d(_places(before), _places(after)).size)


def sums(communicator: Communicator) -> dict[str, Any]:
    """Sizes of arrays, shorter and longer than the ranks, whose sums are wrong or not the same everywhere;
    below 0 of those that travel as bf16."""
    wrong = []
    for size in (1, 3, 64, 1001):
        every = [np.random.default_rng(rank).normal(size=size) for rank in range(communicator.size)]
        mine = every[communicator.rank].astype(np.float32)
        communicator.all_reduce(mine)
        bits = {array.tobytes() for array in communicator.gather(mine)}
        if len(bits) > 1 or not np.allclose(mine, sum(every), atol=1e-6):
            wrong.append(size)
        mine, before = every[communicator.rank].astype(np.float32), communicator.payload
        communicator.rounds = True
        communicator.all_reduce(mine)
        communicator.rounds = False
        bits = {array.tobytes() for array in communicator.gather(mine)}
        near = np.allclose(mine, sum(every), atol=sum(map(abs, every)).max() / 100)
        if len(bits) > 1 or not near or communicator.payload - before != 2 * size:
            wrong.append(-size)
    return {"wrong": wrong}


def overlapping(config: LanguageModelConfig, communicator: Communicator) -> dict[str, Any]:
    """Whether sums that travel during the backward pass are those that travel after it, to the bit, and how
    many numbers each of them has, in their order."""
    begun = []

    def noted(array: Any) -> None:
        begun.append(array.size)
        MPICommunicator.start(communicator, array)  # type: ignore[arg-type]

    alone, lockstep.ALONE = lockstep.ALONE, 100
    communicator.rounds = True
    communicator.start = noted  # type: ignore[method-assign]
    overlapped = trained(config, communicator, 12)[1].model.arena
    communicator.start = communicator.all_reduce  # type: ignore[method-assign]
    blocking = trained(config, communicator, 12)[1].model.arena
    lockstep.ALONE, communicator.rounds = alone, False
    del communicator.start
    same = communicator.gather(overlapped.values.tobytes() == blocking.values.tobytes())
    return {"same": same, "begun": begun[: len(begun) // 12]}


def memory(config: LanguageModelConfig, communicator: Communicator) -> dict[str, int]:
    """Most bytes of arrays at a time with all lanes on one rank, and with this rank's share of them."""
    large = replace(config, hidden_size=256, density=0.5, method="static")
    found = {}
    for name, ranks in (("alone", SERIAL), ("ranks", communicator)):
        trained(large, ranks, 1)  # what is loaded and compiled but once does not count
        tracemalloc.start()
        found["weights"] = trained(large, ranks, 3)[1].model.arena.size
        found[name] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return found


def drifted(training: Training, communicator: Communicator) -> str:
    """What is said when the last rank has drifted."""
    arena = training.model.arena
    if communicator.rank == communicator.size - 1:
        arena.states["momentum"][arena.layout["lstm.0.weight_hh"]][3] += 1e-6
    try:
        check_equal(communicator, arena, STEPS)
    except TruesparseError as error:
        return str(error)
    return ""


def resumed(config: LanguageModelConfig, folder: Path, communicator: Communicator) -> dict[str, Any]:
    """Whether a run that was stopped in an evaluation, and gone on with, ends as one that was not."""
    dropping = replace(config, dropout=0.2, dropout_weights=0.1, epochs=1, eval_interval=20)
    dropping = replace(dropping, comm_dtype="bf16", local_steps=6, outer_momentum=0.5)
    ends = folder / "whole", folder / "stopped"
    train_model(dropping, ends[0], communicator=communicator)
    stop = StopAt(19.5)
    try:
        train_model(dropping, ends[1], stop, stop, communicator=communicator)
    except TrainingStopped:
        resume_run(ends[1], {}, communicator=communicator)
    else:
        return {"same": "was not stopped"}
    communicator.rounds = False
    if communicator.rank == 0:
        assert_same_end(*ends)
    return {"same": True, "records": len(records(ends[1]))}


def score(density: float) -> tuple[float, int]:
    """What an estimator comes to, and on which rank."""
    from mpi4py import MPI

    from truesparse.sklearn import SparseLSTMClassifier

    X = np.random.default_rng(1).normal(size=(40, 5)).astype(np.float32)
    model = SparseLSTMClassifier(hidden_size=4, density=density, epochs=2, random_state=1)
    return float(model.fit(X, X[:, -1] > 0).predict_proba(X)[0, 0]), MPI.COMM_WORLD.rank


def searched() -> dict[str, Any]:
    """What the estimators of a search come to that another rank fits, and this one does again; nothing
    without scikit-learn."""
    from mpi4py import MPI
    from mpi4py.futures import MPICommExecutor

    densities = (0.3, 0.9)
    if find_spec("sklearn") is None:
        return {}
    with MPICommExecutor(MPI.COMM_WORLD) as ranks:
        if ranks is None:  # on all but the first
            return {}
        scores = list(ranks.map(score, densities))
    return {"scores": scores, "again": [score(density) for density in densities]}


def main() -> None:
    folder, told = Path(sys.argv[1]), sys.argv[2:]
    set_threads(1)
    communicator = find_communicator()
    config = base(folder)
    found: dict[str, Any] = {"size": communicator.size, "sums": sums(communicator)}
    cases = {"rigl lstm": replace(config, method="rigl", layers=2, update_interval=8, embedding_size=64)}
    if "--all" in told:
        cases = {
            f"{method} {cell}": replace(config, **own, method=method, **METHODS.get(method, {}))
            for method in EVERY
            for cell, own in CELLS.items()
        }
    elif communicator.size == 2:
        cases |= {
            "snfs rhn": replace(config, cell="rhn", depth=2, method="snfs", update_interval=8),
            "dsr unit": replace(config, pattern="unit", method="dsr", update_interval=8),
        }
        found["overlapping"] = overlapping(cases["rigl lstm"], communicator)
        found["searched"] = searched()
        found["memory"] = memory(config, communicator)
        found["resumed"] = resumed(config, folder, communicator)
    found["compared"] = {}
    for name, case in cases.items():
        found["compared"][name], training = compared(case, communicator)
        if "--all" in told:
            found["compared"][name]["moved in 500 steps"] = moved(case, communicator)
    if "--all" not in told:
        found["drift"] = drifted(training, communicator)
    if communicator.rank == 0:
        (folder / f"found{communicator.size}.json").write_text(json.dumps(found))
        if "--all" in told:
            json.dump(found, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
