"""A model as it lies in a file: checked arrays, and nothing computed from them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.data import TextEncoder, Vocabulary
from truesparse.errors import TruesparseError, UsageError
from truesparse.modelfile.architecture import CLASSIFIER, Architecture
from truesparse.modelfile.container import Reader
from truesparse.modelfile.csr import (
    CSR,
    broken_invariant,
    expand_groups,
    narrow_index_dtype,
    row_steps,
)

# Of all sizes, only that of embeddings is no tensor's: beyond this it must be below the bytes of the file.
_WIDE = 1 << 16
CHECKPOINT = "checkpoint.safetensors"
MODEL = "model.safetensors"


@dataclass(frozen=True)
class StoredModel:
    """A model of a file.

    Attributes
    ----------
    path : Path
    architecture : Architecture
    matrices : dict of str to CSR
        Where rows share their positions, either without groups, or as they lie in the file: rows are groups
        then, and each entry has several values.
    biases : dict of str to ndarray of float32
    vocabulary : Vocabulary or None
    encoder : TextEncoder or None
        How a classifier reads a text.
    labels : tuple of str
        The names of a classifier's outputs.
    document : dict
        The file's document; of it, only `model`, `vocabulary`, `text` and `labels` have been checked.
    """

    path: Path
    architecture: Architecture
    matrices: dict[str, CSR]
    biases: dict[str, NDArray[np.float32]]
    vocabulary: Vocabulary | None
    encoder: TextEncoder | None
    labels: tuple[str, ...]
    document: dict[str, Any]

    def check_finite(self) -> None:
        """Raise TruesparseError if a weight is not finite."""
        check_finite({name: csr.data for name, csr in self.matrices.items()} | self.biases, self.path)

    @property
    def nnz(self) -> int:
        """Weights of all matrices."""
        return sum(matrix.data.size for matrix in self.matrices.values())

    def with_sparse_output(self) -> StoredModel:
        """The same model, where an output layer of dense weights is a matrix that has an entry everywhere."""
        if self.architecture.sparse_output:
            return self
        architecture = replace(self.architecture, sparse_output=True)
        rows, columns = architecture.matrices["output.weight"]
        indices = np.tile(np.arange(columns, dtype=narrow_index_dtype(columns)), rows)
        indptr = columns * np.arange(rows + 1, dtype=np.int64)
        biases = dict(self.biases)
        output = CSR(indptr, indices, biases.pop("output.weight"), (rows, columns))
        return replace(
            self,
            architecture=architecture,
            matrices={**self.matrices, "output.weight": output},
            biases=biases,
        )


def find_model(path: Path) -> Path:
    """The model file that a path names: itself, or in a run's folder the best model, else the checkpoint.

    Raises
    ------
    UsageError
        There is no such file or folder, or the folder has no model.
    """
    if path.is_dir():
        for name in (MODEL, CHECKPOINT):
            if (path / name).is_file():
                return path / name
        raise UsageError(
            f"{path} has no {MODEL}; give the folder of a run that has been evaluated once, or a model file"
        )
    if not path.exists():
        raise UsageError(f"there is no file or folder {path}; give a model file or the folder of a run")
    return path


def need_vocabulary(vocabulary: Vocabulary | None, path: Path) -> Vocabulary:
    """The vocabulary of the model at `path`.

    Raises
    ------
    TruesparseError
        It has none.
    """
    if vocabulary is None:
        raise TruesparseError(
            f"{path} has no vocabulary, so it reads numbers, not text; import it again with --vocabulary"
        )
    return vocabulary


def check_finite(arrays: Mapping[str, NDArray[np.float32]], path: Path) -> None:
    """Check that the weights of the model at `path` can be used.

    Parameters
    ----------
    arrays : mapping of str to ndarray of float32
        By the names of the parameters.
    path : Path

    Raises
    ------
    TruesparseError
        One is not finite.
    """
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise TruesparseError(
                f"{name} in {path} has values that are not finite: its training went astray"
                f"; use another model"
            )


def scores_overflow(path: Path) -> TruesparseError:
    """The error for a model of finite weights whose scores are not: so large are the weights."""
    return TruesparseError(
        f"the scores of {path} are not finite, so large are its weights: its training went astray"
        f"; use another model"
    )


def read_model(reader: Reader, expand: bool = True) -> StoredModel:
    """Read a model, or the model of a checkpoint; whatever the file may hold, what comes back is valid.

    Parameters
    ----------
    reader : Reader
    expand : bool
        Without it, matrices whose rows share their positions stay as they are in the file.

    Returns
    -------
    StoredModel

    Raises
    ------
    TruesparseError
        Sizes, types, names or indices are not those of a model.

    Notes
    -----
    Nothing is allocated by sizes that the file states, but only by those of the tensors it has. The one size
    that no tensor has, that of embeddings, is bounded by the file, so whoever uses the model is safe too.
    """
    path = reader.path
    try:
        architecture = Architecture.from_document(reader.document.get("model"), len(reader.names))
    except TruesparseError as error:
        raise TruesparseError(f"{path} {error}; use another file or train again") from None
    if architecture.embedding_size > max(_WIDE, path.stat().st_size):
        raise TruesparseError(
            f"{path} is of no model: its embeddings are longer than the file; use another file or train again"
        )
    shapes, groups = architecture.matrices, architecture.groups
    matrices = {
        name: _read_csr(reader, name, (rows // groups[name][1], columns), groups[name][1])
        for name, (rows, columns) in shapes.items()
    }
    biases = {name: _read_floats(reader, name, size) for name, size in architecture.biases.items()}
    if expand:  # now that a bias has told that there are as many rows
        for name, (blocks, group) in groups.items():
            steps = row_steps(shapes[name][0], blocks, group)
            matrices[name] = expand_groups(matrices[name], group, steps)
    vocabulary, document = _read_vocabulary(reader, architecture), reader.document
    encoder: TextEncoder | None = None
    labels: tuple[str, ...] = ()
    if architecture.head == CLASSIFIER:
        encoder, labels = _read_encoder(reader, vocabulary), _read_labels(reader, architecture)
    return StoredModel(path, architecture, matrices, biases, vocabulary, encoder, labels, document)


def _read_csr(reader: Reader, name: str, shape: tuple[int, int], group: int) -> CSR:
    indptr, indices = reader.get(f"{name}.indptr"), reader.get(f"{name}.indices")
    broken = broken_invariant(indptr, indices, shape)
    if broken:
        raise TruesparseError(f"{name} in {reader.path} is not a valid sparse pattern: {broken}")
    return CSR(indptr, indices, _read_floats(reader, f"{name}.data", indices.size * group), shape)


def _read_floats(reader: Reader, name: str, size: int) -> NDArray[np.float32]:
    array = reader.get(name)
    if array.dtype != np.float32 or array.shape != (size,):
        raise TruesparseError(
            f"{reader.path} is of another model: {name} is {array.dtype} of shape {array.shape}"
            f", not float32 of shape {(size,)}"
        )
    return array


def _read_vocabulary(reader: Reader, architecture: Architecture) -> Vocabulary | None:
    fields = reader.document.get("vocabulary")
    if fields is None:
        return None
    vocabulary = Vocabulary.from_json(json.dumps(fields))
    _check_unicode(reader, vocabulary.tokens)
    if len(vocabulary) != architecture.vocab_size:
        raise TruesparseError(
            f"{reader.path} is of another model: its vocabulary has {len(vocabulary)} tokens"
            f", its matrices {architecture.vocab_size}"
        )
    return vocabulary


def _read_encoder(reader: Reader, vocabulary: Vocabulary | None) -> TextEncoder:
    if vocabulary is None:
        raise TruesparseError(f"{reader.path} is a classifier without a vocabulary; use another file")
    try:
        return TextEncoder.from_document(reader.document.get("text"), vocabulary)
    except TruesparseError as error:
        raise TruesparseError(f"{reader.path} is no text classifier: {error}; use another file") from None


def _read_labels(reader: Reader, architecture: Architecture) -> tuple[str, ...]:
    labels = reader.document.get("labels")
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise TruesparseError(f"{reader.path} is a classifier without labels; use another file")
    if len(set(labels)) != architecture.outputs or len(labels) != architecture.outputs:
        raise TruesparseError(
            f"{reader.path} is of another model: it has {len(set(labels))} labels"
            f", its matrices {architecture.outputs}"
        )
    _check_unicode(reader, labels)
    return tuple(labels)


def _check_unicode(reader: Reader, texts: Iterable[str]) -> None:
    """Raise TruesparseError if a text cannot be written."""
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        raise reader.corrupt() from None
