"""How far apart the topologies of trained models are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

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
    chain, names, patterns = _read(paths[0])
    kind = model_kind(chain, names["labels"])
    models = [patterns]
    for path in paths[1:]:
        other_chain, other_names, patterns = _read(path)
        other_kind = model_kind(other_chain, other_names["labels"])
        if kind != other_kind:
            raise UsageError(
                f"{paths[0]} and {path} cannot be compared: one is a {kind}, the other a {other_kind}"
                "; give models of one kind"
            )
        for name, value, other in _differences(chain, other_chain):
            raise UsageError(
                f"{paths[0]} and {path} cannot be compared: {name} is {value} in the first and {other} in"
                " the second; give models of the same layers"
            )
        for name, value in names.items():
            if other_names[name] == value:
                continue
            raise UsageError(
                f"{paths[0]} and {path} cannot be compared: their {name} differ"
                "; give models that were trained on one text"
            )
        models.append(patterns)
    layers = wiring(chain)
    for first, second in combinations(range(len(models)), 2):
        yield first, second, topology_distance(models[first], models[second], layers)


def _read(path: Path) -> tuple[ChainSpec, dict[str, Any], dict[str, Pattern]]:
    """What a comparison needs of a model: its values are not kept."""
    with Reader(find_model(path)) as reader:
        stored = read_model(reader)
    patterns = {name: Pattern(csr.indptr, csr.indices, csr.shape) for name, csr in stored.matrices.items()}
    return stored.chain, {"vocabularies": stored.vocabulary, "labels": stored.labels}, patterns


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
