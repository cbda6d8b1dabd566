"""What computes one step of a layer in NumPy alone, or whole sequences: for the runtime."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from truesparse.csr import CSR
from truesparse.errors import TruesparseError
from truesparse.layers.chain import Place
from truesparse.layers.parts import part

Array = NDArray[np.float32]
StepState = tuple[Array, ...]


class Step(ABC):
    """One layer, a step at a time; keeps no state.

    Parameters
    ----------
    place : Place
    matrices : mapping of str to CSR
    vectors : mapping of str to ndarray of float32
        By their names in the chain.
    """

    def __init__(self, place: Place, matrices: Mapping[str, CSR], vectors: Mapping[str, Array]) -> None:
        self.place = place

    @abstractmethod
    def step(self, x: Array, state: StepState) -> Array:
        """Read an input.

        Parameters
        ----------
        x : ndarray of float32, shape (D, B)
        state : tuple of ndarray of float32, shape (size, B)
            An array for each part of the state, in the order of the specification; modified in place.

        Returns
        -------
        ndarray of float32, shape (H, B)
            The output; may be a part of the state.
        """

    def zero_state(self, batch: int) -> StepState:
        """A state of zeros."""
        return tuple(np.zeros((size, batch), np.float32) for size in self.place.spec.state.values())

    def run(self, inputs: Iterable[Array]) -> list[Array]:
        """Read sequences from a state of zeros, each as soon as it has an input.

        Parameters
        ----------
        inputs : iterable of ndarray of float32, shape (D, active)
            Of each step, for the sequences that it has: the first ones.

        Returns
        -------
        list of ndarray of float32, shape (H, active)
        """
        steps = list(inputs)
        state = self.zero_state(max(x.shape[1] for x in steps))
        return [np.array(self.step(x, tuple(part[:, : x.shape[1]] for part in state))) for x in steps]


def step_of(place: Place, matrices: Mapping[str, CSR], vectors: Mapping[str, Array]) -> Step:
    """What computes a step of a layer.

    Raises
    ------
    TruesparseError
        Nothing does.
    """
    found = part(type(place.spec), "step")
    if found is None:
        raise TruesparseError(f"the runtime has no layer {place.spec.TYPE}; export the model to another form")
    step: Step = found(place, matrices, vectors)
    return step


def sigmoid(x: Array) -> Array:
    """``1 / (1 + exp(-x))``, by way of tanh, which has no overflow."""
    y = np.tanh(x * np.float32(0.5))
    y *= np.float32(0.5)
    y += np.float32(0.5)
    return y
