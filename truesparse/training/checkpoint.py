"""Models and checkpoints as files: which tensors and what document are in a `container`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import truesparse
from truesparse.data import Vocabulary
from truesparse.errors import TruesparseError
from truesparse.layers.chain import Chain
from truesparse.modelfile import Encoder, StoredModel, check_finite, container, kind_of, read_model
from truesparse.modelfile.data_settings import DataSettings, data_document
from truesparse.sparse import Arena, Pattern

if TYPE_CHECKING:
    from truesparse.model import Model

EVOLUTION = ("method.", "positions.")


@dataclass(frozen=True)
class SavedModel:
    """A model read from a file.

    Attributes
    ----------
    path : Path
    model : Model
    vocabulary : Vocabulary or None
        None if nobody knows what the tokens mean, as of a model that was imported without.
    encoder : TextEncoder, TokenEncoder or None
        How a classifier reads a text, or a tagger a sentence; None of a language model.
    labels : tuple of str
        The names of a classifier's or tagger's outputs.
    data : DataSettings
        How data are read for it.
    """

    path: Path
    model: Model
    vocabulary: Vocabulary | None
    encoder: Encoder
    labels: tuple[str, ...]
    data: DataSettings

    @property
    def kind(self) -> str:
        """What it is, in words."""
        return kind_of(self.model.chain, self.labels)

    def check_finite(self) -> None:
        """Raise TruesparseError if a weight is not finite, so that the model cannot be used."""
        arena = self.model.arena
        weights = {name: matrix.data for name, matrix in arena.matrices.items()}
        check_finite(weights | arena.biases, self.path)


@dataclass(frozen=True)
class Checkpoint(SavedModel):
    """A checkpoint read from a file; the model's arena has the optimizer's states.

    Attributes
    ----------
    hidden : dict of str to ndarray
        Hidden state carried to the next window.
    evolution : dict of str to ndarray
        What the evolution of the topology keeps besides the arena, by the tensors' names.
    training : dict
        What `save_checkpoint` was given: anything, if another program has written the file.
    slots : frozenset of str
        The optimizer's states that are in the file.
    history : object
        The configuration of the run that wrote it: a mapping, but anything if another program or another
        version has written the file.
    version : object
        The version of truesparse that wrote it, if that is known.
    """

    hidden: dict[str, np.ndarray]
    evolution: dict[str, np.ndarray]
    training: dict[str, Any]
    slots: frozenset[str]
    history: Any
    version: Any


def save_model(
    path: Path,
    model: Model,
    vocabulary: Vocabulary | None = None,
    encoder: Encoder = None,
    labels: Sequence[str] = (),
    history: Mapping[str, Any] | None = None,
) -> None:
    """Write weights, topology and vocabulary: what it takes to use a model.

    Parameters
    ----------
    path : Path
    model : Model
    vocabulary, encoder, labels
        As in `SavedModel`; those of a classifier or tagger have to be given.
    history : mapping, optional
        The configuration of the run that made it, as JSON can hold it. What it says of how data are read is
        taken from there.

    Raises
    ------
    TruesparseError
        The file cannot be written; an earlier one is unharmed.
    """
    document = _document("model", model.chain, vocabulary, encoder, labels, history)
    container.write(path, _weights(model.arena), document)


def save_checkpoint(
    path: Path,
    model: Model,
    vocabulary: Vocabulary | None,
    history: Mapping[str, Any],
    hidden: Mapping[str, np.ndarray],
    training: Mapping[str, Any],
    evolution: Mapping[str, np.ndarray] | None = None,
    encoder: Encoder = None,
    labels: Sequence[str] = (),
) -> None:
    """Write all that training needs to go on to the same bits.

    Parameters
    ----------
    path : Path
    model, vocabulary, history, encoder, labels
        As in `save_model`; the optimizer's states are taken from the model's arena.
    hidden : mapping of str to ndarray
        The hidden state carried to the next window.
    training : mapping
        What JSON can hold: position, generators, learning rate and the rest.
    evolution : mapping of str to ndarray, optional
        What the evolution of the topology keeps besides the arena, by tensors' names that begin with one of
        `EVOLUTION`.

    Raises
    ------
    TruesparseError
        The file cannot be written; an earlier one is unharmed.
    """
    arena = model.arena
    tensors = _weights(arena)
    for slot, flat in arena.states.items():
        tensors.update({f"state.{slot}.{name}": flat[where] for name, where in arena.layout.items()})
    tensors.update({f"hidden.{name}": array for name, array in hidden.items()})
    tensors.update(evolution or {})
    document = _document("checkpoint", model.chain, vocabulary, encoder, labels, history)
    container.write(path, tensors, {**document, "training": training})


def load_model(path: Path) -> SavedModel:
    """Read a model, or the model of a checkpoint.

    Raises
    ------
    TruesparseError
        The file is missing, cut short, corrupt, not of truesparse, of a newer version, or not a valid model.
    """
    with container.Reader(path) as reader:
        return _read_model(reader)


def load_arena(path: Path) -> tuple[Chain, Arena]:
    """Read the sizes and the matrices of a model, or of the model of a checkpoint, which needs no kernels.

    Raises
    ------
    TruesparseError
        As `load_model`.
    """
    with container.Reader(path) as reader:
        stored = read_model(reader, expand=False)
        return stored.chain, _arena(stored)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; the optimizer's states are put into the model's arena.

    Raises
    ------
    TruesparseError
        As `load_model`; also for a model file, which cannot be trained on.
    """
    with container.Reader(path) as reader:
        if reader.document.get("kind") != "checkpoint":
            raise TruesparseError(f"{path} is a model, not a checkpoint; give --resume the folder of a run")
        if not isinstance(reader.document.get("training"), dict):
            raise reader.corrupt()
        saved = _read_model(reader)
        arena = saved.model.arena
        slots = {name.split(".")[1] for name in reader.names if name.startswith("state.")}
        for slot in sorted(slots):
            flat = arena.add_state(slot)
            for name, where in arena.layout.items():
                _copy(reader, f"state.{slot}.{name}", flat[where])
        hidden = {
            name.removeprefix("hidden."): reader.get(name)
            for name in reader.names
            if name.startswith("hidden.")
        }
        evolution = {name: reader.get(name) for name in reader.names if name.startswith(EVOLUTION)}
        return Checkpoint(
            **vars(saved),
            hidden=hidden,
            evolution=evolution,
            training=reader.document["training"],
            slots=frozenset(slots),
            history=reader.document.get("config"),
            version=reader.document.get("truesparse_version"),
        )


