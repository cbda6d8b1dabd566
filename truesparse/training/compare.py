"""How far apart the topologies of trained models are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from truesparse.errors import UsageError
from truesparse.modelfile import Architecture, Reader, find_model, read_model
from truesparse.sparse import Pattern
from truesparse.topology.distance import TopologyDistance, topology_distance
from truesparse.topology.wiring import wiring


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
    spec, names, patterns = _read(paths[0])
    models = [patterns]
    for path in paths[1:]:
        other_spec, other_names, patterns = _read(path)
        if other_spec.head != spec.head:
            raise UsageError(
                f"{paths[0]} and {path} cannot be compared: one is a language model, the other a classifier"
                "; give models of one kind"
            )
        for name in ("cell", *spec.sizes):  # the cell first: other sizes may follow from it
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
    layers = wiring(tuple(spec.matrices), spec.layer_names, spec.gates, spec.tied)
    for first, second in combinations(range(len(models)), 2):
        yield first, second, topology_distance(models[first], models[second], layers)


def _read(path: Path) -> tuple[Architecture, dict[str, Any], dict[str, Pattern]]:
    """What a comparison needs of a model: its values are not kept."""
    with Reader(find_model(path)) as reader:
        stored = read_model(reader)
    patterns = {name: Pattern(csr.indptr, csr.indices, csr.shape) for name, csr in stored.matrices.items()}
    return stored.architecture, {"vocabularies": stored.vocabulary, "labels": stored.labels}, patterns
