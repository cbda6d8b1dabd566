"""How far apart the topologies of trained models are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from truesparse.errors import UsageError
from truesparse.layers.chain import ChainSpec
from truesparse.layers.wiring import wiring
from truesparse.modelfile import Reader, find_model, model_kind, read_model
from truesparse.sparse import Pattern
from truesparse.topology.distance import TopologyDistance, topology_distance


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
    models = [read_topology(path) for path in paths]
    for path, model in zip(paths[1:], models[1:], strict=True):
        check_alike(paths[0], models[0], path, model)
    layers = wiring(models[0].chain)
    for first, second in combinations(range(len(models)), 2):
        yield first, second, topology_distance(models[first].patterns, models[second].patterns, layers)


class Topology(NamedTuple):
    """What a comparison needs of a model: its values are not kept."""

    chain: ChainSpec
    names: dict[str, Any]
    patterns: dict[str, Pattern]


def read_topology(path: Path) -> Topology:
    """That of a model file or of a run's best model."""
    with Reader(find_model(path)) as reader:
        stored = read_model(reader)
    patterns = {name: Pattern(csr.indptr, csr.indices, csr.shape) for name, csr in stored.matrices.items()}
    return Topology(stored.chain, {"vocabularies": stored.vocabulary, "labels": stored.labels}, patterns)


def check_alike(path: Path, mine: Topology, second: Path, other: Topology) -> None:
    """Raise UsageError if two models have other cells, sizes or vocabularies."""
    kinds = [model_kind(model.chain, model.names["labels"]) for model in (mine, other)]
    cannot = f"{path} and {second} cannot be compared"
    if kinds[0] != kinds[1]:
        raise UsageError(f"{cannot}: one is a {kinds[0]}, the other a {kinds[1]}; give models of one kind")
    for name, value, its in _differences(mine.chain, other.chain):
        raise UsageError(
            f"{cannot}: {name} is {value} in the first and {its} in the second"
            "; give models of the same layers"
        )
    for name, value in mine.names.items():
        if other.names[name] != value:
            raise UsageError(f"{cannot}: their {name} differ; give models that were trained on one text")


def _differences(one: ChainSpec, two: ChainSpec) -> Iterator[tuple[str, Any, Any]]:
    """What two chains do not have in common, but for dropout: name and both values."""
    first, second = (
        [place for place in chain.places if place.matrices or place.vectors] for chain in (one, two)
    )
    for mine, other in zip(first, second, strict=False):
        if mine.spec.TYPE != other.spec.TYPE:
            yield "a layer", mine.spec.TYPE, other.spec.TYPE
        settings, theirs = mine.spec.to_document(), other.spec.to_document()
        for name in settings:
            if name not in mine.spec.FREE and settings[name] != theirs.get(name):
                yield f"{mine.name}.{name}", settings[name], theirs.get(name)
    if len(first) != len(second):
        yield "the number of layers", len(first), len(second)
