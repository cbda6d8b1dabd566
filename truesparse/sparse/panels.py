"""The layout of a window of activations: panels. Nothing else computes offsets into them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from truesparse.errors import UsageError
from truesparse.kernels.buffers import aligned_zeros
from truesparse.kernels.layout import place_rows
from truesparse.simd import split_lanes

# Lanes of one step and the most steps in a panel: together 64, 80 or 96 lanes, whose rows begin on cache
# lines and whose panels of 1,500 features stay in an L2 cache.
_STEPS_PER_PANEL = {4: 16, 8: 8, 12: 8, 16: 4, 20: 4, 24: 4, 32: 2}
_ALONE = {**dict.fromkeys(_STEPS_PER_PANEL, 1), 48: 1, 64: 1}  # where windows have one step


class Panels:
    """How a window of `steps` x `batch` columns lies in arrays `[panels, features, lanes]`.

    The batch is cut into *strips* of up to 32 sequences, and the steps into *spans* of `steps_per_panel`
    consecutive ones. A panel holds one span of one strip, its steps side by side, each `step_lanes` wide: it
    is panel ``span * strips + strip``. Lanes beyond the batch are computed along and have no influence.

    Parameters
    ----------
    steps : int
        Longest window, T.
    batch : int
        Sequences, B.
    alone : bool
        Whether steps know nothing of each other. In windows of one step a strip has up to 64 sequences then.

    Attributes
    ----------
    step_lanes, steps_per_panel, lanes : int
        `lanes = step_lanes * steps_per_panel`.
    strips, strip_batch, spans, panels : int

    Raises
    ------
    UsageError
        If `steps` or `batch` is less than 1.
    """

    __slots__ = (
        "steps",
        "batch",
        "strips",
        "strip_batch",
        "step_lanes",
        "steps_per_panel",
        "lanes",
        "spans",
        "panels",
    )

    def __init__(self, steps: int, batch: int, alone: bool = False) -> None:
        if steps < 1 or batch < 1:
            raise UsageError(f"a window needs at least 1 step and 1 sequence, not {steps} x {batch}")
        self.steps = steps
        self.batch = batch
        steps_per_panel = _ALONE if alone and steps == 1 else _STEPS_PER_PANEL
        self.strips = -(-batch // max(steps_per_panel))
        self.strip_batch = -(-batch // self.strips)
        self.step_lanes = min(lanes for lanes in steps_per_panel if lanes >= self.strip_batch)
        self.steps_per_panel = steps_per_panel[self.step_lanes]
        while self.steps_per_panel >= 2 * steps:
            self.steps_per_panel //= 2
        self.lanes = self.step_lanes * self.steps_per_panel
        self.spans = -(-steps // self.steps_per_panel)
        self.panels = self.spans * self.strips

    def used(self, steps: int) -> int:
        """How many panels the first `steps` steps take."""
        return -(-steps // self.steps_per_panel) * self.strips

    def zeros(self, features: int, *first: int) -> NDArray[np.float32]:
        """Return an array for a window of activations, shape (panels, features, lanes), after axes `first`
        for several of them."""
        return aligned_zeros((*first, self.panels, features, self.lanes))

    def state_zeros(self, features: int, *first: int) -> NDArray[np.float32]:
        """Return a lane-split array for the state of one step, shape (strips, features * step_lanes), after
        axes `first` for several of them."""
        return aligned_zeros((*first, self.strips, features * self.step_lanes))

    def parts(self, steps: int, spans: int) -> list[tuple[slice, int, int]]:
        """Cut a window of `steps` steps into parts of that many spans: panels, first step and end
        of each part."""
        length = spans * self.steps_per_panel
        bounds = [(begin, min(begin + length, steps)) for begin in range(0, steps, length)]
        return [(slice(self.used(begin), self.used(end)), begin, end) for begin, end in bounds]

    def where(self, step: int) -> tuple[slice, slice]:
        """In which panels a step lies, one for each strip, and in which lanes of theirs."""
        span, place = divmod(step, self.steps_per_panel)
        first, lane = span * self.strips, place * self.step_lanes
        return slice(first, first + self.strips), slice(lane, lane + self.step_lanes)

    def place_ids(self, out: NDArray[np.int32], ids: NDArray[np.int32]) -> None:
        """Put ids of shape (steps, batch) into `out`, int32 of shape (panels, lanes); unused lanes become
        -1."""
        out.fill(-1)
        if self.strips == 1:
            out.reshape(-1, self.step_lanes)[: ids.shape[0], : self.batch] = ids
            return
        lanes = out.reshape(self.spans, self.strips, self.steps_per_panel, self.step_lanes)
        for strip in range(self.strips):
            columns = ids[:, strip * self.strip_batch : (strip + 1) * self.strip_batch]
            for step in range(ids.shape[0]):
                span, place = divmod(step, self.steps_per_panel)
                lanes[span, strip, place, : columns.shape[1]] = columns[step]

    def place(self, out: NDArray[np.float32], array: NDArray[np.float32]) -> None:
        """Put numbers of shape (steps, features, batch) into `out`, float32 of shape (panels, features,
        lanes); unused lanes stay as they are."""
        for step, numbers in enumerate(array):
            where, lanes = self.where(step)
            for strip, panel in enumerate(out[where]):
                columns = numbers[:, strip * self.strip_batch : (strip + 1) * self.strip_batch]
                rows = columns.T
                if rows.flags.c_contiguous and rows.dtype == np.float32 and min(rows.shape) > 1:
                    place_rows(panel, lanes.start, rows)
                else:
                    panel[:, lanes][:, : rows.shape[0]] = columns

    def read(self, out: NDArray[np.float32], panel: int, numbers: NDArray[np.float32]) -> None:
        """Put what panel number `panel` has, (features, lanes), into `out`, float32 of shape (steps,
        features, batch)."""
        span, strip = divmod(panel, self.strips)
        columns = slice(strip * self.strip_batch, min((strip + 1) * self.strip_batch, self.batch))
        first = span * self.steps_per_panel
        for place, step in enumerate(out[first : first + self.steps_per_panel]):
            lanes = numbers[:, place * self.step_lanes : (place + 1) * self.step_lanes]
            step[:, columns] = lanes[:, : columns.stop - columns.start]

    def by_step(self, panels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a view of whole spans of panels as (spans, strips, features, steps per panel, step
        lanes)."""
        shape = -1, self.strips, panels.shape[1], self.steps_per_panel, self.step_lanes
        return panels.reshape(shape)

    def step(self, panels: NDArray[np.float32], step: int) -> NDArray[np.float32]:
        """Return a copy of one step of an array (panels, features, lanes), shape (features, batch)."""
        where, lanes = self.where(step)
        return self.join(panels[where, :, lanes])

    def join(self, strips: Sequence[NDArray[np.float32]] | NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a copy of what each strip has at one step, (features, step_lanes), as one array (features,
        batch)."""
        return np.concatenate([strip[:, : self.strip_batch] for strip in strips], axis=1)[:, : self.batch]

    def clear_after(self, panels: NDArray[np.float32], steps: int) -> None:
        """Set the lanes of the steps from number `steps` on to zero, in the panels that the first `steps`
        steps take."""
        place = steps % self.steps_per_panel
        if place:
            last = self.used(steps)
            panels[last - self.strips : last, :, place * self.step_lanes :] = 0

    def state_to_array(self, state: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a lane-split state (strips, features * step_lanes) as an array of shape (features,
        batch)."""
        features = state.shape[1] // self.step_lanes
        array = np.empty((features, self.batch), np.float32)
        for strip, columns, lanes in self._state_parts(state, features):
            array[:, columns] = state[strip, lanes].reshape(features, -1)[:, : columns.stop - columns.start]
        return array

    def array_to_state(self, state: NDArray[np.float32], array: NDArray[np.float32]) -> None:
        """Write an array of shape (features, batch) into a lane-split state."""
        features = array.shape[0]
        for strip, columns, lanes in self._state_parts(state, features):
            state[strip, lanes].reshape(features, -1)[:, : columns.stop - columns.start] = array[:, columns]

    def _state_parts(self, state: NDArray[np.float32], features: int) -> Iterator[tuple[int, slice, slice]]:
        """For each part of each lane-split row: strip number, columns of the batch, and where the part
        lies."""
        for strip in range(self.strips):
            start = 0
            for width in split_lanes(self.step_lanes):
                first = strip * self.strip_batch + start
                end = min((strip + 1) * self.strip_batch, self.batch, first + width)
                if first < end:
                    yield strip, slice(first, end), slice(start * features, (start + width) * features)
                start += width
