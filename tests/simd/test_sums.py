import numpy as np
import pytest

from truesparse.kernels.jit import jit
from truesparse.simd import vdot16, vload, vstore, vsum, vsum8

WIDTHS = (1, 4, 8, 16, 20, 64, 80, 96, 100)


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
