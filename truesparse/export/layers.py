"""What can be exported at all."""

from __future__ import annotations

from collections.abc import Iterable

from truesparse.errors import TruesparseError
from truesparse.layers.spec import Recurrent
from truesparse.modelfile import StoredModel


def check_layers(stored: StoredModel, known: Iterable[str], lacks: str, instead: str) -> None:
    """Check that a form has all layers of a model.

    Parameters
    ----------
    stored : StoredModel
    known : iterable of str
        Types of layers.
    lacks, instead : str
        How a sentence says that the form has no such layer, and what to do.

    Raises
    ------
    TruesparseError
        It has not; or the model reads features, or has no recurrent layer.
    """
    known = set(known)
    for spec in stored.chain.layers:
        if spec.TYPE not in known:
            kind = "cell" if isinstance(spec, Recurrent) else "layer"
            raise TruesparseError(f"{lacks} the {kind} {spec.TYPE}; {instead}")
    if not stored.chain.tokens:
        raise TruesparseError(
            f"{stored.path} reads features, and only what reads tokens has this form; export to scipy"
        )
    if not stored.chain.recurrent:
        raise TruesparseError(f"{stored.path} has no recurrent layer; export to scipy")
