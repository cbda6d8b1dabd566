"""An LSTM layer with sparse weights.

T time steps, B batch, D inputs, H hidden units; the gates i, f, g, o are stacked in `weight_ih` `[4H, D]`,
`weight_hh` `[4H, H]` and `bias` `[4H]`::

    i, f, o = sigmoid(W_ih x_t + W_hh h_prev + b),  g = tanh(W_ih x_t + W_hh h_prev + b)
    c = f c_prev + i g,  h = o tanh(c)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from truesparse.kernels.buffers import aligned_zeros
from truesparse.kernels.lstm import lstm_backward, lstm_forward
from truesparse.kernels.sddmm import row_sums
from truesparse.kernels.threads import thread_count
from truesparse.nn.cell import Cell, MatrixShape
from truesparse.nn.dropout import ElementwiseDropout
from truesparse.nn.panels import Panels
from truesparse.nn.products import add_gradient, multiply, multiply_transposed
from truesparse.sparse import Arena


class LSTMState:
    """Hidden state and cell of one layer between windows, lane-blocked, shape (blocks, H * step lanes)."""

    __slots__ = ("h", "c")

    def __init__(self, panels: Panels, units: int) -> None:
        self.h = panels.state_zeros(units)
        self.c = panels.state_zeros(units)


class LSTMWorkspace:
    """What the forward pass of a layer leaves for the backward pass, for windows of up to T steps.

    Attributes
    ----------
    gates : ndarray of float32, shape (panels, 4H, lanes)
        Pre-activations, then activations, then their gradients.
    h_prev : ndarray of float32, shape (panels, H, lanes)
        h_{t-1} at the place of step t.
    c : ndarray of float32, shape (T + 1, blocks, H * step lanes)
    h, dgates, dc : ndarray of float32
        State of one step and its gradients: (2, blocks, H * step lanes), (2, blocks, 4H * step lanes),
        (blocks, H * step lanes).
    """

    __slots__ = ("panels", "gates", "h_prev", "c", "h", "dgates", "dc")

    def __init__(self, panels: Panels, units: int) -> None:
        size = units * panels.step_lanes
        self.panels = panels
        self.gates = panels.zeros(4 * units)
        self.h_prev = panels.zeros(units)
        self.c = aligned_zeros((panels.steps + 1, panels.blocks, size))
        self.h = aligned_zeros((2, panels.blocks, size))
        self.dgates = aligned_zeros((2, panels.blocks, 4 * size))
        self.dc = aligned_zeros((panels.blocks, size))


class LSTM(Cell):
    """One layer; see `Cell` for parameters and methods.

    References
    ----------
    Hochreiter & Schmidhuber, "Long short-term memory", 1997; as in Zaremba, Sutskever & Vinyals, "Recurrent
    neural network regularization", 2014, equations 1 to 6.
    """

    __slots__ = ("arena", "weight_ih", "weight_hh", "bias")

    GATES = ("i", "f", "g", "o")
    DROPOUT = ElementwiseDropout

    def __init__(self, arena: Arena, name: str) -> None:
        self.arena = arena
        self.weight_ih = arena.matrices[f"{name}.weight_ih"]
        self.weight_hh = arena.matrices[f"{name}.weight_hh"]
        self.bias = f"{name}.bias"

    @staticmethod
    def shapes(name: str, inputs: int, units: int, depth: int) -> list[MatrixShape]:
        """`weight_ih` and `weight_hh`."""
        return [
            MatrixShape(f"{name}.weight_ih", (4 * units, inputs), 4),
            MatrixShape(f"{name}.weight_hh", (4 * units, units), 4),
        ]

    @staticmethod
    def bias_sizes(name: str, units: int, depth: int) -> dict[str, int]:
        """`bias`."""
        return {f"{name}.bias": 4 * units}

    @staticmethod
    def new_state(panels: Panels, units: int) -> LSTMState:
        """A state of zeros."""
        return LSTMState(panels, units)

    @staticmethod
    def new_workspace(panels: Panels, units: int, depth: int) -> LSTMWorkspace:
        """``24 P H`` bytes and little more, P being the T x B columns rounded up to panels."""
        return LSTMWorkspace(panels, units)

    def forward(
        self, y: NDArray[np.float32], x: NDArray[np.float32], state: LSTMState, ws: LSTMWorkspace, steps: int
    ) -> None:
        """Run `steps` steps from `state`; see `Cell.forward`."""
        panels = ws.panels
        used = panels.used(steps)
        w_ih, w_hh = self.weight_ih, self.weight_hh
        ws.h[0] = state.h
        ws.c[0] = state.c
        multiply(ws.gates[:used], w_ih, x[:used], self.arena.biases[self.bias])
        lstm_forward(panels.step_lanes, panels.lanes)(
            ws.gates, y, ws.h_prev, ws.c, ws.h, w_hh.indptr, w_hh.indices, w_hh.data, steps, thread_count()
        )
        state.h[...] = ws.h[steps % 2]
        state.c[...] = ws.c[steps]

    def backward(
        self,
        dx: NDArray[np.float32],
        dy: NDArray[np.float32],
        x: NDArray[np.float32],
        ws: LSTMWorkspace,
        steps: int,
    ) -> None:
        """Add the gradients of the parameters and write that of `x`; see `Cell.backward`."""
        panels = ws.panels
        used = panels.used(steps)
        shares = thread_count()
        w_ih, w_hh = self.weight_ih, self.weight_hh
        columns = w_hh.transposed()
        lstm_backward(panels.step_lanes, panels.lanes)(
            ws.gates, dy, ws.c, ws.dgates, ws.dc, columns.indptr, columns.indices, columns.data, steps, shares
        )
        panels.clear_after(ws.gates, steps)
        dgates = ws.gates[:used]
        multiply_transposed(dx[:used], w_ih, dgates)
        add_gradient(w_hh, dgates, ws.h_prev[:used])
        add_gradient(w_ih, dgates, x[:used])
        row_sums(panels.lanes)(self.arena.bias_grads[self.bias], dgates, shares)
