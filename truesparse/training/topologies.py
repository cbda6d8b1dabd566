"""The snapshots of the topology in a run's folder, one a file; docs/file-format.md describes them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from truesparse.errors import TruesparseError
from truesparse.files import remove_unfinished
from truesparse.modelfile import container
from truesparse.sparse.pattern import Pattern
from truesparse.topology.snapshots import Grouped, Snapshot
from truesparse.training.evolution import Evolution

FOLDER = "topologies"


def write_topology(run: Path, snapshot: Snapshot) -> None:
    """Write a snapshot to the folder of a run.

    Raises
    ------
    TruesparseError
        It cannot be written.
    """
    tensors: dict[str, np.ndarray] = {}
    matrices: dict[str, Any] = {}
    for name, (pattern, group, blocks) in snapshot.matrices.items():
        lengths = np.diff(pattern.indptr)
        tensors[f"{name}.indices"] = pattern.indices
        tensors[f"{name}.lengths"] = lengths.astype(np.min_scalar_type(int(lengths.max())))
        matrices[name] = {"columns": pattern.shape[1], "group": group, "blocks": blocks}
    document = {"kind": "topology", "step": snapshot.step, "epoch": snapshot.epoch, "matrices": matrices}
    try:
        (run / FOLDER).mkdir(exist_ok=True)
    except OSError as error:
        raise TruesparseError(
            f"cannot make {run / FOLDER}: {error.strerror}; check its permissions"
        ) from None
    container.write(run / FOLDER / f"step-{snapshot.step:010}.safetensors", tensors, document)


def read_topologies(run: Path) -> list[Snapshot]:
    """The snapshots in the folder of a run, from the first to the last; none if it has kept none.

    Raises
    ------
    TruesparseError
        A file cannot be read or is not as it was written.
    """
    return [_read(path) for path in topology_files(run)]


def begin_keeping(evolution: Evolution, run: Path, step: int) -> None:
    """Let snapshots go to the folder of a run that goes on after a step; those of later steps are removed.

    Raises
    ------
    TruesparseError
        They cannot be removed, or that of the start cannot be written.
    """
    try:
        if (run / FOLDER).is_dir():
            remove_unfinished(run / FOLDER)
        for path in topology_files(run):
            if path.stem > f"step-{step:010}":
                path.unlink()
    except OSError as error:
        raise TruesparseError(f"cannot write in {run / FOLDER}: {error.strerror}") from None
    evolution.kept = partial(write_topology, run)
    if step == 0:
        evolution.keep(0)


def topology_files(run: Path) -> list[Path]:
    """The files of the snapshots of a run, from the first to the last."""
    return sorted((run / FOLDER).glob("step-*.safetensors"))


def _read(path: Path) -> Snapshot:
    with container.Reader(path) as reader:
        try:
            document = reader.document
            step, epoch, matrices = int(document["step"]), float(document["epoch"]), {}
            for name, said in document["matrices"].items():
                columns, group, blocks = said["columns"], said["group"], said["blocks"]
                lengths = reader.get(f"{name}.lengths")
                if lengths.dtype.kind != "u" or lengths.ndim != 1:
                    raise reader.corrupt()
                indptr = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))
                pattern = Pattern(indptr, reader.get(f"{name}.indices"), (lengths.size, columns))
                pattern.check(f"{name} in {path}")
                if not (group >= 1 and blocks >= 1 and lengths.size * group % blocks == 0):
                    raise reader.corrupt()
                if blocks > 1 and group not in (1, blocks):
                    raise reader.corrupt()
                matrices[name] = Grouped(pattern, group, blocks)
        except (KeyError, TypeError, AttributeError, ValueError):
            raise reader.corrupt() from None
    return Snapshot(step, epoch, matrices)
