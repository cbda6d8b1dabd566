"""Recurrent layers, one step at a time.

B batch, D inputs, H hidden units, L recurrence depth. Equations, names and the order of gates are those of
training: docs/cells.md.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from truesparse.modelfile import StoredModel
from truesparse.runtime.product import Product, beside

Array = NDArray[np.float32]


class Layer(ABC):
    """One layer; keeps no state.

    Parameters
    ----------
    stored : StoredModel
    name : str
        Prefix of its parameters.

    Attributes
    ----------
    PARTS : tuple of str
        Names of the parts of its state, arrays of shape (H, B); the first is its output.
    """

    PARTS: tuple[str, ...]

    def __init__(self, stored: StoredModel, name: str) -> None:
        self.units = stored.architecture.hidden_size

    @abstractmethod
    def step(self, x: Array, state: tuple[Array, ...]) -> None:
        """Read an input.

        Parameters
        ----------
        x : ndarray of float32, shape (D, B)
        state : tuple of ndarray of float32, shape (H, B)
            One array for each of `PARTS`; modified in place.
        """


class LSTM(Layer):
    """``i, f, o = sigmoid(a), g = tanh(a); c = f c_prev + i g, h = o tanh(c)``, a = W_ih x + W_hh h + b."""

    PARTS = ("h", "c")

    def __init__(self, stored: StoredModel, name: str) -> None:
        super().__init__(stored, name)
        self._product = Product(
            beside(stored.matrices[f"{name}.weight_ih"], stored.matrices[f"{name}.weight_hh"])
        )
        self._bias = stored.biases[f"{name}.bias"][:, None]

    def step(self, x: Array, state: tuple[Array, ...]) -> None:
        """See `Layer.step`."""
        h, c = state
        gates = self._product(np.concatenate((x, h)))
        gates += self._bias
        i, f, g, o = gates.reshape(4, self.units, -1)
        c *= sigmoid(f)
        c += sigmoid(i) * np.tanh(g)
        np.multiply(sigmoid(o), np.tanh(c), out=h)


class RHN(Layer):
    """L micro-steps ``h = tanh(a), t = sigmoid(a); s <- h t + s (1 - t)``, a = R_l s + b_l (l = 0: + W x)."""

    PARTS = ("h",)

    def __init__(self, stored: StoredModel, name: str) -> None:
        super().__init__(stored, name)
        depth = stored.architecture.depth
        matrices = [stored.matrices[f"{name}.weight_hh.{level}"] for level in range(depth)]
        matrices[0] = beside(stored.matrices[f"{name}.weight_ih"], matrices[0])
        self._products = [Product(matrix) for matrix in matrices]
        self._biases = [stored.biases[f"{name}.bias.{level}"][:, None] for level in range(depth)]

    def step(self, x: Array, state: tuple[Array, ...]) -> None:
        """See `Layer.step`."""
        (s,) = state
        inputs = np.concatenate((x, s))
        for product, bias in zip(self._products, self._biases, strict=True):
            gates = product(inputs)
            gates += bias
            h, t = gates.reshape(2, self.units, -1)
            t = sigmoid(t)
            s *= 1 - t
            s += np.tanh(h) * t
            inputs = s


def sigmoid(x: Array) -> Array:
    """``1 / (1 + exp(-x))``, by way of tanh, which has no overflow."""
    y = np.tanh(x * np.float32(0.5))
    y *= np.float32(0.5)
    y += np.float32(0.5)
    return y


LAYERS: Mapping[str, type[Layer]] = {"lstm": LSTM, "rhn": RHN}
