"""A model as it lies in a file: checked arrays, and nothing computed from them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from truesparse.csr import (
    CSR,
    broken_invariant,
    expand_groups,
    narrow_index_dtype,
    row_steps,
)
from truesparse.data import SeriesEncoder, TextEncoder, TokenEncoder, Vocabulary
from truesparse.data.masking import check_mask
from truesparse.errors import TruesparseError, UsageError
from truesparse.layers.chain import ChainSpec
from truesparse.layers.embedding.spec import Embedding
from truesparse.layers.output.spec import MaskedSoftmax, Softmax, SquaredError
from truesparse.layers.spec import Matrix
from truesparse.modelfile.container import Reader
from truesparse.modelfile.data_settings import DataSettings
from truesparse.modelfile.description import read_chain

# Of all sizes, only those of embeddings and features are no tensor's: above this they must be below the bytes
# of the file.
_WIDE = 1 << 16
Encoder = TextEncoder | TokenEncoder | SeriesEncoder | None
E = TypeVar("E", TextEncoder, TokenEncoder)
CHECKPOINT = "checkpoint.safetensors"
MODEL = "model.safetensors"


@dataclass(frozen=True)
class StoredModel:
    """A model of a file.

    Attributes
    ----------
    path : Path
    chain : ChainSpec
    matrices : dict of str to CSR
        Where rows share their positions, either without groups, or as they lie in the file: rows are groups
        then, and each entry has several values.
    vectors : dict of str to ndarray of float32
    vocabulary : Vocabulary or None
    encoder : TextEncoder, TokenEncoder, SeriesEncoder or None
        How a classifier reads a text, a tagger a sentence, or a model of features a table; None if nobody has
        said.
    labels : tuple of str
        The names of a classifier's or tagger's outputs; none if nobody has named them.
    document : dict
        The file's document; of it, only `model`, `vocabulary`, `text`, `series` and `labels` have been
        checked.
    """

    path: Path
    chain: ChainSpec
    matrices: dict[str, CSR]
    vectors: dict[str, NDArray[np.float32]]
    vocabulary: Vocabulary | None
    encoder: Encoder
    labels: tuple[str, ...]
    document: dict[str, Any]

    def check_finite(self) -> None:
        """Raise TruesparseError if a weight is not finite."""
        check_finite({name: csr.data for name, csr in self.matrices.items()} | self.vectors, self.path)

    @property
    def kind(self) -> str:
        """What it is, in words."""
        return model_kind(self.chain, self.labels)

    @property
    def data(self) -> DataSettings:
        """How data are read for it."""
        return DataSettings.from_document(self.document, not of_text(self.kind))

    @property
    def nnz(self) -> int:
        """Weights of all matrices."""
        return sum(matrix.data.size for matrix in self.matrices.values())

    def with_sparse_output(self) -> StoredModel:
        """The same model, where an output layer of dense weights is a matrix that has an entry everywhere."""
        head = self.chain.head
        if head.sparse:
            return self
        chain = self.chain.with_head(sparse=True)
        rows, columns = head.outputs, self.chain.places[-1].given.size
        indices = np.tile(np.arange(columns, dtype=narrow_index_dtype(columns)), rows)
        indptr = columns * np.arange(rows + 1, dtype=np.int64)
        vectors, name = dict(self.vectors), chain.output_matrix
        output = CSR(indptr, indices, vectors.pop(name), (rows, columns))
        return replace(self, chain=chain, matrices={**self.matrices, name: output}, vectors=vectors)

    def with_scores_as_said(self) -> StoredModel:
        """The same model, where the numbers of the output layer are divided by its temperature."""
        temperature = getattr(self.chain.head, "temperature", 1.0)
        if temperature == 1:
            return self
        name, bias = self.chain.output_matrix, f"{self.chain.head.NAME}.bias"
        matrices, vectors = dict(self.matrices), dict(self.vectors)
        for vector in {bias, name} & vectors.keys():
            vectors[vector] = vectors[vector] / np.float32(temperature)
        if name in matrices:
            matrices[name] = matrices[name]._replace(data=matrices[name].data / np.float32(temperature))
        return replace(self, chain=self.chain.with_head(temperature=1.0), matrices=matrices, vectors=vectors)


def model_kind(chain: ChainSpec, labels: Sequence[str]) -> str:
    """What a model is, in words: a regressor estimates numbers, a classifier says to which class a sequence
    belongs, a tagger to which one each of its steps does; a language model says the next token instead."""
    if isinstance(chain.head, SquaredError):
        return "regressor"
    if isinstance(chain.head, MaskedSoftmax):
        return "masked language model"
    named = labels or not chain.tokens
    return "classifier" if not chain.per_step else "tagger" if named else "language model"


def of_text(kind: str) -> bool:
    """Whether models of a kind, in words, learn from text that nobody has labelled."""
    return kind.endswith("language model")


def find_model(path: Path) -> Path:
    """The model file that a path names: itself, or in a run's folder the best model, else the checkpoint.

    Raises
    ------
    UsageError
        There is no such file or folder, or the folder has no model.
    """
    try:
        if path.is_dir():
            for name in (MODEL, CHECKPOINT):
                if (path / name).is_file():
                    return path / name
            raise UsageError(
                f"{path} has no {MODEL}; give the folder of a run that has been evaluated once, or a model"
                " file"
            )
        if path.exists():
            return path
        why = ""
    except OSError as error:  # as of a name that is too long, or a folder that is closed to the user
        why = f" that can be read ({error.strerror})"
    raise UsageError(f"there is no file or folder {path}{why}; give a model file or the folder of a run")


def need_vocabulary(vocabulary: Vocabulary | None, path: Path) -> Vocabulary:
    """The vocabulary of the model at `path`.

    Raises
    ------
    TruesparseError
        It has none.
    """
    if vocabulary is None:
        raise TruesparseError(
            f"{path} has no vocabulary, so it reads numbers, not text; save it with a vocabulary, or import"
            " it with --vocabulary"
        )
    return vocabulary


def need_encoder(encoder: Encoder, path: Path, kind: type[E] = TextEncoder) -> E:  # type: ignore[assignment]
    """How the classifier or tagger at `path` reads a text.

    Raises
    ------
    TruesparseError
        Nobody has said.
    """
    if not isinstance(encoder, kind):
        raise TruesparseError(
            f"{path} has no vocabulary, so it reads numbers, not text; save it again with a {kind.__name__}"
        )
    return encoder


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
        chain = read_chain(reader.document.get("model"), len(reader.names))
    except TruesparseError as error:
        raise TruesparseError(f"{path} {error}; use another file or train again") from None
    widths = [chain.features, *(layer.size for layer in chain.layers if isinstance(layer, Embedding))]
    if max(widths) > max(_WIDE, path.stat().st_size):
        raise TruesparseError(
            f"{path} is of no model: its embeddings or features are longer than the file; use another file or"
            " train again"
        )
    matrices = {matrix.name: _read_csr(reader, matrix) for matrix in chain.matrices}
    vectors = {vector.name: _read_floats(reader, vector.name, vector.size) for vector in chain.vectors}
    if expand:  # now that a vector has shown that there are as many rows
        for matrix in chain.matrices:
            steps = row_steps(matrix.shape[0], matrix.blocks, matrix.group)
            matrices[matrix.name] = expand_groups(matrices[matrix.name], matrix.group, steps)
    vocabulary, document = _read_vocabulary(reader, chain), reader.document
    encoder: Encoder = None
    labels: tuple[str, ...] = ()
    if chain.features or not chain.per_step or "labels" in document:
        encoder = (_read_series if chain.features else _read_encoder)(reader, chain, vocabulary)
        if document.get("labels") is not None or (encoder is not None and names_outputs(encoder)):
            labels = _read_labels(reader, chain)
    return StoredModel(path, chain, matrices, vectors, vocabulary, encoder, labels, document)


def _read_csr(reader: Reader, matrix: Matrix) -> CSR:
    name, (rows, columns), group = matrix.name, matrix.shape, matrix.group
    shape = rows // group, columns
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


def _read_vocabulary(reader: Reader, chain: ChainSpec) -> Vocabulary | None:
    fields = reader.document.get("vocabulary")
    if fields is None:
        return None
    vocabulary = Vocabulary.from_json(json.dumps(fields))
    _check_unicode(reader, vocabulary.tokens)
    if len(vocabulary) != chain.tokens:
        raise TruesparseError(
            f"{reader.path} is of another model: its vocabulary has {len(vocabulary)} tokens"
            f", its matrices {chain.tokens}"
        )
    if isinstance(chain.head, MaskedSoftmax):
        try:
            check_mask(vocabulary)
        except TruesparseError as error:
            raise TruesparseError(f"{reader.path} cannot be used: {error}; use another file") from None
    return vocabulary


def _read_encoder(reader: Reader, chain: ChainSpec, vocabulary: Vocabulary | None) -> Encoder:
    if vocabulary is None and reader.document.get("text") is None and not (chain.per_step and chain.tokens):
        return None
    kind = "tagger" if chain.per_step else "classifier"
    if vocabulary is None:
        raise TruesparseError(f"{reader.path} is a {kind} without a vocabulary; use another file")
    encoder = TokenEncoder if chain.per_step else TextEncoder
    try:
        return encoder.from_document(reader.document.get("text"), vocabulary)
    except TruesparseError as error:
        raise TruesparseError(f"{reader.path} is no text {kind}: {error}; use another file") from None


def _read_series(reader: Reader, chain: ChainSpec, vocabulary: Vocabulary | None) -> SeriesEncoder | None:
    document = reader.document.get("series")
    if document is None:
        return None
    try:
        encoder = SeriesEncoder.from_document(
            document, chain.features, chain.head.outputs, chain.per_step, isinstance(chain.head, Softmax)
        )
    except TruesparseError as error:
        raise TruesparseError(f"{reader.path} {error}; use another file or train again") from None
    _check_unicode(reader, (*encoder.features, *encoder.targets, *encoder.known))
    return encoder


def names_outputs(encoder: TextEncoder | TokenEncoder | SeriesEncoder) -> bool:
    """Whether a model that reads so predicts labels, which have names."""
    return not isinstance(encoder, SeriesEncoder) or encoder.labels


def _read_labels(reader: Reader, chain: ChainSpec) -> tuple[str, ...]:
    labels = reader.document.get("labels")
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        kind = "tagger" if chain.per_step else "classifier"
        raise TruesparseError(f"{reader.path} is a {kind} without labels; use another file")
    if len(set(labels)) != chain.head.outputs or len(labels) != chain.head.outputs:
        raise TruesparseError(
            f"{reader.path} is of another model: it has {len(set(labels))} labels"
            f", its matrices {chain.head.outputs}"
        )
    _check_unicode(reader, labels)
    return tuple(labels)


def _check_unicode(reader: Reader, texts: Iterable[str]) -> None:
    """Raise TruesparseError if a text cannot be written."""
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        raise reader.corrupt() from None
