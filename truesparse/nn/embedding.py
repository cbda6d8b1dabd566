"""Word embedding with sparse rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from truesparse.kernels.dense import lookup_rows
from truesparse.kernels.embedding import embedding_backward, embedding_forward
from truesparse.kernels.threads import thread_count
from truesparse.sparse import SparseMatrix


class Embedding:
    """Sparse embedding: word `v` is row `v` of a sparse matrix.

    Parameters
    ----------
    weight : SparseMatrix, shape (V, embedding size)
    """

    __slots__ = ("weight",)

    def __init__(self, weight: SparseMatrix) -> None:
        self.weight = weight

    def forward(self, x: NDArray[np.float32], ids: NDArray[np.int32]) -> None:
        """Write the rows of `ids`, int32 of shape (panels, lanes), to `x`, float32 of shape (panels,
        features, lanes).

        A lane with id -1 becomes zero.
        """
        weight = self.weight
        embedding_forward(ids.shape[1])(x, weight.indptr, weight.indices, weight.data, weight.group, ids)

    def backward(self, dx: NDArray[np.float32], ids: NDArray[np.int32]) -> None:
        """Add the gradient of the rows looked up to the weight's, given that of what they were written to."""
        weight = self.weight
        embedding_backward(ids.shape[1])(
            weight.grad, weight.indptr, weight.indices, weight.group, ids, dx, thread_count()
        )

    def add_gradient_rows(
        self, out: NDArray[np.float32], first: int, dx: NDArray[np.float32], ids: NDArray[np.int32]
    ) -> None:
        """Add the gradient at all positions of some words to `out`, float32 of shape (some words, columns);
        `first` is the first of them."""
        lookup_rows(ids.shape[1])(out, ids, first, dx)
