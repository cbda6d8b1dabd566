"""A model as a file: which tensors and what document are in its `container`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from truesparse.data import SeriesEncoder, Subwords, TextEncoder, TokenEncoder, Vocabulary
from truesparse.data.masking import check_mask
from truesparse.errors import TruesparseError, UsageError
from truesparse.layers.chain import ChainSpec
from truesparse.layers.output.spec import MaskedSoftmax
from truesparse.modelfile import Encoder, container, model_kind, names_outputs, of_text
from truesparse.modelfile.data_settings import data_document
from truesparse.sparse import Arena
from truesparse.version import __version__

if TYPE_CHECKING:
    from truesparse.model.model import Model


def save_model(
    path: Path,
    model: Model,
    vocabulary: Vocabulary | None = None,
    encoder: Encoder = None,
    labels: Sequence[str] = (),
    history: Mapping[str, Any] | None = None,
    estimator: Mapping[str, Any] | None = None,
) -> None:
    """Write weights, topology and vocabulary: what it takes to use a model.

    Parameters
    ----------
    path : Path
    model : Model
    vocabulary, encoder, labels
        As in `Model`, whose own are not asked for.
    history : mapping, optional
        The configuration of the run that made it, as JSON can hold it. What it says of how data are read is
        taken from there.
    estimator : mapping, optional
        What an estimator is besides its model; see `truesparse.sklearn`.

    Raises
    ------
    TruesparseError
        The file cannot be written; an earlier one is unharmed.
    """
    document = document_of("model", model.chain, vocabulary, encoder, labels, history)
    if estimator is not None:
        document["estimator"] = estimator
    container.write(path, tensors_of(model.arena), document)


def check_reading(
    chain: ChainSpec, vocabulary: Vocabulary | None, encoder: Encoder, labels: Sequence[str]
) -> None:
    """Raise UsageError if vocabulary, encoder and labels do not fit the layers of a model."""
    if vocabulary is not None and not isinstance(vocabulary, Vocabulary):
        raise UsageError(f"the vocabulary is a {type(vocabulary).__name__}; it must be a Vocabulary")
    if not all(isinstance(label, str) for label in labels):
        raise UsageError("labels must be texts")
    if vocabulary is not None and not chain.tokens:
        raise UsageError("a model of features has no vocabulary; leave it out")
    if vocabulary is not None and len(vocabulary) != chain.tokens:
        raise UsageError(
            f"the vocabulary has {len(vocabulary):,} tokens, but the model reads {chain.tokens:,}"
            f"; give the one that it was trained with"
        )
    masked = isinstance(chain.head, MaskedSoftmax)
    if vocabulary is not None:
        try:  # what could not be read again is not written
            if masked:
                check_mask(vocabulary)
            Vocabulary.from_json(vocabulary.to_json())
            if isinstance(encoder, TextEncoder | TokenEncoder):
                type(encoder).from_document(encoder.to_document(), vocabulary)
        except TruesparseError as error:
            raise UsageError(f"the model cannot be saved so: {error}") from None
    if chain.whole and chain.per_step and vocabulary is not None and not labels and not masked:
        raise UsageError(
            "a model that reads in both directions is no language model; give a TokenEncoder and the labels"
            " of its outputs"
        )
    if isinstance(encoder, TextEncoder) and chain.per_step:
        raise UsageError(
            "a model with an output at each step needs a Vocabulary, or a TokenEncoder and labels, not a"
            " TextEncoder"
        )
    if vocabulary is not None and not chain.per_step and not isinstance(encoder, TextEncoder):
        raise UsageError(
            "a model of whole texts needs a TextEncoder, which says how they are cut"
            "; give TextEncoder(vocabulary, length)"
        )
    if isinstance(encoder, SeriesEncoder):
        try:
            SeriesEncoder.from_document(
                encoder.to_document(), chain.features, chain.head.outputs, chain.per_step, bool(labels)
            )
        except TruesparseError as error:
            raise UsageError(f"the model {error}; give the SeriesEncoder that it was trained with") from None
    elif labels and chain.per_step and chain.tokens and not isinstance(encoder, TokenEncoder):
        raise UsageError("labels for each step take a TokenEncoder; give one, or leave the labels out")
    if encoder is not None and names_outputs(encoder) and not labels:
        raise UsageError("a model with an encoder needs the names of its outputs; give labels")
    if labels and (len(labels) != chain.head.outputs or len(set(labels)) != len(labels)):
        raise UsageError(
            f"there are {len(set(labels))} different labels, but the model has {chain.head.outputs} outputs"
            f"; give one for each"
        )


def document_of(
    kind: str,
    chain: ChainSpec,
    vocabulary: Vocabulary | None,
    encoder: Encoder,
    labels: Sequence[str],
    history: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The description of a model in a file, without its numbers."""
    of_classifier: dict[str, Any] = {}
    if encoder is not None:
        of_classifier["series" if isinstance(encoder, SeriesEncoder) else "text"] = encoder.to_document()
    if labels or (encoder is not None and names_outputs(encoder)):
        of_classifier["labels"] = list(labels)
    of_run = (
        {}
        if history is None
        else {
            "data": data_document(history, not of_text(model_kind(chain, labels))),
            "config": {**history},
        }
    )
    newer = isinstance(vocabulary, Subwords)  # a reader of version 2 knows none
    return {
        **({"format_version": 3} if newer else {}),
        "kind": kind,
        "truesparse_version": __version__,
        "model": chain.to_document(),
        "vocabulary": None if vocabulary is None else json.loads(vocabulary.to_json()),
        **of_classifier,
        **of_run,
    }


def tensors_of(arena: Arena) -> dict[str, np.ndarray]:
    """The numbers of a model and where they are, by the tensors' names."""
    tensors: dict[str, np.ndarray] = {}
    for name, matrix in arena.matrices.items():
        tensors[f"{name}.data"] = matrix.data
        tensors[f"{name}.indices"] = matrix.indices
        tensors[f"{name}.indptr"] = matrix.indptr
    return tensors | arena.biases
