"""The description of a model in the document of a file, of this version and of earlier ones."""

from __future__ import annotations

from typing import Any

from truesparse.errors import TruesparseError, UsageError
from truesparse.layers.chain import ChainSpec
from truesparse.layers.models import language_model, sequence_model
from truesparse.layers.registry import cells
from truesparse.settings import shown

_LANGUAGE_MODEL, _CLASSIFIER = "language-model", "classifier"
# What the document of version 0.1 has: sizes, with the defaults of those that it may leave out, and what
# only one kind of model has; None where there must be a value.
_SIZES = dict.fromkeys(("vocab_size", "embedding_size", "hidden_size", "layers"))
_HEADS: dict[str, dict[str, Any]] = {
    _LANGUAGE_MODEL: {"tied": False, "output_group": 1},
    _CLASSIFIER: {"outputs": None, "pooling": None, "sparse_output": None},
}


def read_chain(document: Any, tensors: int) -> ChainSpec:
    """Read and check the description of a model in a file.

    Parameters
    ----------
    document : object
        The document's `model`: anything.
    tensors : int
        How many there are in the file. A description that asks for more is refused before anything is made
        from it.

    Returns
    -------
    ChainSpec

    Raises
    ------
    TruesparseError
        Something is missing, unknown, of another type or out of range; the sentence has no subject.
    """
    if not isinstance(document, dict):
        raise TruesparseError("does not describe its model")
    layers = document.get("layers")
    try:
        if isinstance(layers, list):
            if (
                len(layers) > 4 * tensors + 4
            ):  # each with parameters has one, between them there may be dropout
                raise TruesparseError("is of no model: it has fewer tensors than layers")
            chain = ChainSpec.from_document(document)
        else:
            chain = _version_0_1(document, tensors)
    except UsageError as error:
        raise TruesparseError(f"is of no model: {error}") from None
    if sum(layer.matrix_count for layer in chain.layers) > tensors:
        raise TruesparseError("is of no model: it has fewer tensors than layers")
    return chain


def _version_0_1(document: dict[str, Any], tensors: int) -> ChainSpec:
    """The chain that sizes of version 0.1 describe."""
    kind = document.get("type")
    if not isinstance(kind, str):
        raise TruesparseError("does not describe its model")
    cell, _, head = kind.partition("-")
    if head not in _HEADS:
        raise TruesparseError(f"is of another model: its type is {kind[:40]}")
    wanted = {**_SIZES, "depth": 1, "pattern": "weight", **_HEADS[head]}
    sizes = {**wanted, **{name: value for name, value in document.items() if name != "type"}}
    unknown = sizes.keys() - wanted.keys()
    missing = {name for name, value in sizes.items() if value is None}
    if unknown or missing:
        key = min(unknown or missing)
        raise TruesparseError(f"is of another model: {shown(key)} is {'unknown' if unknown else 'missing'}")
    for name in ("layers", "depth"):
        if type(sizes[name]) is not int or not 1 <= sizes[name] <= tensors:
            raise TruesparseError(f"is of no model: {name} is {str(sizes[name])[:20]}")
    if type(sizes["vocab_size"]) is not int or sizes["vocab_size"] < 1:
        raise TruesparseError(f"is of no model: vocab_size is {str(sizes['vocab_size'])[:20]}")
    if sizes["depth"] == 1 and not hasattr(cells().get(cell), "depth"):
        del sizes["depth"]
    return (language_model if head == _LANGUAGE_MODEL else sequence_model)(cell=cell, **sizes)
