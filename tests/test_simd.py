import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from scipy.special import expit

from truesparse.kernels.jit import jit
from truesparse.simd import (
    split_lanes,
    vbroadcast,
    vdot16,
    vexp,
    vfma,
    vlike,
    vload,
    vload_row,
    vmax,
    vmin,
    vselect_less,
    vsigmoid,
    vsqrt,
    vstore,
    vstore_row,
    vsum,
    vsum8,
    vtanh,
    vuniform,
)

WIDTHS = (1, 4, 8, 16, 20, 64, 80, 96, 100)


def test_lanes_are_split_into_powers_of_two():
    assert split_lanes(20) == (16, 4)
    assert split_lanes(80) == (64, 16)
    assert split_lanes(64) == (64,)
    assert split_lanes(135) == (64, 64, 4, 2, 1)
    for n in range(1, 200):
        assert sum(split_lanes(n)) == n


def make_function(function, n):
    @jit
    def apply(y, x):
        for i in range(0, x.size, n):
            vstore(y, i, function(vload(x, i, n)))

    return apply


def make_arithmetic(n):
    @jit
    def arithmetic(y, a, b):
        p, q = vload(a, 0, n), vload(b, 0, n)
        vstore(y, 0, vfma(p, q, p - q) / (q * np.float32(2)) + np.float32(3) * -p)
        vstore(y, n, vmin(p, q) + vmax(p, vbroadcast(np.float32(0), n)))
        vstore(y, 2 * n, vselect_less(p, q, vlike(np.float32(1), p), vsqrt(p)))

    return arithmetic


@pytest.mark.parametrize("n", WIDTHS)
def test_arithmetic_lane_by_lane(n):
    rng = np.random.default_rng(n)
    a, b = rng.uniform(0.5, 2, (2, n)).astype(np.float32)
    y = np.zeros(3 * n, np.float32)
    make_arithmetic(n)(y, a, b)
    p, q = a.astype(np.float64), b.astype(np.float64)
    np.testing.assert_allclose(y[:n], (p * q + p - q) / (2 * q) - 3 * p, rtol=2e-6, atol=2e-6)
    np.testing.assert_allclose(y[n : 2 * n], np.minimum(p, q) + p, rtol=1e-6)
    np.testing.assert_array_equal(y[2 * n :], np.where(a < b, np.float32(1), np.sqrt(a)))


def make_sums(n):
    @jit
    def sums(a, b):
        return vsum(vload(a, 0, n)), vsum(vdot16(vload(a, 0, n), vload(b, 0, n)))

    return sums


@pytest.mark.parametrize("n", WIDTHS)
def test_sums_across_lanes(n):
    rng = np.random.default_rng(n)
    a, b = rng.integers(-50, 50, (2, n)).astype(np.float32)  # whole numbers: sums are exact in any order
    assert make_sums(n)(a, b) == (a.sum(), (a * b).sum())


@jit
def eight_sums(y, x):
    v0, v1, v2, v3 = vload(x, 0, 16), vload(x, 16, 16), vload(x, 32, 16), vload(x, 48, 16)
    v4, v5, v6, v7 = vload(x, 64, 16), vload(x, 80, 16), vload(x, 96, 16), vload(x, 112, 16)
    vstore(y, 0, vsum8(v0, v1, v2, v3, v4, v5, v6, v7))


def test_eight_sums_at_once():
    x = np.random.default_rng(0).integers(-50, 50, (8, 16)).astype(np.float32)
    y = np.zeros(8, np.float32)
    eight_sums(y, x)
    np.testing.assert_array_equal(y, x.sum(axis=1))


def make_row_copy(n):
    @jit
    def copy_row(blocked, x, row, rows):
        vstore_row(blocked, 0, row, rows, vload(x, row * n, n))
        vstore(x, row * n, vload_row(blocked, 0, row, rows, vload(x, 0, n)))

    return copy_row


