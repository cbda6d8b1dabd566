"""A layer of gated recurrent units with sparse weights.

T time steps, B batch, D inputs, H hidden units; the gates r, z, n are stacked in `weight_ih` `[3H, D]`,
`weight_hh` `[3H, H]` and `bias` `[3H]`::

    r, z = sigmoid(W_ih x_t + W_hh h_prev + b)
    n = tanh(W_in x_t + b_n + r (W_hn h_prev + b_hn))     the reset gate comes after the product
    n = tanh(W_in x_t + b_n + W_hn (r h_prev))            or before
    h = (1 - z) n + z h_prev
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from truesparse.kernels.rows import backward_shares
from truesparse.kernels.sddmm import row_sums
from truesparse.kernels.threads import thread_count
from truesparse.layers.chain import Place
from truesparse.layers.gru.kernels.after import after_backward, after_forward
from truesparse.layers.gru.kernels.before import before_backward, before_forward
from truesparse.layers.gru.spec import GRU
from truesparse.layers.layer import Factors, LayerState, Window
from truesparse.layers.recurrence import GatedLayer, runs_apart
from truesparse.sparse import Arena
from truesparse.sparse.panels import Panels
from truesparse.sparse.products import add_gradient, multiply, multiply_transposed


class GRUWorkspace:
    """What the forward pass of a layer leaves for the backward pass, for windows of up to T steps.

    The gradient of `weight_hh` is the sum of ``dy x^T`` over the panels of `hidden` and `states`. Where the
    reset gate comes before the product, r and z read another state than n, so that there are two panels of
    both for one of the others: (dr, dz, 0) with h_prev, and (0, 0, dn) with r h_prev.

    Attributes
    ----------
    gates : ndarray of float32, shape (panels, 3H, lanes)
        Pre-activations, then activations, then their gradients.
    hidden : ndarray of float32, shape (panels, 3H, lanes) or (panels, 6H, lanes)
        What the candidates get from the state; then gradients of the products with it.
    states : ndarray of float32, shape (panels, H, lanes) or (panels, 2H, lanes)
        What the products read: h_{t-1} at the place of step t.
    h, back, carry : ndarray of float32
        State of one step, shape (2, strips, H * step lanes), and its gradients: (2, strips, 4H * step lanes),
        of which three fourths are used, or where gates share connections up to four parts of the gradient of
        h; and (strips, H * step lanes).
    sums : ndarray of float32, shape (3H,)
        Of the rows of `hidden`.
    """

    __slots__ = ("panels", "gates", "hidden", "states", "h", "back", "carry", "sums")

    def __init__(self, panels: Panels, units: int, before: bool) -> None:
        self.panels = panels
        copies = 2 if before else 1
        self.gates = panels.zeros(3 * units)
        self.hidden = panels.zeros(copies * 3 * units)
        self.states = panels.zeros(copies * units)
        self.h = panels.state_zeros(units, 2)
        self.back = panels.state_zeros(4 * units, 2)
        self.carry = panels.state_zeros(units)
        self.sums = np.zeros(3 * units, np.float32)

    def factors(self, part: slice) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """`hidden` and `states` of some panels, with 3H and H rows."""
        lanes, rows = self.panels.lanes, self.gates.shape[1]
        return (
            self.hidden[part].reshape(-1, rows, lanes),
            self.states[part].reshape(-1, rows // 3, lanes),
        )


class GRULayer(GatedLayer):
    """See `Layer`.

    References
    ----------
    Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical machine
    translation", 2014.
    """

    __slots__ = ("bias_hn", "_before")

    def __init__(self, place: Place, arena: Arena) -> None:
        super().__init__(place, arena)
        assert isinstance(place.spec, GRU)
        self.bias_hn = f"{place.name}.bias_hn"
        self._before = place.spec.reset_gate == "before"

    def workspace(self, panels: Panels, one: Panels) -> GRUWorkspace:
        """``28 P H`` bytes and little more, P being the T x B columns rounded up to panels; 44 where the
        reset gate comes before the product."""
        return GRUWorkspace(panels, self.place.output.size, self._before)

    def forward(self, y: Any, x: Any, state: LayerState, ws: GRUWorkspace, window: Window) -> None:
        """Run the steps of a window from `state`; see `Layer.forward`."""
        panels, steps, shares = window.panels, window.steps, thread_count()
        w_ih, w_hh, biases = self.weight_ih, self.weight_hh, self.arena.biases
        ws.h[0] = state[0]
        csr = w_hh.indptr, w_hh.indices, w_hh.data
        kinds = panels.step_lanes, panels.lanes, w_hh.group
        for part, begin, end in self.parts(ws.gates, window):
            multiply(ws.gates[part], w_ih, x[part], biases[self.bias])
            if self._before:
                run = before_forward(*kinds)
                run(ws.gates, y, ws.states, ws.h, ws.carry, *csr, begin, end, steps, shares)
            else:
                run = after_forward(*kinds)
                apart = runs_apart(w_hh, panels, shares)
                arrays = ws.gates, y, ws.hidden, ws.states, ws.h
                run(*arrays, *csr, biases[self.bias_hn], begin, end, steps, shares, apart)
        state[0][...] = ws.h[steps % 2]

    def backward(self, dx: Any, dy: Any, x: Any, ws: GRUWorkspace, window: Window) -> None:
        """Add the gradients of the parameters and write that of `x`; see `Layer.backward`."""
        panels, steps = window.panels, window.steps
        w_ih, w_hh, bias_grads = self.weight_ih, self.weight_hh, self.arena.bias_grads
        sums = row_sums(panels.lanes)
        ws.sums.fill(0)
        for part, begin, end in reversed(self.parts(ws.gates, window, dx, dy)):
            self._run_backward(dy, ws, window, begin, end)
            if end == steps:
                panels.clear_after(ws.gates, steps)
                panels.clear_after(ws.hidden, steps)
            dgates, (dhidden, states) = ws.gates[part], ws.factors(part)
            multiply_transposed(dx[part], w_ih, dgates)
            add_gradient(w_hh, dhidden, states)
            add_gradient(w_ih, dgates, x[part])
            sums(bias_grads[self.bias], dgates, thread_count())
            if not self._before:
                sums(ws.sums, dhidden, thread_count())
        if not self._before:
            bias_grads[self.bias_hn][...] += ws.sums[-self.place.output.size :]

    def _run_backward(self, dy: Any, ws: GRUWorkspace, window: Window, begin: int, end: int) -> None:
        """Run the recurrence of some steps backward."""
        panels, w_hh = window.panels, self.weight_hh
        kinds = panels.step_lanes, panels.lanes, w_hh.group
        arrays = ws.gates, ws.hidden, dy, ws.states
        parts = backward_shares(w_hh.group, panels.strips)
        by_gate = self._before and w_hh.group == 1
        index: Any = w_hh.transposed(self.place.output.size) if by_gate else w_hh.backward_index()
        csr = index.indptr, index.indices, index.data
        if self._before:
            starts = index.tiles if by_gate else index.indptr
            run = before_backward(*kinds)
            run(*arrays, *ws.back, ws.carry, starts, *csr, begin, end, window.steps, parts)
        else:
            apart = runs_apart(w_hh, panels, thread_count())
            run = after_backward(*kinds)
            run(*arrays, ws.back, ws.carry, *csr, begin, end, window.steps, parts, apart)

    def factors(self, x: Any, ws: GRUWorkspace, window: Window) -> Factors:
        """See `Layer.factors`."""
        used = slice(window.used)
        return {self.weight_ih.name: (ws.gates[used], x[used]), self.weight_hh.name: ws.factors(used)}
