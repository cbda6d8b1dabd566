"""What a recurrent cell has to offer a model.

To add a cell: write its kernels (see `truesparse.kernels.rhn`) and a subclass of `Cell` (see
`truesparse.nn.rhn`), and add a line to the table `truesparse.nn.spec.CELLS`. Models, files and training take
it from there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from truesparse.nn.dropout import Dropout
from truesparse.sparse import Arena
from truesparse.sparse.panels import Panels

# For each matrix the gradient of what it gives and its input, in panels
Factors = dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]


class MatrixShape(NamedTuple):
    """Name, shape (rows, columns) and number of stacked row blocks of a weight matrix."""

    name: str
    shape: tuple[int, int]
    blocks: int


class Cell(ABC):
    """A recurrent layer of H units and D inputs; owns no numbers but the names of its parameters in the
    arena.

    Parameters
    ----------
    arena : Arena
    name : str
        Prefix of its parameters.

    Attributes
    ----------
    GATES : tuple of str
        What is stacked in its matrices and biases, in order.
    FIRST_BIAS : dict of str to float
        What the bias of a gate starts with, if not with 0.
    DROPOUT : type
        How a model of this cell drops units.
    DEEP : bool
        Whether it has a recurrence depth; otherwise the depth is 1.
    """

    __slots__ = ()

    GATES: ClassVar[tuple[str, ...]]
    FIRST_BIAS: ClassVar[Mapping[str, float]] = {}
    DROPOUT: ClassVar[type[Dropout]]
    DEEP: ClassVar[bool] = False

    @abstractmethod
    def __init__(self, arena: Arena, name: str) -> None: ...

    @staticmethod
    @abstractmethod
    def shapes(name: str, inputs: int, units: int, depth: int) -> list[MatrixShape]:
        """Its weight matrices, in the order of the arena.

        That of the inputs comes first, then those of the state; the products of the first two are added up.
        """

    @staticmethod
    @abstractmethod
    def bias_sizes(name: str, units: int, depth: int) -> dict[str, int]:
        """Length of each of its biases by name."""

    @staticmethod
    @abstractmethod
    def new_state(panels: Panels, units: int) -> Any:
        """Its state between windows, of zeros: an object whose ``__slots__`` name lane-blocked arrays of
        shape (blocks, H * step lanes)."""

    @staticmethod
    @abstractmethod
    def new_workspace(panels: Panels, units: int, depth: int) -> Any:
        """Room for what `forward` leaves for `backward`."""

    @abstractmethod
    def forward(
        self, y: NDArray[np.float32], x: NDArray[np.float32], state: Any, ws: Any, steps: int
    ) -> None:
        """Run `steps` steps from `state`, which is carried on to the last one.

        Parameters
        ----------
        y : ndarray of float32, shape (panels, H, lanes)
            Receives the output of each step.
        x : ndarray of float32, shape (panels, D, lanes)
        state
            Made by `new_state`; modified in place.
        ws
            Made by `new_workspace`.
        steps : int
            At most the workspace's T.
        """

    @abstractmethod
    def backward(
        self, dx: NDArray[np.float32], dy: NDArray[np.float32], x: NDArray[np.float32], ws: Any, steps: int
    ) -> None:
        """Add the gradients of the parameters to the arena and write that of `x` to `dx`, truncated at the
        window's first step.

        Parameters
        ----------
        dx : ndarray of float32, shape (panels, D, lanes)
            Receives the gradient of `x`; may share memory with `dy`.
        dy : ndarray of float32, shape (panels, H, lanes)
            Gradient of the outputs.
        x, ws, steps
            As in the `forward` before. What `ws` holds is used up.
        """

    @abstractmethod
    def factors(self, x: NDArray[np.float32], ws: Any, steps: int) -> Factors:
        """Say whose products the gradients of its matrices are, after a `backward`.

        Parameters
        ----------
        x, ws, steps
            As in that `backward`.

        Returns
        -------
        dict of str to (ndarray, ndarray)
            For each matrix, by its name in the arena, `dy` of shape (panels, rows, lanes) and `x` of shape
            (panels, columns, lanes), views of `x` and `ws`: its gradient is the sum of `dy[p] x[p]^T`.
        """
