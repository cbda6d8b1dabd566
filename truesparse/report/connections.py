"""Which inputs of a model are connected to how much of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from truesparse.csr import CSR
from truesparse.layers.chain import EMBEDDING, ChainSpec
from truesparse.layers.spec import Matrix
from truesparse.modelfile import StoredModel

_BLOCK = 512  # tokens whose connections are followed together


@dataclass(frozen=True)
class Connections:
    """How the inputs of a model are connected.

    Attributes
    ----------
    names : sequence of str
        Of the inputs.
    what : str
        What one of them is, such as "token".
    units : ndarray of int64, shape (inputs,)
        How many units of the first layer behind them each one reaches, through the embedding if there is one.
    most : int
        How many units there are.
    layer : str
        The name of that layer.
    direct : ndarray of int64, shape (inputs,), or None
        Of tokens: the weights of their embeddings.
    size : int
        Of tokens: the size of an embedding.
    """

    names: list[str]
    what: str
    units: NDArray[np.int64]
    most: int
    layer: str
    direct: NDArray[np.int64] | None = None
    size: int = 0

    def order(self) -> NDArray[np.int64]:
        """Numbers of the inputs, the most connected first."""
        keys = (-self.units,) if self.direct is None else (-self.direct, -self.units)
        return np.lexsort(keys)


def connections(stored: StoredModel) -> Connections | None:
    """How the inputs of a model are connected; None if no layer reads them through a matrix."""
    chain = stored.chain
    matrix = _first_matrix(chain)
    if matrix is None:
        return None
    reads = _units(stored.matrices[matrix.name], matrix)  # (units, inputs)
    layer = matrix.name.rpartition(".")[0]
    if not chain.tokens:
        names = [f"feature {number}" for number in range(chain.features)]
        return Connections(names, "feature", reads.sum(axis=0), len(reads), layer)
    table = stored.matrices[EMBEDDING]
    vocabulary = stored.vocabulary
    names = list(vocabulary.tokens) if vocabulary else [f"token {n}" for n in range(chain.tokens)]
    reached = np.empty(chain.tokens, np.int64)
    spread = reads.T.astype(np.float32)
    for start in range(0, chain.tokens, _BLOCK):
        end = min(chain.tokens, start + _BLOCK)
        own = np.zeros((end - start, table.shape[1]), np.float32)
        entries = slice(table.indptr[start], table.indptr[end])
        rows = np.repeat(np.arange(end - start), np.diff(table.indptr[start : end + 1]))
        own[rows, table.indices[entries]] = 1
        reached[start:end] = (own @ spread > 0).sum(axis=1)
    return Connections(
        names, "token", reached, len(reads), layer, np.diff(table.indptr).astype(np.int64), table.shape[1]
    )


def _first_matrix(chain: ChainSpec) -> Matrix | None:
    """The matrix whose columns are the embedding, or the features."""
    own = [matrix for matrix in chain.matrices if matrix.reads == "input" and matrix.name != EMBEDDING]
    return own[0] if own else None


def _units(csr: CSR, matrix: Matrix) -> NDArray[np.bool_]:
    """Whether any gate of a unit (row) reads an input (column)."""
    rows, columns = csr.shape
    units = rows // matrix.blocks
    reads = np.zeros((units, columns), bool)
    reads[np.repeat(np.arange(rows) % units, np.diff(csr.indptr)), csr.indices] = True
    return reads
