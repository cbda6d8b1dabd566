"""A layer of gated recurrent units, one step at a time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from truesparse.csr import CSR
from truesparse.layers.chain import Place
from truesparse.layers.product import Product, above, beside
from truesparse.layers.step import Array, Step, StepState, sigmoid


class GRUStep(Step):
    """``r, z = sigmoid(W x + R h + b), n = tanh(W_n x + b_n + r (R_n h + b_hn)); h <- (1 - z) n + z h``, or
    ``R_n (r h)`` in n.

    One product gives r, z and what n has from x and from h; the last of these is one of its own where it
    reads ``r h``.
    """

    def __init__(self, place: Place, matrices: Mapping[str, CSR], vectors: Mapping[str, Array]) -> None:
        super().__init__(place, matrices, vectors)
        name, units = place.name, place.output.size
        w, r = matrices[f"{name}.weight_ih"], matrices[f"{name}.weight_hh"]
        gates, candidates = _rows(r, 0, 2 * units), _rows(r, 2 * units, 3 * units)
        bias = vectors[f"{name}.bias"]
        self._candidates = None
        none = CSR(np.zeros(units + 1, np.int64), r.indices[:0], r.data[:0], (units, units))
        if f"{name}.bias_hn" in vectors:
            bias = np.concatenate((bias, vectors[f"{name}.bias_hn"]))
            w = above(w, none._replace(shape=(units, w.shape[1])))
            r = above(above(gates, none), candidates)
        else:
            r = above(gates, none)
            self._candidates = Product(candidates)
        self._product = Product(beside(w, r))
        self._bias = bias[:, None]

    def step(self, x: Array, state: StepState) -> Array:
        """See `Step.step`."""
        (h,) = state
        sums = self._product(np.concatenate((x, h)))
        sums += self._bias
        r, z, n, *of_state = sums.reshape(-1, *h.shape)
        r, z = sigmoid(r), sigmoid(z)
        n += r * of_state[0] if self._candidates is None else self._candidates(r * h)
        h *= z
        h += (1 - z) * np.tanh(n)
        return h


def _rows(csr: CSR, first: int, last: int) -> CSR:
    """Some rows of a matrix."""
    entries = slice(csr.indptr[first], csr.indptr[last])
    indptr = csr.indptr[first : last + 1] - csr.indptr[first]
    return CSR(indptr, csr.indices[entries], csr.data[entries], (last - first, csr.shape[1]))
