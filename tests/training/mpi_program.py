"""What the ranks of `test_mpi.py` do, many checks in one launch: ``mpiexec -n 2 python mpi_program.py FOLDER``.

Rank 0 writes what they came to as JSON. With ``--all`` all methods are compared, which takes some minutes.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from truesparse.errors import TruesparseError
from truesparse.kernels.threads import set_threads
from truesparse.tasks.lm.settings import LanguageModelConfig
from truesparse.training.build import build_model, build_training
from truesparse.training.communicator import SERIAL, Communicator, find_communicator
from truesparse.training.lockstep import check_equal
from truesparse.training.state import make_generators
from truesparse.training.training import Training

STEPS = 50
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
        data=str(folder / "text.txt"), hidden_size=20, density=0.3, batch_size=8, bptt=10, threads=1
    )


def trained(config: LanguageModelConfig, communicator: Communicator) -> tuple[list[float], Training]:
    """Losses of the steps, and what made them."""
    task = config.filled().make_task()
    generators = make_generators(config.seed)
    model, _ = build_model(
        task.config, task.chain, task.train, generators["initial"], communicator=communicator
    )
    steps = len(task.train)
    training = build_training(
        task.config, model, generators, task.chain, steps, STEPS + 8, communicator=communicator
    )
    losses = [training.step(task.train.batch(*divmod(k, steps))).loss for k in range(STEPS)]
    return losses, training


def compared(config: LanguageModelConfig, communicator: Communicator) -> dict[str, Any]:
    """How far several ranks are from one rank with all lanes."""
    alone, single = trained(config, SERIAL)
    losses, training = trained(config, communicator)
    check_equal(communicator, training.model.arena, STEPS)
    matrices = training.model.matrices
    return {
        "difference": float(np.abs(np.subtract(losses, alone)).max()),
        "fell": alone[0] - alone[-1],
        "moved": sum(_moved(first, matrices[name]) for name, first in _first(config).items()),
        "topology": sum(
            int(np.setxor1d(_places(matrix), _places(matrices[name])).size)
            for name, matrix in single.model.matrices.items()
        ),
        "nnz": training.model.arena.nnz,
    }


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


def traffic(config: LanguageModelConfig, communicator: Communicator) -> dict[str, Any]:
    """What a step gives to be added up, and the weights that it has to."""
    before = communicator.payload
    _, training = trained(config, communicator)
    arena = training.model.arena
    others = arena.size - arena.matrices["embedding.weight"].nnz
    return {"bytes": (communicator.payload - before) / STEPS, "others": others, "nnz": arena.nnz}


def sums(communicator: Communicator) -> dict[str, Any]:
    """Whether sums are right, and the same bits everywhere, for arrays shorter and longer than the ranks."""
    wrong = []
    for size in (1, 3, 64, 1001):
        every = [np.random.default_rng(rank).normal(size=size) for rank in range(communicator.size)]
        mine = every[communicator.rank].astype(np.float32)
        communicator.all_reduce(mine)
        bits = {array.tobytes() for array in communicator.gather(mine)}
        if len(bits) > 1 or not np.allclose(mine, sum(every), atol=1e-6):
            wrong.append(size)
    return {"wrong": wrong}


def drifted(config: LanguageModelConfig, communicator: Communicator) -> str:
    """What is said when the last rank has drifted."""
    _, training = trained(config, communicator)
    if communicator.rank == communicator.size - 1:
        training.model.arena.states["momentum"][training.model.arena.layout["lstm.0.weight_hh"]][3] += 1e-6
    try:
        check_equal(communicator, training.model.arena, STEPS)
    except TruesparseError as error:
        return str(error)
    return ""


def main() -> None:
    folder, everything = Path(sys.argv[1]), "--all" in sys.argv
    set_threads(1)
    communicator = find_communicator()
    config = base(folder)
    found: dict[str, Any] = {"size": communicator.size}
    found["sums"] = sums(communicator)
    found["drift"] = drifted(config, communicator)
    cases = {
        "st-rnn lstm": replace(config, layers=2),
        "rigl lstm": replace(config, layers=2, method="rigl", update_interval=8),
        "snfs rhn": replace(config, cell="rhn", depth=2, method="snfs", update_interval=8),
        "dsr unit": replace(config, pattern="unit", method="dsr", update_interval=8),
        "snip": replace(config, method="snip", saliency_windows=3),
    }
    if everything:
        cases = {
            f"{method} {cell}": replace(config, **own, method=method, **METHODS.get(method, {}))
            for method in EVERY
            for cell, own in CELLS.items()
        }
    found["compared"] = {name: compared(case, communicator) for name, case in cases.items()}
    found["traffic"] = traffic(replace(config, embedding_size=64), communicator)
    if communicator.rank == 0:
        (folder / f"found{communicator.size}.json").write_text(json.dumps(found))
        if everything:
            json.dump(found, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
