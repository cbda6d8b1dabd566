"""Sequences from their ends."""

import numpy as np
import pytest
from oracles import random_panels

from truesparse.kernels.buffers import aligned_copy
from truesparse.kernels.reverse import reverse_steps
from truesparse.sparse.panels import Panels


@pytest.mark.parametrize(("steps", "batch"), [(7, 3), (5, 39), (1, 4)])
def test_steps_are_reversed_within_the_length_of_each_sequence(steps, batch):
    rng = np.random.default_rng(steps)
    panels, one = Panels(steps + 8, batch), Panels(1, batch)
    lengths = rng.integers(0, steps + 1, batch).astype(np.int32)
    placed = aligned_copy(np.zeros((one.panels, one.lanes), np.float32))
    one.place(placed[:, None], lengths[None, None].astype(np.float32))
    x, y = (random_panels(panels.panels, rows, panels.lanes, rng) for rows in (5, 4))
    before = y.copy()
    run = reverse_steps(panels.step_lanes, panels.lanes)
    for add in (False, True):
        run(y, 1, x, 2, 3, placed, steps, add)
    for step in range(steps):
        old, new = panels.step(before, step), panels.step(y, step)
        np.testing.assert_array_equal(old[0], new[0])
        for lane, length in enumerate(lengths):
            other = length - 1 - step if step < length else step
            np.testing.assert_array_equal(new[1:, lane], 2 * panels.step(x, other)[2:, lane])
