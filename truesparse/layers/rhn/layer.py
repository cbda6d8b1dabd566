"""A recurrent highway layer with sparse weights.

T time steps, B batch, D inputs, H hidden units, L recurrence depth. A time step is L micro-steps l from 0::

    h = tanh([W x_t] + R_l drop(s) + b_l),  t = sigmoid([W x_t] + R_l drop(s) + b_l)     W x_t at l = 0 only
    s <- h t + s (1 - t)

The candidate h and the transform gate t are stacked: `weight_ih` is W `[2H, D]`, `weight_hh.l` R_l `[2H, H]`,
`bias.l` b_l `[2H]`. The carry gate is coupled, 1 - t.
"""

from __future__ import annotations

from typing import Any

from truesparse.kernels.rows import backward_shares
from truesparse.kernels.sddmm import row_sums
from truesparse.kernels.threads import thread_count
from truesparse.layers.chain import Place
from truesparse.layers.dropout.layer import NO_MASK, Mask, apply_mask
from truesparse.layers.layer import Factors, Layer, LayerState, Window
from truesparse.layers.rhn.kernels import rhn_backward, rhn_forward
from truesparse.layers.rhn.spec import RHN
from truesparse.sparse import Arena
from truesparse.sparse.panels import Panels
from truesparse.sparse.products import add_gradient, multiply, multiply_transposed


class RHNWorkspace:
    """What the forward pass of a layer leaves for the backward pass, for windows of up to T steps.

    Attributes
    ----------
    gates : ndarray of float32, shape (L, panels, 2H, lanes)
        Pre-activations, then activations, then their gradients.
    s_prev : ndarray of float32, shape (L, panels, H, lanes)
        State before each micro-step.
    s, dgates, carry : ndarray of float32
        State of one micro-step and gradients: (2, strips, H * step lanes), (2, strips, 4H * step lanes),
        (strips, H * step lanes). Half of `dgates` is used, or where gates share connections, it has up to
        four parts of the gradient of the state instead.
    mask : Mask
        Dropout of the state within its products.
    """

    __slots__ = ("panels", "gates", "s_prev", "s", "dgates", "carry", "mask")

    def __init__(self, panels: Panels, units: int, depth: int) -> None:
        self.panels = panels
        self.gates = panels.zeros(2 * units, depth)
        self.s_prev = panels.zeros(units, depth)
        self.s = panels.state_zeros(units, 2)
        self.dgates = panels.state_zeros(4 * units, 2)
        self.carry = panels.state_zeros(units)
        self.mask: Mask = NO_MASK


class RHNLayer(Layer):
    """See `Layer`.

    References
    ----------
    Zilly, Srivastava, Koutník & Schmidhuber, "Recurrent highway networks", 2017, section 4; dropout as in Gal
    & Ghahramani, "A theoretically grounded application of dropout in recurrent neural networks", 2016.
    """

    __slots__ = ("weight_ih", "weights_hh", "biases", "rate")

    KEYS = 2

    def __init__(self, place: Place, arena: Arena) -> None:
        super().__init__(place, arena)
        assert isinstance(place.spec, RHN)
        levels = range(place.spec.depth)
        self.weight_ih = arena.matrices[f"{place.name}.weight_ih"]
        self.weights_hh = [arena.matrices[f"{place.name}.weight_hh.{level}"] for level in levels]
        self.biases = [f"{place.name}.bias.{level}" for level in levels]
        self.rate = place.spec.dropout

    def workspace(self, panels: Panels, one: Panels) -> RHNWorkspace:
        """``12 P L H`` bytes and little more, P being the T x B columns rounded up to panels."""
        return RHNWorkspace(panels, self.place.output.size, len(self.weights_hh))

    def forward(self, y: Any, x: Any, state: LayerState, ws: RHNWorkspace, window: Window) -> None:
        """Run the steps of a window from `state`; see `Layer.forward`."""
        panels, steps, used = window.panels, window.steps, window.used
        biases = self.arena.biases
        w_ih, weights = self.weight_ih, self.weights_hh
        multiply(ws.gates[0, :used], w_ih, x[:used], biases[self.biases[0]])
        csr = zip(*((weight.indptr, weight.indices, weight.data) for weight in weights), strict=True)
        bias = tuple(biases[bias] for bias in self.biases)
        run = rhn_forward(panels.step_lanes, panels.lanes, w_ih.group)
        arrays = ws.gates, y, ws.s_prev, state[0], ws.s, *csr, bias
        run(*arrays, ws.mask.key, ws.mask.rate, steps, thread_count())

    def backward(self, dx: Any, dy: Any, x: Any, ws: RHNWorkspace, window: Window) -> None:
        """Add the gradients of the parameters and write that of `x`; see `Layer.backward`."""
        panels, steps, used = window.panels, window.steps, window.used
        w_ih, weights = self.weight_ih, self.weights_hh
        recurrent = [weight.backward_index() for weight in weights]
        csr = zip(*((index.indptr, index.indices, index.data) for index in recurrent), strict=True)
        run = rhn_backward(panels.step_lanes, panels.lanes, w_ih.group)
        arrays = ws.gates, dy, ws.s_prev, ws.dgates, ws.carry, *csr
        shares = backward_shares(w_ih.group, panels.strips)
        run(*arrays, ws.mask.key, ws.mask.rate, steps, shares)
        bias_grads = self.arena.bias_grads
        for level, weight in enumerate(weights):
            panels.clear_after(ws.gates[level], steps)
            dgates, s_prev = ws.gates[level, :used], ws.s_prev[level, :used]
            apply_mask(s_prev, ws.mask, panels)
            add_gradient(weight, dgates, s_prev)
            row_sums(panels.lanes)(bias_grads[self.biases[level]], dgates, thread_count())
        dgates = ws.gates[0, :used]
        multiply_transposed(dx[:used], w_ih, dgates)
        add_gradient(w_ih, dgates, x[:used])

    def factors(self, x: Any, ws: RHNWorkspace, window: Window) -> Factors:
        """See `Layer.factors`."""
        used = window.used
        recurrent = {
            weight.name: (ws.gates[level, :used], ws.s_prev[level, :used])
            for level, weight in enumerate(self.weights_hh)
        }
        return {self.weight_ih.name: (ws.gates[0, :used], x[:used]), **recurrent}
