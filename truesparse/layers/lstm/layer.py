"""An LSTM layer with sparse weights.

T time steps, B batch, D inputs, H hidden units; the gates i, f, g, o are stacked in `weight_ih` `[4H, D]`,
`weight_hh` `[4H, H]` and `bias` `[4H]`::

    i, f, o = sigmoid(W_ih x_t + W_hh h_prev + b),  g = tanh(W_ih x_t + W_hh h_prev + b)
    c = f c_prev + i g,  h = o tanh(c)
"""

from __future__ import annotations

from typing import Any

from truesparse.kernels.rows import backward_shares
from truesparse.kernels.sddmm import row_sums
from truesparse.kernels.threads import thread_count
from truesparse.layers.layer import Factors, LayerState, Window
from truesparse.layers.lstm.kernels import lstm_backward, lstm_forward
from truesparse.layers.recurrence import GatedLayer, runs_apart
from truesparse.sparse.panels import Panels
from truesparse.sparse.products import add_gradient, multiply, multiply_transposed


class LSTMWorkspace:
    """What the forward pass of a layer leaves for the backward pass, for windows of up to T steps.

    Attributes
    ----------
    gates : ndarray of float32, shape (panels, 4H, lanes)
        Pre-activations, then activations, then their gradients.
    h_prev : ndarray of float32, shape (panels, H, lanes)
        h_{t-1} at the place of step t.
    c : ndarray of float32, shape (T + 1, strips, H * step lanes)
    h, dgates, dc : ndarray of float32
        State of one step and its gradients: (2, strips, H * step lanes), (2, strips, 4H * step lanes),
        (strips, H * step lanes). Where gates share connections, `dgates` has up to four parts of the gradient
        of h instead.
    """

    __slots__ = ("panels", "gates", "h_prev", "c", "h", "dgates", "dc")

    def __init__(self, panels: Panels, units: int) -> None:
        self.panels = panels
        self.gates = panels.zeros(4 * units)
        self.h_prev = panels.zeros(units)
        self.c = panels.state_zeros(units, panels.steps + 1)
        self.h = panels.state_zeros(units, 2)
        self.dgates = panels.state_zeros(4 * units, 2)
        self.dc = panels.state_zeros(units)


class LSTMLayer(GatedLayer):
    """See `Layer`.

    References
    ----------
    Hochreiter & Schmidhuber, "Long short-term memory", 1997; as in Zaremba, Sutskever & Vinyals, "Recurrent
    neural network regularization", 2014, equations 1 to 6.
    """

    __slots__ = ()

    def workspace(self, panels: Panels, one: Panels) -> LSTMWorkspace:
        """``24 P H`` bytes and little more, P being the T x B columns rounded up to panels."""
        return LSTMWorkspace(panels, self.place.output.size)

    def forward(self, y: Any, x: Any, state: LayerState, ws: LSTMWorkspace, window: Window) -> None:
        """Run the steps of a window from `state`; see `Layer.forward`."""
        panels, steps = window.panels, window.steps
        h, c = state
        w_ih, w_hh = self.weight_ih, self.weight_hh
        bias = self.arena.biases[self.bias]
        ws.h[0] = h
        ws.c[0] = c
        shares = thread_count()
        arrays = ws.gates, y, ws.h_prev, ws.c, ws.h, w_hh.indptr, w_hh.indices, w_hh.data
        apart = runs_apart(w_hh, panels, shares)
        run = lstm_forward(panels.step_lanes, panels.lanes, w_hh.group)
        for part, begin, end in self.parts(ws.gates, window):
            multiply(ws.gates[part], w_ih, x[part], bias)
            run(*arrays, begin, end, steps, shares, apart)
        h[...] = ws.h[steps % 2]
        c[...] = ws.c[steps]

    def backward(self, dx: Any, dy: Any, x: Any, ws: LSTMWorkspace, window: Window) -> None:
        """Add the gradients of the parameters and write that of `x`; see `Layer.backward`."""
        panels, steps = window.panels, window.steps
        shares = thread_count()
        w_ih, w_hh = self.weight_ih, self.weight_hh
        bias_grad = self.arena.bias_grads[self.bias]
        index = w_hh.backward_index()
        arrays = ws.gates, dy, ws.c, ws.dgates, ws.dc, index.indptr, index.indices, index.data
        parts_of_step = backward_shares(w_hh.group, panels.strips)
        apart = runs_apart(w_hh, panels, shares)
        run = lstm_backward(panels.step_lanes, panels.lanes, w_hh.group)
        for part, begin, end in reversed(self.parts(ws.gates, window, dx, dy)):
            run(*arrays, begin, end, steps, parts_of_step, apart)
            if end == steps:
                panels.clear_after(ws.gates, steps)
            dgates = ws.gates[part]
            multiply_transposed(dx[part], w_ih, dgates)
            add_gradient(w_hh, dgates, ws.h_prev[part])
            add_gradient(w_ih, dgates, x[part])
            row_sums(panels.lanes)(bias_grad, dgates, shares)

    def factors(self, x: Any, ws: LSTMWorkspace, window: Window) -> Factors:
        """See `Layer.factors`."""
        used = window.used
        dgates = ws.gates[:used]
        return {self.weight_ih.name: (dgates, x[:used]), self.weight_hh.name: (dgates, ws.h_prev[:used])}
