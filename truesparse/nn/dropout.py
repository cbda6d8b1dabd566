"""Dropout with masks that are drawn again in the backward pass instead of being stored.

A model of L layers drops units in the *places* 0 to L - 1, the inputs of the layers, and L, the input of the
output layer. How is a matter of its cell: with a new mask at every step, or with one for the whole window.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from truesparse.errors import UsageError
from truesparse.kernels.dropout import drop_words, dropout, locked_dropout
from truesparse.sparse.panels import Panels


class DropoutRates(NamedTuple):
    """Rates in [0, 1): of whole words, of the layers' inputs, of the hidden state within its products, and of
    the output layer's input."""

    embedding: float = 0.0
    input: float = 0.0
    hidden: float = 0.0
    output: float = 0.0


class Mask(NamedTuple):
    """Which elements are dropped, as a function of the key and an element's place, and at which rate."""

    key: np.uint64
    rate: np.float32


NO_MASK = Mask(np.uint64(0), np.float32(0))


class Dropout(ABC):
    """The masks of a window; part of a model's workspace.

    Parameters
    ----------
    panels : Panels
    layers : sequence
        The layers' workspaces.
    """

    __slots__ = ("_panels", "_layers", "_rates", "_keys")

    def __init__(self, panels: Panels, layers: Sequence[Any]) -> None:
        self._panels = panels
        self._layers = layers
        self._keys = np.zeros(2 * len(layers) + 2, np.uint64)
        self._rates = DropoutRates()

    def draw(self, rates: float | DropoutRates, rng: np.random.Generator | None = None) -> None:
        """Draw new masks.

        Parameters
        ----------
        rates : float or DropoutRates
            One rate stands for all that this kind of dropout has. Without dropout nothing is drawn.
        rng : numpy.random.Generator, optional
            Needed when a rate is positive.

        Raises
        ------
        UsageError
            A rate is positive that this kind does not have.
        """
        self._rates = rates if isinstance(rates, DropoutRates) else self.uniform(rates)
        if any(self._rates):
            if rng is None:
                raise ValueError("dropout needs a random generator")
            count = self._key_count()
            self._keys[:count] = rng.integers(0, 2**64, size=count, dtype=np.uint64)
        self._drawn()

    @staticmethod
    @abstractmethod
    def uniform(rate: float) -> DropoutRates:
        """The rates that one number stands for."""

    @abstractmethod
    def words(self, ids: NDArray[np.int32], vocabulary: int) -> None:
        """Put -1 in the place of words that are dropped; `ids` has shape (panels, lanes)."""

    @abstractmethod
    def apply(self, x: NDArray[np.float32], place: int) -> None:
        """Drop elements of `x`, of shape (panels, features, lanes), and scale the others, in place.

        The same on the gradient of `x` is the backward pass.
        """

    def apply_pooled(self, x: NDArray[np.float32]) -> None:
        """Drop elements of the output layer's input where that is one vector a sequence, in place.

        The same on its gradient is the backward pass.
        """
        if self._rates.output > 0:
            dropout(x, self._keys[len(self._layers)], np.float32(self._rates.output))

    @abstractmethod
    def _key_count(self) -> int: ...

    @abstractmethod
    def _drawn(self) -> None: ...

    def _rate(self, place: int) -> float:
        return self._rates.output if place == len(self._layers) else self._rates.input


class ElementwiseDropout(Dropout):
    """A new mask at every step, on connections that are not recurrent.

    References
    ----------
    Zaremba, Sutskever & Vinyals, "Recurrent neural network regularization", 2014.
    """

    __slots__ = ()

    @staticmethod
    def uniform(rate: float) -> DropoutRates:
        """Inputs and outputs."""
        return DropoutRates(input=rate, output=rate)

    def words(self, ids: NDArray[np.int32], vocabulary: int) -> None:
        """Words stay."""

    def apply(self, x: NDArray[np.float32], place: int) -> None:
        """Drop each element by itself."""
        rate = self._rate(place)
        if rate > 0:
            dropout(x, self._keys[place], np.float32(rate))

    def _key_count(self) -> int:
        return len(self._layers) + 1

    def _drawn(self) -> None:
        if self._rates.embedding or self._rates.hidden:
            raise UsageError(
                "this cell has dropout of inputs and outputs only, not of words or its hidden state"
            )


class VariationalDropout(Dropout):
    """One mask for all steps of a window, and for all depths of a recurrence; a mask for each sequence.

    The layers' workspaces get theirs for the hidden state as `mask`.

    References
    ----------
    Gal & Ghahramani, "A theoretically grounded application of dropout in recurrent neural networks", 2016.
    """

    __slots__ = ()

    @staticmethod
    def uniform(rate: float) -> DropoutRates:
        """Every kind."""
        return DropoutRates(rate, rate, rate, rate)

    def words(self, ids: NDArray[np.int32], vocabulary: int) -> None:
        """Drop every occurrence of a word in a sequence, or none."""
        if self._rates.embedding > 0:
            panels = self._panels
            rate = np.float32(self._rates.embedding)
            drop_words(ids, self._keys[-1], rate, vocabulary, panels.blocks, panels.step_lanes)

    def apply(self, x: NDArray[np.float32], place: int) -> None:
        """Drop the same features of a sequence at every step."""
        rate = self._rate(place)
        scale = 1 / (1 - rate)
        if place == 0:  # the words that were kept are scaled here too
            scale /= 1 - self._rates.embedding
        if scale > 1:
            panels = self._panels
            kernel = locked_dropout(panels.step_lanes, panels.lanes)
            kernel(x, self._keys[place], np.float32(rate), np.float32(scale), panels.blocks)

    def _key_count(self) -> int:
        return self._keys.size

    def _drawn(self) -> None:
        rate = np.float32(self._rates.hidden)
        for number, layer in enumerate(self._layers):
            layer.mask = Mask(self._keys[len(self._layers) + 1 + number], rate)


def apply_mask(x: NDArray[np.float32], mask: Mask, panels: Panels) -> None:
    """Drop the same features of a sequence at every step of `x`, (panels, features, lanes), in place."""
    if mask.rate > 0:
        kernel = locked_dropout(panels.step_lanes, panels.lanes)
        kernel(x, mask.key, mask.rate, np.float32(1) / (np.float32(1) - mask.rate), panels.blocks)
