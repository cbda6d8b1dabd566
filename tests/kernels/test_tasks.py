"""Loops that threads share."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from truesparse.kernels.jit import parallel_jit, prange
from truesparse.kernels.threads import set_threads


@parallel_jit
def add_twice(out, times, offset):
    for turn in range(times):
        shift = offset + turn
        for i in prange(out.size):
            value = shift * i
            out[i] += value
    for i in prange(times):
        out[i] -= 1


@pytest.mark.parametrize("threads", [1, 0])
@pytest.mark.parametrize(("size", "times"), [(0, 0), (1, 0), (1, 1), (3, 2), (100, 2)])
def test_every_turn_is_taken_once(size: int, times: int, threads: int) -> None:
    out = np.zeros(size, dtype=np.int64)
    set_threads(threads)
    try:
        add_twice(out, times, 5)
    finally:
        set_threads(0)
    expected = np.arange(size) * sum(5 + turn for turn in range(times))
    expected[:times] -= 1
    assert out.tolist() == expected.tolist()


@pytest.mark.skipif(bool(numba.config.BOUNDSCHECK), reason="with bounds checks one thread takes all turns")
def test_turns_cannot_share_a_variable() -> None:
    @parallel_jit
    def total(x):
        result = 0
        for i in prange(x.size):
            result += x[i]
        return result

    with pytest.raises(numba.TypingError, match="result"):
        total(np.arange(3))
