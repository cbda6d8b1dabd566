"""Filling flat arrays: with zeros, or with entries picked out of another array."""

from __future__ import annotations

import numpy as np

from truesparse.kernels.jit import parallel_jit, prange
from truesparse.simd import at, prefetch

_CHUNK = 1 << 15  # entries one thread takes at a time
_AHEAD = 64  # entries between a prefetch and its use: a plain gather of scattered entries takes twice as long


@parallel_jit
def fill_zero(out):
    """Set every element of a float32 array of shape (n,) to 0, in parallel."""
    for chunk in prange((out.size + _CHUNK - 1) // _CHUNK):
        out[chunk * _CHUNK : (chunk + 1) * _CHUNK] = np.float32(0)


@parallel_jit
def gather(out, data, source, group):
    """`out[k, m] = data[source[k], m]`, and 0 where `source[k]` is negative, for m < `group`.

    Parameters
    ----------
    out : ndarray of float32, shape (n * group,)
        Written; must not overlap `data`.
    data : ndarray of float32, shape (m * group,)
        Contiguous.
    source : ndarray of int32, shape (n,)
        Below `m`, which is not checked.
    group : int
        Consecutive numbers that go together.

    Notes
    -----
    12 bytes per entry and no allocation; under 1 ns per entry on two threads even when they are scattered.
    """
    if data.size == 0:
        fill_zero(out)
        return
    for chunk in prange((source.size + _CHUNK - 1) // _CHUNK):
        end = min((chunk + 1) * _CHUNK, source.size)
        for k in range(chunk * _CHUNK, end):
            prefetch(data, np.intp(at(source, min(k + _AHEAD, end - 1))) * group)
            position = np.intp(at(source, k))
            for member in range(group):
                value = at(
                    data, max(position, 0) * group + member
                )  # in any case: a branch would be mispredicted
                out[np.uintp(k * group + member)] = value if position >= 0 else np.float32(0)


@parallel_jit
def permute(out, data, source):
    """`out[k] = data[source[k]]`: `gather` without its test for a negative source, a quarter faster.

    Parameters
    ----------
    out, data : ndarray of float32, shape (n,)
        `out` is written and must not overlap `data`.
    source : ndarray of int32, shape (n,)
        In [0, n), which is not checked.
    """
    for chunk in prange((source.size + _CHUNK - 1) // _CHUNK):
        end = min((chunk + 1) * _CHUNK, source.size)
        for k in range(chunk * _CHUNK, end):
            prefetch(data, np.intp(at(source, min(k + _AHEAD, end - 1))))
            out[np.uintp(k)] = at(data, np.intp(at(source, k)))
