"""Dense models from other programs, made sparse: the largest weights kept."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from truesparse.csr import CSR, narrow_index_dtype
from truesparse.data import SeriesEncoder
from truesparse.errors import TruesparseError, UsageError
from truesparse.export.imported_names import read_names
from truesparse.layers.chain import ChainSpec
from truesparse.layers.output.spec import Softmax, SquaredError
from truesparse.layers.spec import LayerSpec
from truesparse.model.saving import save_model
from truesparse.sparse import Arena, Pattern

if TYPE_CHECKING:
    from truesparse.model import Model

Array = NDArray[np.float32]
POOLINGS = ("last", "mean", "max", "none")
_HDF5 = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class Dense:
    """A dense model.

    Attributes
    ----------
    chain : ChainSpec
    arrays : dict of str to ndarray of float32
        Its matrices and vectors by their names in the chain.
    """

    chain: ChainSpec
    arrays: dict[str, Array]

    @classmethod
    def of(cls, layers: Sequence[tuple[LayerSpec, Mapping[str, Array]]], features: int, source: str) -> Dense:
        """A model of layers, each with its arrays by the names that they have within it.

        Raises
        ------
        TruesparseError
            The layers cannot follow each other, or an array is not finite or not as large as its layer says.
        """
        try:
            chain = ChainSpec(*(spec for spec, _ in layers), features=features)
        except UsageError as error:
            raise TruesparseError(f"{source} cannot be imported: {error}") from None
        arrays = {
            f"{place.name}.{name}": array
            for place, (_, own) in zip(chain.places, layers, strict=True)
            for name, array in own.items()
        }
        wanted = {m.name: m.shape for m in chain.matrices} | {v.name: (v.size,) for v in chain.vectors}
        for name, array in arrays.items():
            shape = wanted.get(name, array.shape)
            if array.size != np.prod(shape):
                raise TruesparseError(
                    f"what is to be {name} has shape {array.shape} in {source}, not {shape}; give a file"
                    f" whose layers fit each other"
                )
            if not np.isfinite(array).all():
                raise TruesparseError(f"{source} has values that are not finite in what is to be {name}")
        return cls(chain, arrays)

    def pruned(self, density: float) -> Model:
        """A model of the largest weights of each matrix; vectors stay, and with them a dense output layer."""
        from truesparse.model import Model  # which needs kernels

        chain = self.chain
        kept = {matrix.name: keep_largest(self.arrays[matrix.name], density) for matrix in chain.matrices}
        patterns = {
            matrix.name: (Pattern(csr.indptr, csr.indices, csr.shape), matrix.blocks)
            for matrix, csr in zip(chain.matrices, kept.values(), strict=True)
        }
        arena = Arena(patterns, {vector.name: vector.size for vector in chain.vectors})
        for name, csr in kept.items():
            arena.matrices[name].data[...] = csr.data
        for name, vector in arena.biases.items():
            vector[...] = self.arrays[name].reshape(-1)
        arena.touch()
        return Model(chain, arena)


def read_dense(
    path: Path,
    embedding: str | None = None,
    output: str | None = None,
    pooling: str | None = None,
    numbers: bool = False,
) -> Dense:
    """Read a dense model of Keras or PyTorch.

    Parameters
    ----------
    path : Path
        What `model.save("m.keras")` or `model.save_weights("m.weights.h5")` of Keras 3 wrote, or
        `torch.save(module.state_dict(), path)`, or safetensors.
    embedding, output : str, optional
        Of a state dict: names of these layers' matrices, if shapes and names do not identify them.
    pooling : {"last", "mean", "max", "none"}, optional
        What the output layer sees of a sequence, where the file does not say; "none" for each step. If not
        given, each step of a model that has as many outputs as tokens, and the last one of others.
    numbers : bool
        Whether the outputs are numbers, not scores of classes, where the file does not say.

    Raises
    ------
    UsageError, TruesparseError
        The file cannot be read, or is not of a model that truesparse can express.
    """
    from truesparse.export.from_keras import read_keras
    from truesparse.export.from_torch import as_dense
    from truesparse.export.state_dict import read_state_dict

    if is_keras(path):
        for flag, name in (("--embedding", embedding), ("--output", output)):
            if name is not None:
                raise UsageError(f"{flag} is for a state dict, and {path} is of Keras; leave it out")
        return read_keras(path, pooling, numbers)
    return as_dense(read_state_dict(path), str(path), embedding, output, pooling, numbers)


def is_keras(path: Path) -> bool:
    """Whether a file is of Keras, by what it begins with or holds."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            if file.read(len(_HDF5)) == _HDF5:
                return True
        if not zipfile.is_zipfile(path):
            return path.suffix.lower() == ".keras" or path.name.lower().endswith(".h5")
        with zipfile.ZipFile(path) as archive:
            return "model.weights.h5" in archive.namelist()
    except (OSError, zipfile.BadZipFile) as error:
        raise TruesparseError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None


