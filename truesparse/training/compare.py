"""How far apart the topologies of trained models are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from truesparse.errors import UsageError
from truesparse.modelfile import find_model
from truesparse.sparse import Pattern
from truesparse.topology.distance import TopologyDistance, topology_distance
from truesparse.training.checkpoint import load_model

if TYPE_CHECKING:
    from truesparse.nn.spec import RecurrentSpec


def compare_files(paths: Sequence[Path]) -> Iterator[tuple[int, int, TopologyDistance]]:
    """Measure the distance of every two of some models.

    Parameters
    ----------
    paths : sequence of Path
        Model files, checkpoints or folders of runs; at least two.

    Yields
    ------
    tuple of (int, int, TopologyDistance)
        Numbers of two of the paths, the lower one first, and their distance.

    Raises
    ------
    UsageError, TruesparseError
        A model cannot be read, or it has another cell, other sizes or another vocabulary than the first.
    """
    from truesparse.nn.wiring import wiring

    spec, names, patterns = _read(paths[0])
    models = [patterns]
    for path in paths[1:]:
        other_spec, other_names, patterns = _read(path)
        if type(other_spec) is not type(spec):
            raise UsageError(
                f"{paths[0]} and {path} cannot be compared: one is a language model, the other a classifier"
                "; give models of one kind"
            )
        for name in ("cell", *asdict(spec)):  # the cell first: other sizes may follow from it
            if name in ("pattern", "output_group"):
                continue
            value, other = getattr(spec, name), getattr(other_spec, name)
            if other != value:
                raise UsageError(
                    f"{paths[0]} and {path} cannot be compared: {name} is {value} in the first and {other} in"
                    " the second; give models of one cell and of equal sizes"
                )
        for name, value in names.items():
            if other_names[name] == value:
                continue
            raise UsageError(
                f"{paths[0]} and {path} cannot be compared: their {name} differ"
                "; give models that were trained on one text"
            )
        models.append(patterns)
    layers = wiring(spec)
    for first, second in combinations(range(len(models)), 2):
        yield first, second, topology_distance(models[first], models[second], layers)


def _read(path: Path) -> tuple[RecurrentSpec, dict[str, Any], dict[str, Pattern]]:
    """What a comparison needs of a model: its values are not kept."""
    saved = load_model(find_model(path))
    matrices = saved.model.matrices.items()
    patterns = {name: Pattern.from_scipy(matrix.to_scipy())[0] for name, matrix in matrices}
    return saved.model.spec, {"vocabularies": saved.vocabulary, "labels": saved.labels}, patterns
