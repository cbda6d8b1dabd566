"""Where a step lies in panels, and its state: the layout of `truesparse.sparse.panels`, for kernels.

Panels `[panels, features, n]` hold a span of `n / w` consecutive steps of `w` lanes side by side; panel
``span * strips + strip`` holds that span of one strip of the batch. The state of one step is lane-split (see
`truesparse.simd.vload_row`).
"""

from __future__ import annotations

import numpy as np

from truesparse.kernels.jit import inline_jit, parallel_jit, prange
from truesparse.simd import at, prefetch, transpose_square

_SIDE = 8  # of a square


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


@parallel_jit
def place_rows(panel, first, rows):
    """`panel[j, first + k] = rows[k, j]`: each sequence's row becomes a lane.

    Parameters
    ----------
    panel : ndarray of float32, shape (features, lanes)
        Modified in place.
    first : int
        The lane of the first row.
    rows : ndarray of float32, shape (sequences, features)

    Notes
    -----
    In squares, which stay in registers; NumPy's transposing copy takes three times as long.
    """
    features, lanes = panel.shape
    count = rows.shape[0]
    flat = panel.reshape(-1)
    for square in prange((features + _SIDE - 1) // _SIDE):
        j = square * _SIDE
        whole = count - count % _SIDE if j + _SIDE <= features else 0
        for k in range(0, whole, _SIDE):
            for m in range(_SIDE):
                prefetch(rows, (k + m) * features + j + 16)
            transpose_square(panel, j * lanes + first + k, lanes, rows, k * features + j, features)
        for k in range(whole, count):
            for i in range(j, min(j + _SIDE, features)):
                flat[np.uintp(i * lanes + first + k)] = at(rows, k * features + i)
