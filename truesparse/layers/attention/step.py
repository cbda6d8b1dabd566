"""Attention in NumPy, over whole sequences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from truesparse.csr import CSR
from truesparse.errors import TruesparseError
from truesparse.layers.attention.spec import Attention
from truesparse.layers.chain import Place
from truesparse.layers.product import Product
from truesparse.layers.step import Array, Step, StepState


class AttentionStep(Step):
    """Each step reads all steps of its sequence; there is no single step."""

    def __init__(self, place: Place, matrices: Mapping[str, CSR], vectors: Mapping[str, Array]) -> None:
        super().__init__(place, matrices, vectors)
        assert isinstance(place.spec, Attention)
        self._in, self._out = (Product(matrices[f"{place.name}.weight_{way}"]) for way in ("in", "out"))
        self._bias_in, self._bias_out = (vectors[f"{place.name}.bias_{way}"] for way in ("in", "out"))
        self._heads = place.spec.heads

    def step(self, x: Array, state: StepState) -> Array:
        """Nothing can be said of a step before the sequence is whole."""
        raise TruesparseError(f"the layer {self.place.name} reads all steps; it needs the whole sequence")

    def run(self, inputs: Iterable[Array]) -> list[Array]:
        """See `Step.run`."""
        steps = list(inputs)
        active = np.array([x.shape[1] for x in steps])
        given = [self._in(x) + self._bias_in[:, None] for x in steps]
        read = [np.empty((len(self._bias_out), count), np.float32) for count in active]
        for sequence in range(active[0] if len(active) else 0):
            length = int(np.count_nonzero(active > sequence))
            own = np.array([x[:, sequence] for x in given[:length]])
            q, k, v = (part.reshape(length, self._heads, -1).swapaxes(0, 1) for part in np.split(own, 3, 1))
            scores = (q @ k.swapaxes(1, 2)) / np.float32(np.sqrt(q.shape[2]))
            scores -= scores.max(axis=2, keepdims=True)
            np.exp(scores, out=scores)
            scores /= scores.sum(axis=2, keepdims=True)
            for x, own_read in zip(read, (scores @ v).swapaxes(0, 1).reshape(length, -1), strict=False):
                x[:, sequence] = own_read
        return [self._out(x) + self._bias_out[:, None] for x in read]
