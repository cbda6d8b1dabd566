"""First values: what a weight begins with when it is grown, for methods that do not let it begin with 0.

A rule is a function `(matrix, grown, rng)` that writes to a `SparseMatrix` and its states; `grown` is a
boolean array of shape (nnz,).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from truesparse.sparse.matrix import SparseMatrix

FirstValues = Callable[[SparseMatrix, NDArray[np.bool_], np.random.Generator], None]

_TINY = np.float32(1e-12)  # as DeepR's code has it: not 0, so that the weight has a sign


def random_signs(matrix: SparseMatrix, grown: NDArray[np.bool_], rng: np.random.Generator) -> None:
    """A sign drawn evenly, kept in the state "sign", and a value next to 0.

    References
    ----------
    G. Bellec, D. Kappel, W. Maass and R. Legenstein, "Deep rewiring: training very sparse deep networks",
    2018.
    """
    signs = np.where(rng.random(np.count_nonzero(grown)) < 0.5, np.float32(-1), np.float32(1))
    matrix.data[grown] = _TINY * signs
    matrix.state("sign")[grown] = signs
