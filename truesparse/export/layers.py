"""What can be exported at all."""

from __future__ import annotations

from collections.abc import Iterator

from truesparse.errors import TruesparseError
from truesparse.layers.chain import ChainSpec
from truesparse.layers.parts import part
from truesparse.layers.spec import LayerSpec, Recurrent
from truesparse.modelfile import StoredModel


def check_layers(stored: StoredModel, kind: str, lacks: str, instead: str) -> None:
    """Check that a form has all layers of a model.

    Parameters
    ----------
    stored : StoredModel
    kind : str
        Which part of a layer the form needs; see `truesparse.layers.parts.part`. What does something in
        training only needs none, nor what `LayerSpec.SPARED` says.
    lacks, instead : str
        How a sentence says that the form has no such layer, and what to do.

    Raises
    ------
    TruesparseError
        It has not; or the model has neither recurrent layers nor some that read features before pooling.
    """
    for spec in _every(stored.chain):
        spared = vars(type(spec)).get("SPARED", ())  # what is derived from a layer computes something else
        if not (spec.TRAINING_ONLY or kind in spared or part(type(spec), kind)):
            what = "cell" if isinstance(spec, Recurrent) else "layer"
            why = f", because {spec.LACKS[kind]}" if kind in spec.LACKS else ""
            raise TruesparseError(f"{lacks} the {what} {spec.TYPE}{why}; {instead}")
    if not stored.chain.recurrent and not (stored.chain.features and stored.chain.split()[0]):
        raise TruesparseError(f"{stored.path} has no recurrent layer; export to scipy")


def _every(chain: ChainSpec) -> Iterator[LayerSpec]:
    """The layers, the cells of those of two directions, and those in residual ones."""
    for place in chain.places:
        yield place.spec
        yield from (own.spec for own in (*place.directions[1:], *place.inner))
