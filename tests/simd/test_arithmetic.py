import numpy as np
import pytest

from truesparse.kernels.jit import jit
from truesparse.simd import vbroadcast, vfma, vlike, vload, vmax, vmin, vselect_less, vsqrt, vstore

WIDTHS = (1, 4, 8, 16, 20, 64, 80, 96, 100)


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