def test_rows_of_a_lane_blocked_array():
    rows, n = 3, 20
    x = np.arange(rows * n, dtype=np.float32).reshape(rows, n)
    blocked = np.zeros(rows * n, np.float32)
    expected = x.copy()
    for row in range(rows):
        make_row_copy(n)(blocked, x, row, rows)
    np.testing.assert_array_equal(blocked[: rows * 16].reshape(rows, 16), expected[:, :16])
    np.testing.assert_array_equal(blocked[rows * 16 :].reshape(rows, 4), expected[:, 16:])
    np.testing.assert_array_equal(x, expected)


FUNCTIONS = {
    "exp": (vexp, np.exp, (-87, 88), 1.1),
    "sigmoid": (vsigmoid, expit, (-20, 20), 3.0),
    "tanh": (vtanh, np.tanh, (-10, 10), 3.0),
}


@pytest.mark.parametrize("n", [4, 16, 20])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_in_ulp_of_float64(name, n):
    function, reference, (low, high), most = FUNCTIONS[name]
    rng = np.random.default_rng(0)
    count = 240_000
    wide = rng.uniform(low, high, count // 2)
    small = rng.standard_normal(count // 2) * 10.0 ** rng.uniform(-6, 0.5, count // 2)
    x = np.concatenate([wide, small]).astype(np.float32)
    y = np.zeros_like(x)
    make_function(function, n)(y, x)
    exact = reference(x.astype(np.float64))
    ulp = np.abs(y - exact) / np.spacing(np.abs(exact.astype(np.float32)))
    assert ulp.max() <= most


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_at_the_ends(name):
    function, reference, _, _ = FUNCTIONS[name]
    x = np.array([-np.inf, np.inf, np.nan, 0.0], np.float32)
    y = np.zeros_like(x)
    make_function(function, 4)(y, x)
    assert np.isnan(y[2])
    assert y[3] == reference(0.0)
    if name != "exp":
        np.testing.assert_allclose(y[:2], reference(x[:2].astype(np.float64)), atol=1e-30, rtol=1e-6)


def make_uniform(n):
    @jit
    def fill(y, key):
        for i in range(0, y.size, n):
            vstore(y, i, vuniform(key, i, n))

    return fill


def test_uniform_numbers_do_not_depend_on_the_width():
    key = np.uint64(0x123456789ABCDEF0)
    a, b = np.zeros(320, np.float32), np.zeros(320, np.float32)
    make_uniform(16)(a, key)
    make_uniform(20)(b, key)
    np.testing.assert_array_equal(a, b)


def test_uniform_numbers_are_uniform_and_keys_differ():
    draws = np.zeros((8, 160_000), np.float32)
    for row, key in zip(draws, np.random.default_rng(0).integers(0, 2**64, 8, dtype=np.uint64), strict=True):
        make_uniform(16)(row, key)
    assert draws.min() >= 0
    assert draws.max() < 1
    counts = np.apply_along_axis(lambda row: np.histogram(row, 100, (0, 1))[0], 1, draws)
    chi_square = ((counts - 1600) ** 2 / 1600).sum(axis=1)  # 99 degrees of freedom
    assert (chi_square < 170).all()
    correlation = np.corrcoef(draws)
    assert np.abs(correlation - np.eye(8)).max() < 0.015
    for row in draws:
        assert abs(np.corrcoef(row[:-1], row[1:])[0, 1]) < 0.015


@pytest.mark.parametrize("offset", [-1, 13])
def test_access_outside_of_an_array_is_caught_in_checked_mode(offset, tmp_path):
    program = f"""
    import numpy as np
    from truesparse.kernels.jit import jit
    from truesparse.simd import vload, vstore

    @jit
    def copy(y, x, offset):
        vstore(y, 0, vload(x, offset, 4))

    copy(np.zeros(16, np.float32), np.zeros(16, np.float32), {offset})
    """
    script = tmp_path / "outside.py"
    script.write_text(textwrap.dedent(program))
    environment = os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True)
    assert "IndexError: vector access outside of the array" in done.stderr