def import_model(
    path: Path,
    out: Path,
    density: float,
    vocabulary: Path | None = None,
    embedding: str | None = None,
    output: str | None = None,
    pooling: str | None = None,
    labels: Path | None = None,
    numbers: bool = False,
    features: str | None = None,
) -> dict[str, Any]:
    """Make a model file of a dense model. Of each matrix the largest weights are kept; biases stay dense.

    Parameters
    ----------
    path, embedding, output, pooling, numbers
        As in `read_dense`.
    out : Path
        The model file to write.
    density : float
        Fraction of the positions of each matrix to keep, in (0, 1].
    vocabulary, labels, features
        See `read_names`.

    Returns
    -------
    dict
        `matrices`: for each by name `shape`, `nnz`, `density` and `kept`, the fraction of the sum of squares
        that is left; `tied`; `kind`, what the model is; `features`, what the numbers of a step are called;
        `out`.

    Raises
    ------
    UsageError, TruesparseError
        An argument cannot be right, the file cannot be read, or is not of such a model.
    """
    from truesparse.modelfile import model_kind

    check_density(density)
    if out.exists():
        raise UsageError(f"{out} exists; choose another --out or remove it")
    dense = read_dense(path, embedding, output, pooling, numbers)
    names = read_names(dense.chain, str(path), vocabulary, labels, features)
    model = dense.pruned(density)
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    save_model(out, model, names.vocabulary, names.encoder, names.labels)
    matrices = {
        name: {
            "shape": list(matrix.shape),
            "nnz": matrix.nnz,
            "density": matrix.density,
            "kept": _squares(matrix.data) / (_squares(dense.arrays[name]) or 1.0),
        }
        for name, matrix in model.arena.matrices.items()
    }
    kind = model_kind(dense.chain, names.labels)
    read = names.encoder.features if isinstance(names.encoder, SeriesEncoder) else ()
    return {
        "out": str(out),
        "kind": kind,
        "tied": dense.chain.head.tied,
        "features": list(read),
        "matrices": matrices,
    }


def check_density(density: float) -> None:
    """Raise UsageError for what is no density."""
    if not 0 < density <= 1:
        raise UsageError(f"--density is {density:g}; it must be above 0 and at most 1")


def keep_largest(dense: Array, density: float) -> CSR:
    """Keep the entries of largest magnitude.

    Parameters
    ----------
    dense : ndarray of float32, shape (rows, columns)
    density : float
        Fraction to keep, in (0, 1]; at least one entry is kept.
    """
    count = max(1, round(density * dense.size))
    kept = np.argpartition(np.abs(dense).reshape(-1), dense.size - count)[dense.size - count :]
    kept.sort()
    rows, columns = np.divmod(kept, dense.shape[1])
    indptr = np.searchsorted(rows, np.arange(dense.shape[0] + 1)).astype(np.int64)
    return CSR(
        indptr,
        columns.astype(narrow_index_dtype(dense.shape[1])),
        np.ascontiguousarray(dense).reshape(-1)[kept],
        (dense.shape[0], dense.shape[1]),
    )


def two_classes(weight: Array, bias: Array) -> tuple[Array, Array]:
    """The output layer of two classes that says what one logistic unit says: a score of 0 for the first class
    and the unit's for the second."""
    zero = np.zeros_like(weight)
    return np.concatenate([zero, weight]), np.concatenate([np.zeros_like(bias), bias])


def head_of(
    weight: Array, bias: Array, numbers: bool, per_step: bool, tokens: int
) -> tuple[LayerSpec, dict[str, Array]]:
    """An output layer for numbers, or for probabilities; sparse where it predicts the next of many tokens."""
    if numbers:
        return SquaredError(len(weight), sparse=False), {"weight": weight, "bias": bias}
    if len(weight) == 1:
        weight, bias = two_classes(weight, bias)
    sparse = per_step and len(weight) == tokens
    return Softmax(len(weight), sparse=sparse), {"weight": weight, "bias": bias}


def _squares(array: Array) -> float:
    return float(np.square(array, dtype=np.float64).sum())
