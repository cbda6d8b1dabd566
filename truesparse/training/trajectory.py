"""How far topologies move while runs train, from the snapshots in their folders."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from truesparse.errors import TruesparseError, UsageError, typed
from truesparse.layers.wiring import wiring
from truesparse.sparse.pattern import Pattern
from truesparse.topology.distance import LayerWiring, topology_distance
from truesparse.topology.snapshots import Snapshot
from truesparse.training.compare import Topology, check_alike, read_topology
from truesparse.training.topologies import read_topologies, topology_files


class Apart(NamedTuple):
    """A distance of two topologies; see `truesparse.topology.distance.TopologyDistance`.

    Attributes
    ----------
    distance, unmatched : float
    """

    distance: float
    unmatched: float


class Courses(NamedTuple):
    """Distances over the time of one run, or of two.

    Attributes
    ----------
    runs : tuple of Path
        Their folders.
    epochs : list of float
        Of the snapshots.
    distances : dict of str to list of Apart
        For each epoch, by what they are from and to.
    """

    runs: tuple[Path, ...]
    epochs: list[float]
    distances: dict[str, list[Apart]]


def has_topologies(path: Path) -> bool:
    """Whether a path is the folder of a run that keeps snapshots."""
    return len(topology_files(path)) > 1


def trajectory(run: Path) -> Courses:
    """Measure how far each snapshot of a run is from its start and from its end.

    Raises
    ------
    UsageError, TruesparseError
        It has not kept two snapshots, or a file cannot be read or is of another model.
    """
    model = read_topology(run)
    snapshots, layers = _snapshots(run, model), wiring(model.chain)
    patterns = [snapshot.patterns() for snapshot in snapshots]
    distances = {
        "to the start": [_apart(here, patterns[0], layers) for here in patterns],
        "to the end": [_apart(here, patterns[-1], layers) for here in patterns],
    }
    return Courses((run,), [snapshot.epoch for snapshot in snapshots], distances)


def trajectories(first: Path, second: Path) -> Courses:
    """Measure how far two runs are apart where both have a snapshot, and each from its start.

    Raises
    ------
    UsageError, TruesparseError
        As `trajectory`; also if the runs have different layers, or no two snapshots of the same epochs.
    """
    mine, its = read_topology(first), read_topology(second)
    check_alike(first, mine, second, its)
    layers = wiring(mine.chain)
    other = {snapshot.epoch: snapshot for snapshot in _snapshots(second, its)}
    shared = [(here, other[here.epoch]) for here in _snapshots(first, mine) if here.epoch in other]
    if len(shared) < 2:
        raise UsageError(
            f"{first} and {second} have no two snapshots of the same epochs; train both with the same"
            " --keep-topologies, --epochs and --update-interval"
        )
    patterns = [(here.patterns(), there.patterns()) for here, there in shared]
    begins, its_begins = patterns[0]
    distances = {
        "between the two": [_apart(here, there, layers) for here, there in patterns],
        "first to its start": [_apart(here, begins, layers) for here, _ in patterns],
        "second to its start": [_apart(there, its_begins, layers) for _, there in patterns],
    }
    return Courses((first, second), [snapshot.epoch for snapshot, _ in shared], distances)


def _apart(first: dict[str, Pattern], second: dict[str, Pattern], layers: list[LayerWiring]) -> Apart:
    if first is second:
        return Apart(0.0, 0.0)
    result = topology_distance(first, second, layers)
    return Apart(result.distance, result.unmatched)


def _snapshots(run: Path, model: Topology) -> list[Snapshot]:
    """The snapshots of a run, which are of its model."""
    snapshots = read_topologies(run)
    if len(snapshots) < 2:
        raise UsageError(
            f"{run} has {len(snapshots)} snapshots of its topology, and a course needs two; train with"
            f" --keep-topologies, or compare it with another model: truesparse distance {typed(run)} OTHER"
        )
    shapes = {matrix.name: matrix.shape for matrix in model.chain.matrices}
    for snapshot in snapshots:
        if {name: grouped.shape for name, grouped in snapshot.matrices.items()} != shapes:
            raise TruesparseError(
                f"the snapshot of step {snapshot.step} in {run} is of another model than the run's"
                "; take it out of the folder"
            )
    return snapshots
