"""Which inputs of a model are connected to how much of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from truesparse.csr import CSR
from truesparse.layers.chain import EMBEDDING
from truesparse.layers.spec import Matrix
from truesparse.modelfile import StoredModel
from truesparse.tasks.examined import shown_tokens

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
    place = next((place for place in chain.places if place.matrices and place.name != "embedding"), None)
    if place is None or all(matrix.name not in stored.matrices for matrix in place.matrices):
        return None
    layer = place.name
    own = [matrix for matrix in place.matrices if matrix.reads == "input"]  # one for each direction
    reads = np.concatenate([_units(stored.matrices[matrix.name], matrix) for matrix in own])
    if not chain.tokens:
        names = list(getattr(stored.encoder, "read", ())) or [f"feature {n}" for n in range(chain.features)]
        return Connections(names, "feature", reads.sum(axis=0), len(reads), layer)
    table = stored.matrices[EMBEDDING]
    vocabulary = stored.vocabulary
    names = list(shown_tokens(vocabulary)) if vocabulary else [f"token {n}" for n in range(chain.tokens)]
    reached = np.empty(chain.tokens, np.int64)
    spread = reads.T.astype(np.float32)
    for start in range(0, chain.tokens, _BLOCK):
        end = min(chain.tokens, start + _BLOCK)
        given = np.zeros((end - start, table.shape[1]), np.float32)
        entries = slice(table.indptr[start], table.indptr[end])
        rows = np.repeat(np.arange(end - start), np.diff(table.indptr[start : end + 1]))
        given[rows, table.indices[entries]] = 1
        reached[start:end] = (given @ spread > 0).sum(axis=1)
    return Connections(
        names, "token", reached, len(reads), layer, np.diff(table.indptr).astype(np.int64), table.shape[1]
    )


def _units(csr: CSR, matrix: Matrix) -> NDArray[np.bool_]:
    """Whether any gate of a unit (row) reads an input (column)."""
    rows, columns = csr.shape
    units = rows // matrix.blocks
    reads = np.zeros((units, columns), bool)
    reads[np.repeat(np.arange(rows) % units, np.diff(csr.indptr)), csr.indices] = True
    return reads
