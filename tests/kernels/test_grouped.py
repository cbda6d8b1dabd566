import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import empty_panels, random_grouped, random_panels

from truesparse.kernels.buffers import aligned_copy, aligned_zeros
from truesparse.kernels.sddmm import sddmm
from truesparse.kernels.spmm import piece_lanes, spmm, spmm_transposed
from truesparse.kernels.transpose import column_tiles

# Lanes and rows of a group; a kernel is compiled for each. The sums of 96 and 80 lanes do not fit the
# registers at once; 6 does not divide 8.
KINDS = ((4, 4), (96, 4), (20, 2), (80, 6))


@st.composite
def cases(draw, group):
    """A grouped matrix with the steps of its rows and tiles: empty groups and columns, all entries or
    none."""
    groups, columns = draw(st.integers(1, 20)), draw(st.integers(1, 40))
    steps = draw(st.sampled_from([(1, groups), (group, 1)]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    density = draw(st.sampled_from([0.0, 0.05, 0.3, 1.0]))
    dense, arrays = random_grouped(groups, columns, density, group, steps, rng)
    width = draw(st.integers(1, 45))
    tiles = np.empty((groups, -(-columns // width) + 1), np.int32)
    column_tiles(tiles, *arrays[:2], width)
    return dense, arrays, steps, tiles, width, rng


@pytest.mark.parametrize(("lanes", "group"), KINDS)
@given(data=st.data(), panels=st.integers(1, 3), band=st.integers(1, 25), shares=st.integers(1, 4))
@settings(deadline=None, max_examples=25)
def test_product(lanes, group, data, panels, band, shares):
    dense, arrays, steps, tiles, _, rng = data.draw(cases(group))
    rows, columns = dense.shape
    x = random_panels(panels, columns, lanes, rng)
    bias = rng.standard_normal(rows).astype(np.float32)
    y = empty_panels(panels, rows, lanes)
    spmm(lanes, group)(y, tiles, *arrays, x, bias, *steps, band, 2, shares)
    exact = np.einsum("mk,pkn->pmn", dense.astype(np.float64), x) + bias[:, None]
    np.testing.assert_allclose(y, exact, rtol=1e-5, atol=2e-5)
    spmm(lanes, group)(y, tiles, *arrays, x, aligned_zeros(0), *steps, band, 2, shares)
    np.testing.assert_allclose(y, exact - bias[:, None], rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize(("lanes", "group"), KINDS)
@given(data=st.data(), panels=st.integers(1, 3))
@settings(deadline=None, max_examples=25)
def test_transposed_product(lanes, group, data, panels):
    dense, (_, indices, values), steps, tiles, width, rng = data.draw(cases(group))
    rows, columns = dense.shape
    dy = random_panels(panels, rows, lanes, rng)
    dx = empty_panels(panels, columns, lanes)
    spmm_transposed(lanes, group)(dx, tiles, indices, values, dy, *steps, width)
    exact = np.einsum("mk,pmn->pkn", dense.astype(np.float64), dy)
    np.testing.assert_allclose(dx, exact, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize(("lanes", "group"), KINDS)
@given(data=st.data(), panels=st.integers(1, 3), band=st.integers(1, 25), shares=st.integers(1, 4))
@settings(deadline=None, max_examples=25)
def test_gradient_adds_at_stored_positions(lanes, group, data, panels, band, shares):
    dense, (indptr, indices, values), steps, tiles, _, rng = data.draw(cases(group))
    rows, columns = dense.shape
    dy = random_panels(panels, rows, lanes, rng)
    x = random_panels(panels, columns, lanes, rng)
    grad = aligned_copy(values)
    sddmm(lanes, group)(grad, tiles, indptr, indices, dy, x, *steps, band, 2, shares)
    product = np.einsum("pmn,pkn->mk", dy.astype(np.float64), x)
    first = np.repeat(np.arange(rows // group), np.diff(indptr)) * steps[0]
    places = first[:, None] + np.arange(group) * steps[1], indices[:, None]
    np.testing.assert_allclose(grad, values + product[places].ravel(), rtol=1e-5, atol=1e-4)


def test_results_do_not_depend_on_tasks():
    rng = np.random.default_rng(5)
    groups, columns, lanes = 90, 70, 80
    _, arrays = random_grouped(groups, columns, 0.3, 4, (1, groups), rng)
    x, dy = random_panels(3, columns, lanes, rng), random_panels(3, 4 * groups, lanes, rng)
    results = []
    for width, band, shares in ((70, 90, 1), (70, 7, 3), (70, 90, 2)):
        tiles = np.empty((groups, -(-columns // width) + 1), np.int32)
        column_tiles(tiles, *arrays[:2], width)
        y, grad = empty_panels(3, 4 * groups, lanes), aligned_zeros(arrays[2].size)
        steps = 1, groups
        spmm(lanes, 4)(y, tiles, *arrays, x, aligned_zeros(0), *steps, band, 2, shares)
        sddmm(lanes, 4)(grad, tiles, *arrays[:2], dy, x, *steps, band, 2, shares)
        narrow = np.empty((groups, -(-columns // (width // shares)) + 1), np.int32)
        column_tiles(narrow, *arrays[:2], width // shares)
        dx = empty_panels(3, columns, lanes)
        spmm_transposed(lanes, 4)(dx, narrow, *arrays[1:], dy, *steps, width // shares)
        results.append((y, grad, dx))
    for other in results[1:]:
        for first, second in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("n", "g", "piece"), [(80, 4, 80), (96, 4, 48), (64, 8, 32), (4, 4, 4), (80, 64, 16), (640, 1, 640)]
)
def test_pieces_fit_the_registers_and_divide_a_panel(n, g, piece):
    assert piece_lanes(n, g, 320) == piece
