"""An LSTM layer with ordered neurons and sparse weights.

T time steps, B batch, D inputs, H hidden units in M chunks of C; the gates i, f, g, o are stacked in
`weight_ih` `[4H, D]`, `weight_hh` `[4H, H]` and `bias` `[4H]`, the master gates in `master_ih` `[2M, D]`,
`master_hh` `[2M, H]` and `bias_master` `[2M]`::

    i, f, o = sigmoid(W_ih x_t + W_hh h_prev + b),  g = tanh(W_ih x_t + W_hh h_prev + b)
    F = cumsum(softmax(M_ih x_t + M_hh h_prev + b_m)),  I = 1 - cumsum(softmax(M_ih x_t + M_hh h_prev + b_m))
    c = (f F I + F (1 - I)) c_prev + (i F I + I (1 - F)) g,  h = o tanh(c)

where F and I have a number for each chunk, which all of its units share.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.kernels.rows import backward_shares
from truesparse.kernels.sddmm import row_sums
from truesparse.kernels.threads import thread_count
from truesparse.layers.chain import Place
from truesparse.layers.layer import Factors, LayerState, Window
from truesparse.layers.lstm.layer import LSTMWorkspace
from truesparse.layers.on_lstm.kernels import on_lstm_backward, on_lstm_forward
from truesparse.layers.on_lstm.spec import ONLSTM
from truesparse.layers.recurrence import GatedLayer
from truesparse.sparse import Arena
from truesparse.sparse.panels import Panels
from truesparse.sparse.products import add_gradient, multiply, multiply_transposed


class ONLSTMWorkspace(LSTMWorkspace):
    """See `LSTMWorkspace`.

    Attributes
    ----------
    masters : ndarray of float32, shape (panels, 2M, lanes)
        Pre-activations of the master gates, then their softmax, then their gradients.
    levels : ndarray of float32, shape (panels, 2M, lanes)
        The master gates F and I, then the gradients of the running sums in them.
    dmasters : ndarray of float32, shape (2, strips, 2M * step lanes)
    dx : ndarray of float32, shape (panels, D, lanes)
        What the master gates add to the gradient of the inputs.
    """

    __slots__ = ("masters", "levels", "dmasters", "dx")

    def __init__(self, panels: Panels, units: int, rows: int, inputs: int) -> None:
        super().__init__(panels, units)
        self.masters = panels.zeros(rows)
        self.levels = panels.zeros(rows)
        self.dmasters = panels.state_zeros(rows, 2)
        self.dx: NDArray[np.float32] = panels.zeros(inputs)


class ONLSTMLayer(GatedLayer):
    """See `Layer`.

    References
    ----------
    Shen, Tan, Sordoni & Courville, "Ordered neurons: integrating tree structures into recurrent neural
    networks", 2019, equations 1 to 13.
    """

    __slots__ = ("master_ih", "master_hh", "bias_master")

    def __init__(self, place: Place, arena: Arena) -> None:
        super().__init__(place, arena)
        self.master_ih = arena.matrices[f"{place.name}.master_ih"]
        self.master_hh = arena.matrices[f"{place.name}.master_hh"]
        self.bias_master = f"{place.name}.bias_master"

    def workspace(self, panels: Panels, one: Panels) -> ONLSTMWorkspace:
        """``P (24 H + 16 M + 4 D)`` bytes and little more, P being the T x B columns rounded up to panels."""
        assert isinstance(self.place.spec, ONLSTM)
        rows = self.master_hh.shape[0]
        return ONLSTMWorkspace(panels, self.place.output.size, rows, self.place.given.size)

    def forward(self, y: Any, x: Any, state: LayerState, ws: ONLSTMWorkspace, window: Window) -> None:
        """Run the steps of a window from `state`; see `Layer.forward`."""
        panels, steps, shares = window.panels, window.steps, thread_count()
        h, c = state
        biases = self.arena.biases
        ws.h[0] = h
        ws.c[0] = c
        index = [array for m in self._recurrent for array in (m.indptr, m.indices, m.data)]
        arrays = ws.gates, ws.masters, ws.levels, y, ws.h_prev, ws.c, ws.h, *index
        run = on_lstm_forward(panels.step_lanes, panels.lanes, self.weight_hh.group)
        for part, begin, end in self.parts(ws.gates, window):
            multiply(ws.gates[part], self.weight_ih, x[part], biases[self.bias])
            multiply(ws.masters[part], self.master_ih, x[part], biases[self.bias_master])
            run(*arrays, begin, end, steps, shares)
        h[...] = ws.h[steps % 2]
        c[...] = ws.c[steps]

    def backward(self, dx: Any, dy: Any, x: Any, ws: ONLSTMWorkspace, window: Window) -> None:
        """Add the gradients of the parameters and write that of `x`; see `Layer.backward`."""
        panels, steps = window.panels, window.steps
        by_columns = [matrix.backward_index() for matrix in self._recurrent]
        index = [array for own in by_columns for array in (own.indptr, own.indices, own.data)]
        arrays = ws.gates, ws.masters, ws.levels, dy, ws.c, ws.dgates, ws.dmasters, ws.dc, *index
        shares = backward_shares(self.weight_hh.group, panels.strips)
        run = on_lstm_backward(panels.step_lanes, panels.lanes, self.weight_hh.group)
        for part, begin, end in reversed(self.parts(ws.gates, window, dx, dy)):
            run(*arrays, begin, end, steps, shares)
            if end == steps:
                panels.clear_after(ws.gates, steps)
                panels.clear_after(ws.masters, steps)
            multiply_transposed(dx[part], self.weight_ih, ws.gates[part])
            multiply_transposed(ws.dx[part], self.master_ih, ws.masters[part])
            dx[part] += ws.dx[part]
            self._add_gradients(ws.gates[part], self.weight_ih, self.weight_hh, self.bias, x, ws, part)
            self._add_gradients(
                ws.masters[part], self.master_ih, self.master_hh, self.bias_master, x, ws, part
            )

    def _add_gradients(
        self, dy: Any, of_input: Any, of_state: Any, bias: str, x: Any, ws: ONLSTMWorkspace, part: slice
    ) -> None:
        add_gradient(of_state, dy, ws.h_prev[part])
        add_gradient(of_input, dy, x[part])
        row_sums(x.shape[2])(self.arena.bias_grads[bias], dy, thread_count())

    @property
    def _recurrent(self) -> tuple[Any, Any]:
        return self.weight_hh, self.master_hh

    def factors(self, x: Any, ws: ONLSTMWorkspace, window: Window) -> Factors:
        """See `Layer.factors`."""
        used = slice(window.used)
        x, h_prev, gates, masters = x[used], ws.h_prev[used], ws.gates[used], ws.masters[used]
        return {
            self.weight_ih.name: (gates, x),
            self.weight_hh.name: (gates, h_prev),
            self.master_ih.name: (masters, x),
            self.master_hh.name: (masters, h_prev),
        }
