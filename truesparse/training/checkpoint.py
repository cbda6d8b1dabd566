"""Checkpoints as files: a model, and all that training needs to go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from truesparse.data import Vocabulary
from truesparse.errors import TruesparseError
from truesparse.model.loading import SavedModel, read_saved
from truesparse.model.saving import document_of, tensors_of
from truesparse.modelfile import Encoder, container

if TYPE_CHECKING:
    from truesparse.model import Model

EVOLUTION = ("method.", "positions.")


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
        As in `truesparse.model.saving.save_model`; the optimizer's states are taken from the model's arena.
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
    tensors = tensors_of(arena)
    for slot, flat in arena.states.items():
        tensors.update({f"state.{slot}.{name}": flat[where] for name, where in arena.layout.items()})
    tensors.update({f"hidden.{name}": array for name, array in hidden.items()})
    tensors.update(evolution or {})
    document = document_of("checkpoint", model.chain, vocabulary, encoder, labels, history)
    container.write(path, tensors, {**document, "training": training})


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
        saved = read_saved(reader)
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


def _copy(reader: container.Reader, name: str, target: np.ndarray) -> None:
    """Fill `target` from a tensor of the same type and shape."""
    tensor = reader.get(name)
    if tensor.dtype != target.dtype or tensor.shape != target.shape:
        raise TruesparseError(
            f"{reader.path} is of another model: {name} is {tensor.dtype} of shape {tensor.shape}"
            f", not {target.dtype} of shape {target.shape}"
        )
    target[...] = tensor