def _document(
    kind: str,
    chain: Chain,
    vocabulary: Vocabulary | None,
    encoder: Encoder,
    labels: Sequence[str],
    history: Mapping[str, Any] | None,
) -> dict[str, Any]:
    of_labels = {} if encoder is None else {"text": encoder.to_document(), "labels": list(labels)}
    labelled = kind_of(chain, labels) != "language model"
    of_run = {} if history is None else {"data": data_document(history, labelled), "config": {**history}}
    return {
        "kind": kind,
        "truesparse_version": truesparse.__version__,
        "model": chain.to_document(),
        "vocabulary": None if vocabulary is None else json.loads(vocabulary.to_json()),
        **of_labels,
        **of_run,
    }


def _weights(arena: Arena) -> dict[str, np.ndarray]:
    tensors: dict[str, np.ndarray] = {}
    for name, matrix in arena.matrices.items():
        tensors[f"{name}.data"] = matrix.data
        tensors[f"{name}.indices"] = matrix.indices
        tensors[f"{name}.indptr"] = matrix.indptr
    return tensors | arena.biases


def _read_model(reader: container.Reader) -> SavedModel:
    """The model of a file, checked."""
    from truesparse.model import Model  # which needs kernels

    stored = read_model(reader, expand=False)
    model, data = (
        Model(stored.chain, _arena(stored)),
        DataSettings.from_document(reader.document, stored.kind != "language model"),
    )
    return SavedModel(reader.path, model, stored.vocabulary, stored.encoder, stored.labels, data)


def _arena(stored: StoredModel) -> Arena:
    """The arena of a model that was read without expanding it, whose matrices are taken away."""
    patterns = {}
    for matrix in stored.chain.matrices:
        csr = stored.matrices[matrix.name]
        pattern = Pattern(csr.indptr, csr.indices, csr.shape)
        patterns[matrix.name] = pattern, matrix.blocks, matrix.group
    arena = Arena(patterns, {vector.name: vector.size for vector in stored.chain.vectors})
    for name, sparse in arena.matrices.items():
        sparse.data[...] = stored.matrices.pop(name).data  # one copy of each is enough
    for name, vector in arena.biases.items():
        vector[...] = stored.vectors[name]
    arena.touch()
    return arena


def _copy(reader: container.Reader, name: str, target: np.ndarray) -> None:
    """Fill `target` from a tensor of the same type and shape."""
    tensor = reader.get(name)
    if tensor.dtype != target.dtype or tensor.shape != target.shape:
        raise TruesparseError(
            f"{reader.path} is of another model: {name} is {tensor.dtype} of shape {tensor.shape}"
            f", not {target.dtype} of shape {target.shape}"
        )
    target[...] = tensor
