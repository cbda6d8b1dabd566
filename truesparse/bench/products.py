"""The three products of a sparse layer in truesparse and in other libraries, made ready to be timed.

W is `[rows, columns]`, sparse; X is `[columns, n]`, dY `[rows, n]`, dense with `n` lanes (batch times steps)
side by side::

    forward     Y = W X
    transposed  dX = W^T dY
    gradient    dW = dY X^T, at the stored positions only (for a dense library: all of it)
    layer       all three, what a training step needs

Whatever is prepared once for each topology or each step is prepared here and not timed: conversions, and the
transposed copy where a library can keep one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.errors import TruesparseError
from truesparse.kernels.buffers import aligned_copy, aligned_zeros
from truesparse.sparse import Arena
from truesparse.sparse.panels import Panels
from truesparse.sparse.products import add_gradient, cut_for, multiply, multiply_transposed
from truesparse.topology import sample_pattern

PRODUCTS = ("forward", "transposed", "gradient", "layer")

Array = NDArray[np.float32]
Call = Callable[[], Any]

_CHECKED = 512  # entries of the gradient that are checked
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Case:
    """A matrix and a number of lanes.

    Parameters
    ----------
    rows, columns : int
    density : float
    batch, steps : int
        Lanes are batch times steps. truesparse keeps them in panels (see `truesparse.sparse.panels`), other
        libraries side by side.
    """

    rows: int
    columns: int
    density: float
    batch: int
    steps: int = 1

    @property
    def lanes(self) -> int:
        """Columns of the dense operands."""
        return self.batch * self.steps


class Operands:
    """The matrices of a case; the same case gives the same ones in every process."""

    def __init__(self, case: Case) -> None:
        rng = np.random.default_rng(1)
        self.case = case
        count = max(1, round(case.density * case.rows * case.columns))
        pattern = sample_pattern((case.rows, case.columns), count, rng)
        self.arena = Arena({"weight": (pattern, 1)}, {})
        self.matrix = self.arena.matrices["weight"]
        self.matrix.data[...] = rng.standard_normal(count, np.float32)
        self.arena.touch()
        self.csr = self.matrix.to_scipy()
        self.x = rng.standard_normal((case.columns, case.lanes), np.float32)
        self.dy = rng.standard_normal((case.rows, case.lanes), np.float32)
        self.row_of = np.repeat(np.arange(case.rows), np.diff(self.matrix.indptr))

    def check(self, product: str, result: Array) -> None:
        """Compare a result with SciPy's, the gradient at some of its entries.

        Raises
        ------
        TruesparseError
            If they differ.
        """
        if product == "gradient":
            places = np.unique(np.linspace(0, self.csr.nnz - 1, _CHECKED).astype(int))
            rows, columns = self.row_of[places], self.csr.indices[places]
            exact = np.einsum("kn,kn->k", self.dy[rows], self.x[columns])
            result = result[places] if result.ndim == 1 else result[rows, columns]
        else:
            exact = self.csr @ self.x if product == "forward" else self.csr.T @ self.dy
        error = np.abs(result - exact).max() / max(np.abs(exact).max(), 1e-30)
        if not error < _TOLERANCE:
            raise TruesparseError(f"its {product} product is wrong by {error:.1e}")


class Library:
    """What a library can do with the operands of a case.

    Attributes
    ----------
    calls : dict of str to callable
        By product; each returns its result in whatever form the library has.
    """

    def __init__(self, operands: Operands) -> None:
        self.operands = operands
        self.calls: dict[str, Call] = {}

    def array(self, product: str, result: Any) -> Array:
        """Return a result as an array: of the dense shape, or the gradient at the stored positions in their
        order."""
        return np.asarray(result)

    def tiles(self) -> dict[str, int]:
        """Return nothing: only of its own kernels truesparse knows how they go."""
        return {}


class Ours(Library):
    """truesparse's own kernels, as its layers call them."""

    def __init__(self, operands: Operands) -> None:
        super().__init__(operands)
        case, matrix = operands.case, operands.matrix
        self._panels = Panels(case.steps, case.batch) if case.steps > 1 else None
        x, dy = self._in_panels(operands.x), self._in_panels(operands.dy)
        y, dx = aligned_zeros(dy.shape), aligned_zeros(x.shape)
        bias = aligned_zeros(case.rows)
        self._read = {"forward": x.shape, "transposed": dy.shape, "gradient": x.shape}

        def forward() -> Array:
            multiply(y, matrix, x, bias)
            return y

        def transposed() -> Array:
            multiply_transposed(dx, matrix, dy)
            return dx

        def gradient() -> Array:  # adds to what is there
            add_gradient(matrix, dy, x)
            return matrix.grad

        self.calls = {"forward": forward, "transposed": transposed, "gradient": gradient}

    def array(self, product: str, result: Any) -> Array:
        """Take a result out of its panels."""
        if product == "gradient":
            return np.asarray(result)
        if self._panels is None:
            return np.asarray(result[0])
        return np.concatenate(
            [self._panels.step(result, step) for step in range(self.operands.case.steps)], axis=1
        )

    def tiles(self) -> dict[str, int]:
        """Return by product how many rows of a panel are read at a time: those of a tile."""
        matrix = self.operands.matrix
        return {product: cut_for(product, matrix, shape)[0] for product, shape in self._read.items()}

    def _in_panels(self, array: Array) -> Array:
        """Lay out an array of shape (features, steps * batch) as the kernels take it."""
        panels, case = self._panels, self.operands.case
        if panels is None:
            return aligned_copy(array[np.newaxis])
        out = panels.zeros(array.shape[0])
        panels.place(out, array.reshape(-1, case.steps, case.batch).transpose(1, 0, 2))
        return out
