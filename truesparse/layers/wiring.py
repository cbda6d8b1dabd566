"""What leads into what: the layers of a model as the topology distance sees them."""

from __future__ import annotations

from truesparse.layers.chain import EMBEDDING, ChainSpec, Place
from truesparse.layers.embedding.spec import Embedding
from truesparse.layers.spec import Recurrent
from truesparse.topology.distance import FIXED, Input, LayerWiring


def wiring(chain: ChainSpec) -> list[LayerWiring]:
    """Return the layers of a model that have sparse matrices, from the inputs to the outputs.

    Parameters
    ----------
    chain : ChainSpec

    Returns
    -------
    list of LayerWiring
        The units of the embedding are its features, and its inputs the words. Words and outputs have an order
        of their own, so the rows of the output layer are not matched. With tied weights the features of the
        embedding are the units of the layer before the head, and the one matrix is the embedding's. Where
        layers add to their input, no units are matched: all of them would have to keep one order.
    """
    layers: list[LayerWiring] = []
    source: str | tuple[str, ...] = FIXED
    last = next((_units(place) for place in reversed(chain.places) if _cells(place)), None)
    fixed = any(place.inner or (place.spec.whole and not place.directions) for place in chain.places)
    for place in chain.places:
        matrices = {matrix.name: matrix for matrix in place.matrices}
        is_head = place.spec is chain.head
        if isinstance(place.spec, Embedding):
            tied = chain.head.tied and chain.head.DIRECT
            source = last if tied and isinstance(last, str) else place.name
            source = FIXED if fixed else source
            layers.append(LayerWiring(place.name, source, ((Input(EMBEDDING, FIXED),),), by_column=True))
        elif is_head or fixed:
            for name, matrix in matrices.items():
                read = FIXED if is_head and matrix.reads != "input" else source
                layers.append(LayerWiring(place.name if is_head else name, FIXED, ((Input(name, read),),)))
        elif matrices:
            for cell in _cells(place):
                layers += _wirings(cell, source)
            source = _units(place)
    return layers


def _cells(place: Place) -> tuple[Place, ...]:
    """The layers in it whose units have inputs."""
    return place.directions or ((place,) if place.spec.sums else ())


def _units(place: Place) -> str | tuple[str, ...]:
    """The name of its units, or the names of those of both directions; `FIXED` if they have an order."""
    first, *others = (cell.name for cell in _cells(place))
    if _ordered(_cells(place)[0]):
        return FIXED
    return (first, *others) if others else first


def _ordered(cell: Place) -> bool:
    return isinstance(cell.spec, Recurrent) and cell.spec.ORDERED


def _wirings(cell: Place, source: str | tuple[str, ...]) -> list[LayerWiring]:
    """Its units, and for an order of its own what else gets inputs."""
    sums, gates = _sums(cell, source), cell.matrices[0].gates
    if not _ordered(cell):
        return [LayerWiring(cell.name, cell.name, sums, gates=gates)]
    of = {matrix.name: matrix.gates for matrix in cell.matrices}
    return [LayerWiring(cell.name, FIXED, (own,), gates=of[own[0].matrix]) for own in sums]


def _sums(place: Place, source: str | tuple[str, ...]) -> tuple[tuple[Input, ...], ...]:
    """The products that are added up for a unit of a layer."""
    units = FIXED if _ordered(place) else place.name
    reads = {matrix.name: units if matrix.reads == "state" else source for matrix in place.matrices}
    return tuple(
        tuple(Input(name, reads[name]) for name in (f"{place.name}.{own}" for own in names))
        for names in place.spec.sums
    )
