import numpy as np

from truesparse.kernels.jit import jit
from truesparse.simd import vstore, vuniform


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
