"""Where a step lies in panels, and its state: the layout of `truesparse.sparse.panels`, for kernels.

Panels `[panels, features, n]` hold `n / w` consecutive steps of `w` lanes side by side; panel
``group * blocks + block`` holds group number ``group`` of steps of batch block ``block``. The state of one
step is lane-blocked (see `truesparse.simd.vload_row`).
"""

from __future__ import annotations

from truesparse.kernels.jit import inline_jit


@inline_jit
def step_place(step, features, n, w, blocks, block):
    """Where the lanes of a step of a block begin in panels of `features` rows; row j lies ``j n`` later."""
    steps_per_panel = n // w
    group = step // steps_per_panel
    return (group * blocks + block) * features * n + (step - group * steps_per_panel) * w


@inline_jit
def sequence_number(panel, lane, w, blocks):
    """Which of the sequences of all blocks, `w` each, a lane of a panel belongs to."""
    return panel % blocks * w + lane % w


@inline_jit
def state_places(t, blocks, block, size):
    """Where the states of a block, `size` elements, begin in an array of two: before step t, after it."""
    return ((t & 1) * blocks + block) * size, ((1 - (t & 1)) * blocks + block) * size
