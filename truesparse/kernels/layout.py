"""Where a step lies in panels, and its state: the layout of `truesparse.sparse.panels`, for kernels.

Panels `[panels, features, n]` hold a span of `n / w` consecutive steps of `w` lanes side by side; panel
``span * strips + strip`` holds that span of one strip of the batch. The state of one step is lane-split (see
`truesparse.simd.vload_row`).
"""

from __future__ import annotations

from truesparse.kernels.jit import inline_jit


@inline_jit
def step_place(step, features, n, w, strips, strip):
    """Where the lanes of a step of a strip begin in panels of `features` rows; row j lies ``j n`` later."""
    steps_per_panel = n // w
    span = step // steps_per_panel
    return (span * strips + strip) * features * n + (step - span * steps_per_panel) * w


@inline_jit
def sequence_number(panel, lane, w, strips):
    """Which of the sequences of all strips, `w` each, a lane of a panel belongs to."""
    return panel % strips * w + lane % w


@inline_jit
def state_places(t, strips, strip, size):
    """Where the states of a strip, `size` elements, begin in an array of two: before step t, after it."""
    return ((t & 1) * strips + strip) * size, ((1 - (t & 1)) * strips + strip) * size
