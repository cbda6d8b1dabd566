import numpy as np
import pytest
from oracles import csr_arrays, random_csr, rhn_window

from truesparse.layers.dropout.layer import Mask, apply_mask
from truesparse.layers.rhn.kernels import rhn_backward, rhn_forward
from truesparse.layers.rhn.layer import RHNWorkspace
from truesparse.sparse.panels import Panels

SIZES = pytest.mark.parametrize(("steps", "batch", "depth"), [(1, 18, 1), (5, 3, 2), (9, 20, 3), (3, 39, 3)])
UNITS = 6


def mask_of(mask, panels):
    """The mask as an array (H, B)."""
    ones = panels.zeros(UNITS) + 1
    apply_mask(ones, mask, panels)
    return panels.step(ones, 0).astype(np.float64)


def transposed(matrix):
    """What backward takes of W [2H, H]: its columns."""
    return csr_arrays(matrix.T.tocsr())


@SIZES
@pytest.mark.parametrize("rate", [0.0, 0.4])
@pytest.mark.parametrize("shares", [1, 3])
def test_recurrence_against_float64(steps, batch, depth, rate, shares):
    """Forward against the oracle; backward against its central differences along random directions."""
    rng = np.random.default_rng(steps * batch)
    weights = [random_csr(2 * UNITS, UNITS, 0.5, rng) for _ in range(depth)]
    biases = rng.standard_normal((depth, 2 * UNITS)).astype(np.float32)
    biases[0] = 0  # the pre-activations have it
    panels = Panels(9, batch)  # whose lanes others have too
    ws, state = RHNWorkspace(panels, UNITS, depth), panels.state_zeros(UNITS)
    start = rng.standard_normal((UNITS, batch)).astype(np.float32)
    panels.array_to_state(state, start)
    # The kernel's input are pre-activations: the identity stands for W.
    inputs = rng.standard_normal((steps, 2 * UNITS, batch)).astype(np.float32)
    panels.place(ws.gates[0], inputs)
    y = panels.zeros(UNITS)
    mask = Mask(np.uint64(99), np.float32(rate))
    forward = rhn_forward(panels.step_lanes, panels.lanes)
    arrays = [csr_arrays(weight) for weight in weights]
    csr = [tuple(parts) for parts in zip(*arrays, strict=True)]
    forward(ws.gates, y, ws.s_prev, state, ws.s, *csr, tuple(biases), *mask, steps, shares)

    dense = [weight.toarray().astype(np.float64) for weight in weights]
    factor = mask_of(mask, panels)
    if batch > 3:
        assert (factor == 0).any() == (rate > 0)

    def oracle(x):
        return rhn_window(x, start.astype(np.float64), np.eye(2 * UNITS), dense, biases, factor)

    outputs, last = oracle(inputs.astype(np.float64))
    rtol = max(1e-5, 2e-6 * steps * depth)  # rounding goes through one micro-step after the other
    for step in range(steps):
        np.testing.assert_allclose(panels.step(y, step), outputs[step], rtol=rtol, atol=1e-6)
        before = start if step == 0 else outputs[step - 1]
        np.testing.assert_allclose(panels.step(ws.s_prev[0], step), before, rtol=rtol, atol=1e-6)
    np.testing.assert_allclose(panels.state_to_array(state), last, rtol=rtol, atol=1e-6)

    dy = rng.standard_normal(outputs.shape)
    dy_panels = panels.zeros(UNITS)
    panels.place(dy_panels, dy)
    csc = [tuple(parts) for parts in zip(*[transposed(weight) for weight in weights], strict=True)]
    backward = rhn_backward(panels.step_lanes, panels.lanes)
    backward(ws.gates, dy_panels, ws.s_prev, ws.dgates, ws.carry, *csc, *mask, steps, shares)
    gradient = np.stack([panels.step(ws.gates[0], step) for step in range(steps)]).astype(np.float64)
    for _ in range(5):
        direction = 1e-5 * rng.standard_normal(inputs.shape)
        above, below = (oracle(inputs + sign * direction)[0] for sign in (1, -1))
        slope = ((above - below) * dy).sum() / 2
        scale = np.linalg.norm(gradient) * np.linalg.norm(direction)
        assert abs((gradient * direction).sum() - slope) < 1e-5 * scale
