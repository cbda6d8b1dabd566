"""What computes a layer in training. `truesparse.layers.spec` says what a layer is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from truesparse.errors import UsageError
from truesparse.kernels.dense import product_rows
from truesparse.layers.chain import Place
from truesparse.layers.parts import part
from truesparse.layers.spec import LayerSpec
from truesparse.sparse import Arena
from truesparse.sparse.panels import Panels

# For each matrix the gradient of what it gives and its input, in panels
Factors = dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]
# Writes the gradient at all positions of the rows from a number on to an array (some rows, columns)
GradientRows = Callable[[NDArray[np.float32], int], None]
# Parts of a layer's state, lane-split arrays of shape (strips, size * step lanes)
LayerState = tuple[NDArray[np.float32], ...]


@dataclass
class Window:
    """The batch that goes through the layers.

    Attributes
    ----------
    panels : Panels
        How its steps lie in arrays (panels, features, lanes).
    one : Panels
        The same of what there is once a sequence.
    lengths : ndarray of float32, shape of `one` without features
        Steps of each sequence; 0 in unused lanes.
    steps : int
    alone : bool
        Whether sequences have one step, and a signal of steps is one of sequences too.
    filled : int
        What all of `lengths` are; -1 where they differ.
    """

    panels: Panels
    one: Panels
    lengths: NDArray[np.float32]
    steps: int = 0
    alone: bool = False
    filled: int = -1

    @property
    def used(self) -> int:
        """Panels that the steps take."""
        return self.panels.used(self.steps)


class Layer(ABC):
    """Forward and backward pass of a layer. Owns no numbers but the names of its parameters in the arena, and
    holds no buffers.

    Parameters
    ----------
    place : Place
        What it is, and between what.
    arena : Arena

    Attributes
    ----------
    KEYS : int
        Which of the layers draws its random key first, in training with dropout, those with a lower number
        before the others; 0 for a layer that needs none.
    IN_PLACE : bool
        Whether it changes its input, which is its output then.
    FIRST : bool
        Whether its `backward` takes None as `dx` where nobody reads that, as of features.
    """

    __slots__ = ("place", "arena")

    KEYS: ClassVar[int] = 0
    IN_PLACE: ClassVar[bool] = False
    FIRST: ClassVar[bool] = False

    def __init__(self, place: Place, arena: Arena) -> None:
        self.place = place
        self.arena = arena

    def workspace(self, panels: Panels, one: Panels) -> Any:
        """Room for what `forward` leaves for `backward`, for windows of up to `panels.steps` steps."""
        return None

    @abstractmethod
    def forward(self, y: Any, x: Any, state: LayerState, ws: Any, window: Window) -> None:
        """Compute the outputs of a window; the state is carried on in place.

        Parameters
        ----------
        y, x : ndarray
            Outputs and inputs in panels: float32 of shape (panels, features, lanes), or where they are
            tokens, int32 of shape (panels, lanes).
        state : tuple of ndarray
        ws
            Made by `workspace`.
        window : Window
        """

    @abstractmethod
    def backward(self, dx: Any, dy: Any, x: Any, ws: Any, window: Window) -> None:
        """Add the gradients of the parameters to the arena and write that of `x` to `dx`, truncated at the
        window's first step.

        Parameters
        ----------
        dx : ndarray of float32, shape (panels, features, lanes), or None
            Receives the gradient of `x`, None where `x` are tokens, or nobody reads it and the layer says
            `FIRST`; may share memory with `dy`.
        dy : ndarray of float32
            Gradient of the outputs.
        x, ws, window
            As in the `forward` before. What `ws` holds is used up.
        """

    def factors(self, x: Any, ws: Any, window: Window) -> Factors:
        """Say whose products the gradients of its matrices are, after a `backward`.

        Returns
        -------
        dict of str to (ndarray, ndarray)
            For each matrix, by its name in the arena, `dy` of shape (panels, rows, lanes) and `x` of shape
            (panels, columns, lanes), views of `x` and `ws`: its gradient is the sum of `dy[p] x[p]^T`.
        """
        return {}

    def gradient_rows(self, dy: Any, x: Any, ws: Any, window: Window) -> dict[str, GradientRows]:
        """Functions that compute the gradients of its matrices at all positions, after a `backward`."""
        return {name: gradient_product(own, its) for name, (own, its) in self.factors(x, ws, window).items()}


def computing(spec: LayerSpec) -> Any:
    """The class that computes a layer in training: a `Layer`, or of a head a `HeadLayer`.

    Raises
    ------
    UsageError
        There is none.
    """
    kind = type(spec)
    found = part(kind, "layer")
    if found is None:
        raise UsageError(
            f"nothing computes the layer {kind.TYPE}; write a class {kind.__name__}Layer beside its"
            f" specification in {kind.__module__}"
        )
    return found


def gradient_product(dy: NDArray[Any], x: NDArray[Any]) -> GradientRows:
    """A function that computes the gradient of a matrix whose product with `x` has the gradient `dy`."""
    return partial(_product, dy=dy, x=x)


def _product(out: NDArray[np.float32], first: int, *, dy: NDArray[Any], x: NDArray[Any]) -> None:
    product_rows(x.shape[2])(out, dy, first, x)
