"""The machine's roofs: how fast it multiplies and adds, and how fast it reads from each level of memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from truesparse.kernels.buffers import aligned_zeros
from truesparse.kernels.jit import parallel_jit, prange
from truesparse.kernels.processor import CACHES, cache_bytes
from truesparse.kernels.threads import thread_count
from truesparse.simd import at, vbroadcast, vfma, vload, vstore, vsum

LEVELS = (*CACHES, "memory")
# Lanes of one of six sums, and of one of four; what is best depends on the registers there are.
_WIDTHS, _SUMS = (16, 32, 48, 64, 80), 6
_ROW_WIDTHS = (32, 64)
_READ = 128 << 20  # bytes a call: long beside the start of a parallel region
_ZERO = np.float32(0)


@cache
def multiply_adds(n: int):
    """Return the kernel that makes ``rounds * 6 * n`` multiply-adds in registers in each of ``shares`` tasks.

    The kernel takes ``out`` : float32 `[shares, n]`; ``factor`` : float32; ``rounds, shares`` : int.
    """

    @parallel_jit
    def multiply_adds_kernel(out, factor, rounds, shares):
        for share in prange(shares):
            x = vbroadcast(factor, n)
            a = vbroadcast(_ZERO, n)
            b = vbroadcast(_ZERO, n)
            c = vbroadcast(_ZERO, n)
            d = vbroadcast(_ZERO, n)
            e = vbroadcast(_ZERO, n)
            f = vbroadcast(_ZERO, n)
            for _ in range(rounds):
                a = vfma(a, x, x)
                b = vfma(b, x, x)
                c = vfma(c, x, x)
                d = vfma(d, x, x)
                e = vfma(e, x, x)
                f = vfma(f, x, x)
            vstore(out, share * n, ((a + b) + (c + d)) + (e + f))

    return multiply_adds_kernel


@cache
def read_in_sequence(n: int):
    """Return the kernel that adds up the numbers of ``x``, each task its own part.

    The kernel takes ``out`` : float32 `[shares]`, receives the sums; ``x`` : float32 `[shares, 4 k, n]`;
    ``rounds, shares`` : int.
    """

    @parallel_jit
    def read_in_sequence_kernel(out, x, rounds, shares):
        size = x.shape[1] * n
        for share in prange(shares):
            a = vbroadcast(_ZERO, n)
            b = vbroadcast(_ZERO, n)
            c = vbroadcast(_ZERO, n)
            d = vbroadcast(_ZERO, n)
            for _ in range(rounds):
                for i in range(share * size, (share + 1) * size, 4 * n):
                    a = a + vload(x, i, n)
                    b = b + vload(x, i + n, n)
                    c = c + vload(x, i + 2 * n, n)
                    d = d + vload(x, i + 3 * n, n)
            out[share] = vsum((a + b) + (c + d))

    return read_in_sequence_kernel


@cache
def read_rows(n: int):
    """Return the kernel that does the same row by row in a given order, as a sparse product reads.

    It takes ``out, x`` as `read_in_sequence`; ``order`` : int32 `[4 k]`, row numbers; ``rounds, shares``.
    """

    @parallel_jit
    def read_rows_kernel(out, x, order, rounds, shares):
        size = x.shape[1] * n
        for share in prange(shares):
            base = share * size
            a = vbroadcast(_ZERO, n)
            b = vbroadcast(_ZERO, n)
            c = vbroadcast(_ZERO, n)
            d = vbroadcast(_ZERO, n)
            for _ in range(rounds):
                for k in range(0, order.size, 4):
                    a = a + vload(x, base + np.intp(at(order, k)) * n, n)
                    b = b + vload(x, base + np.intp(at(order, k + 1)) * n, n)
                    c = c + vload(x, base + np.intp(at(order, k + 2)) * n, n)
                    d = d + vload(x, base + np.intp(at(order, k + 3)) * n, n)
            out[share] = vsum((a + b) + (c + d))

    return read_rows_kernel


def measure_roofs(seconds: float) -> dict[str, Any]:
    """Measure with as many threads as the kernels use.

    Parameters
    ----------
    seconds : float
        For each number, about.

    Returns
    -------
    dict
        `threads`; `cache_bytes` by level; `flops`, operations a second of multiply-adds in registers;
        `bytes_per_second` by level, the best of reading in sequence and of rows of 128 or 256 bytes at
        random, which is how a sparse product reads.
    """
    sizes, threads = cache_bytes(), thread_count()
    places = {
        "L1": sizes["L1"] // 2,
        "L2": sizes["L2"] // 2,
        "L3": max(sizes["L3"] // (2 * threads), 2 * sizes["L2"]),
        "memory": max(4 * sizes["L3"] // threads, 4 * sizes["L2"]),
    }
    return {
        "threads": threads,
        "cache_bytes": sizes,
        "flops": _flops(seconds, threads),
        "bytes_per_second": {level: _bandwidth(places[level], seconds, threads) for level in LEVELS},
    }


def level_of(size: int, sizes: dict[str, int]) -> str:
    """Return the level that holds `size` bytes."""
    return next((level for level in LEVELS[:-1] if size <= sizes[level]), LEVELS[-1])


def _flops(seconds: float, threads: int) -> float:
    best = 0.0
    rounds = 100_000
    for n in _WIDTHS:
        out = aligned_zeros((threads, n))
        kernel = multiply_adds(n)
        fastest = fastest_call(lambda: kernel(out, np.float32(0.5), rounds, threads), seconds / len(_WIDTHS))  # noqa: B023
        best = max(best, 2 * _SUMS * n * rounds * threads / fastest)
    return best


def _bandwidth(size: int, seconds: float, threads: int) -> float:
    best = 0.0
    for n in _ROW_WIDTHS:
        rows = max(4, size // (4 * n) // 4 * 4)
        x = aligned_zeros((threads, rows, n))
        x.fill(1)
        out = aligned_zeros(threads)
        rounds = max(1, _READ // size)
        order = np.random.default_rng(0).permutation(rows).astype(np.int32)
        straight, shuffled = read_in_sequence(n), read_rows(n)
        for call in (
            lambda: straight(out, x, rounds, threads),  # noqa: B023
            lambda: shuffled(out, x, order, rounds, threads),  # noqa: B023
        ):
            fastest = fastest_call(call, seconds / (2 * len(_ROW_WIDTHS)))
            best = max(best, 4 * n * rows * rounds * threads / fastest)
    return best


def fastest_call(call: Callable[[], object], seconds: float) -> float:
    """Return the shortest time of a call, in about so many seconds: a roof is what is possible."""
    call()
    fastest = float("inf")
    end = time.perf_counter() + seconds
    while True:
        start = time.perf_counter()
        call()
        now = time.perf_counter()
        fastest = min(fastest, now - start)
        if now > end:
            return fastest
