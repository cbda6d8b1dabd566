"""Rounding to 16 bits."""

from __future__ import annotations

import numpy as np

from truesparse.kernels.bf16 import add_bf16, to_bf16


def test_bf16_is_the_nearest_number_and_of_two_the_even_one() -> None:
    rng = np.random.default_rng(1)
    values = (rng.normal(size=1000) * 10.0 ** rng.integers(-30, 30, 1000)).astype(np.float32)
    halfway = np.array([0x3F808000, 0x3F818000, 0x3F808001, 0x7F800000, 0xFF800000], np.uint32)
    values = np.concatenate([values, halfway.view(np.float32), np.array([0.0, -0.0, np.nan], np.float32)])
    rounded, back = np.empty(values.size, np.uint16), np.ones(values.size, np.float32)
    to_bf16(rounded, values)
    below = values.view(np.uint32) & np.uint32(0xFFFF0000)
    with np.errstate(invalid="ignore"):
        low, high = (b.view(np.float32).astype(np.float64) for b in (below, below + np.uint32(0x10000)))
    finite = np.isfinite(values) & np.isfinite(high)
    with np.errstate(invalid="ignore"):
        up = np.abs(high - values) < np.abs(values - low)
        even = (np.abs(high - values) == np.abs(values - low)) & (below >> 16 & 1 == 1)
    expected = np.where(up | even, high, low)
    got = (rounded.astype(np.uint32) << 16).view(np.float32)
    assert np.array_equal(got[finite], expected[finite].astype(np.float32))
    assert got[[-5, -4]].tolist() == [np.inf, -np.inf]
    assert np.isnan(got[-1])
    assert even.any()
    assert up.any()
    add_bf16(back, rounded)
    assert np.array_equal(back, 1 + got, equal_nan=True)
