import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from truesparse.errors import UsageError
from truesparse.sparse.panels import Panels

SIZES = {"steps": st.integers(1, 40), "batch": st.integers(1, 300)}


@given(**SIZES)
def test_every_column_has_a_place_and_rows_are_aligned(steps, batch):
    panels = Panels(steps, batch)
    assert panels.lanes % 16 == 0 or panels.lanes == panels.step_lanes * panels.steps_per_panel < 64
    assert panels.lanes <= 96
    assert panels.spans * panels.steps_per_panel >= steps
    assert panels.strips * panels.strip_batch >= batch
    assert panels.strip_batch <= panels.step_lanes
    assert panels.zeros(3).ctypes.data % 64 == 0


@given(**SIZES, shorter=st.integers(0, 39))
def test_ids_and_steps_agree_on_places(steps, batch, shorter):
    panels = Panels(steps, batch)
    ids = np.arange(steps * batch, dtype=np.int32).reshape(steps, batch)[: max(1, steps - shorter)]
    placed = np.empty((panels.panels, panels.lanes), np.int32)
    panels.place_ids(placed, ids)
    assert np.array_equal(np.sort(placed[placed >= 0]), ids.ravel())
    as_numbers = placed.astype(np.float32)[:, None, :]
    for step in range(ids.shape[0]):
        np.testing.assert_array_equal(panels.step(as_numbers, step)[0], ids[step])
    assert (placed[panels.used(ids.shape[0]) :] == -1).all()


@given(**SIZES, shorter=st.integers(0, 39), spans=st.integers(1, 5))
def test_parts_of_a_window_follow_one_another(steps, batch, shorter, spans):
    panels, steps = Panels(steps, batch), max(1, steps - shorter)
    parts = panels.parts(steps, spans)
    assert [begin for _, begin, _ in parts] == [0, *(end for _, _, end in parts[:-1])]
    assert parts[-1][2] == steps
    for part, begin, end in parts:
        inside = {
            panel for step in range(begin, end) for panel in range(*panels.where(step)[0].indices(10**6))
        }
        assert inside == set(range(part.start, part.stop))
        assert len(inside) <= spans * panels.strips


@given(**SIZES)
def test_states_survive_the_way_there_and_back(steps, batch):
    panels = Panels(steps, batch)
    array = np.arange(5 * batch, dtype=np.float32).reshape(5, batch) + 1
    state = panels.state_zeros(5)
    panels.array_to_state(state, array)
    np.testing.assert_array_equal(panels.state_to_array(state), array)
    assert np.count_nonzero(state) == array.size


def test_clear_after_keeps_the_steps_before():
    panels = Panels(7, 5)
    x = panels.zeros(2)
    x += 1
    panels.clear_after(x, 5)
    for step in range(5):
        assert (panels.step(x, step) == 1).all()
    for step in range(5, 7):
        assert (panels.step(x, step) == 0).all()


@pytest.mark.parametrize(("steps", "batch"), [(0, 1), (1, 0), (-3, 4)])
def test_empty_windows_are_refused(steps, batch):
    with pytest.raises(UsageError, match="at least 1"):
        Panels(steps, batch)


@pytest.mark.parametrize(("steps", "batch", "features"), [(1, 1, 3), (1, 8, 8), (1, 100, 19), (3, 45, 30)])
def test_numbers_are_placed_alike_whatever_their_order_in_memory(steps, batch, features):
    panels = Panels(steps, batch)
    rows = np.random.default_rng(1).random((steps, batch, features), np.float32)
    placed, expected = panels.zeros(features), panels.zeros(features)
    panels.place(placed, rows.swapaxes(1, 2))
    panels.place(expected, rows.swapaxes(1, 2).copy())
    assert np.array_equal(placed, expected)
    for step in range(steps):
        assert np.array_equal(panels.step(placed, step), rows[step].T)
