import numpy as np
import pytest
from oracles import csr_arrays, lstm_window, random_csr

from truesparse.layers.lstm.kernels import lstm_forward
from truesparse.layers.lstm.layer import LSTMWorkspace
from truesparse.sparse.panels import Panels


@pytest.mark.parametrize(("steps", "batch"), [(1, 1), (5, 3), (9, 20), (3, 39)])
@pytest.mark.parametrize(("shares", "apart"), [(1, False), (3, False), (1, True)])
def test_recurrence_against_float64(steps, batch, shares, apart):
    rng = np.random.default_rng(steps * batch)
    units = 6
    w_hh = random_csr(4 * units, units, 0.5, rng)
    panels = Panels(9, batch)  # whose lanes others have too
    ws = LSTMWorkspace(panels, units)
    h, c = rng.standard_normal((2, units, batch)).astype(np.float32)
    panels.array_to_state(ws.h[0], h)
    panels.array_to_state(ws.c[0], c)
    # The kernel's input are pre-activations: the identity stands for W_ih.
    inputs = rng.standard_normal((steps, 4 * units, batch)).astype(np.float32)
    panels.place(ws.gates, inputs)
    y = panels.zeros(units)
    kernel = lstm_forward(panels.step_lanes, panels.lanes)
    for begin, end in ((0, steps // 2), (steps // 2, steps)):
        kernel(ws.gates, y, ws.h_prev, ws.c, ws.h, *csr_arrays(w_hh), begin, end, steps, shares, apart)

    outputs, h_last, c_last = lstm_window(
        inputs.astype(np.float64), h.astype(np.float64), c.astype(np.float64),
        np.eye(4 * units), w_hh.toarray().astype(np.float64), np.zeros(4 * units),
    )  # fmt: skip
    before = np.concatenate([h[None], outputs[:-1]])
    for step in range(steps):
        np.testing.assert_allclose(panels.step(y, step), outputs[step], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(panels.step(ws.h_prev, step), before[step], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(panels.state_to_array(ws.h[steps % 2]), h_last, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(panels.state_to_array(ws.c[steps]), c_last, rtol=1e-5, atol=1e-6)
