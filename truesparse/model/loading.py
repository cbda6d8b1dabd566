"""Models that are read from files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from truesparse.data import Vocabulary
from truesparse.files import path_of
from truesparse.layers.chain import ChainSpec
from truesparse.modelfile import (
    Encoder,
    StoredModel,
    check_finite,
    container,
    find_model,
    model_kind,
    read_model,
)
from truesparse.modelfile.data_settings import DataSettings
from truesparse.sparse import Arena, Pattern

if TYPE_CHECKING:
    from truesparse.model.model import Model


@dataclass(frozen=True)
class SavedModel:
    """A model read from a file.

    Attributes
    ----------
    path : Path
    model : Model
    data : DataSettings
        How data are read for it.
    """

    path: Path
    model: Model
    data: DataSettings

    @property
    def chain(self) -> ChainSpec:
        """Its layers."""
        return self.model.chain

    @property
    def vocabulary(self) -> Vocabulary | None:
        """None if nobody knows what the tokens mean, as of a model that was imported without."""
        return self.model.vocabulary

    @property
    def encoder(self) -> Encoder:
        """How a classifier reads a text, or a tagger a sentence; None of a language model."""
        return self.model.encoder

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of a classifier's or tagger's outputs."""
        return self.model.labels

    @property
    def kind(self) -> str:
        """What it is, in words."""
        return model_kind(self.model.chain, self.labels)

    def check_finite(self) -> None:
        """Raise TruesparseError if a weight is not finite, so that the model cannot be used."""
        arena = self.model.arena
        weights = {name: matrix.data for name, matrix in arena.matrices.items()}
        check_finite(weights | arena.biases, self.path)


def load(path: str | Path) -> Model:
    """Read a model that `Model.save`, a training run or an import has written.

    Parameters
    ----------
    path : str or Path
        A model file, a checkpoint, or the folder of a run, of which the best model is taken.

    Raises
    ------
    UsageError, TruesparseError
        There is no such file, or it is not a valid model of finite weights.
    """
    saved = load_model(find_model(path_of(path)))
    saved.check_finite()
    return saved.model


def load_model(path: Path) -> SavedModel:
    """Read a model, or the model of a checkpoint.

    Raises
    ------
    TruesparseError
        The file is missing, cut short, corrupt, not of truesparse, of a newer version, or not a valid model.
    """
    with container.Reader(path) as reader:
        return read_saved(reader)


def load_arena(path: Path) -> tuple[ChainSpec, Arena, Encoder]:
    """Read the sizes and the matrices of a model, or of the model of a checkpoint, and how it reads; needs no
    kernels.

    Raises
    ------
    TruesparseError
        As `load_model`.
    """
    with container.Reader(path) as reader:
        stored = read_model(reader, expand=False)
        return stored.chain, _arena(stored), stored.encoder


def read_saved(reader: container.Reader) -> SavedModel:
    """The model of a file, checked."""
    from truesparse.model.model import Model  # which needs kernels

    stored = read_model(reader, expand=False)
    model = Model(stored.chain, _arena(stored), stored.vocabulary, stored.encoder, stored.labels)
    return SavedModel(reader.path, model, stored.data)


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
