"""How near a product comes to the multiply-add peak while everything lies in the nearest caches.

One tile of the columns, in L1, and rows of a given number of nonzeros: what the instructions of the kernel
reach if no cache is in the way. Usage: python benchmarks/tile_ceiling.py OUT.json
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

from truesparse.bench.environment import environment
from truesparse.bench.roofs import measure_roofs
from truesparse.bench.settings import conditions
from truesparse.kernels.buffers import aligned_zeros
from truesparse.kernels.spmm import spmm
from truesparse.kernels.threads import set_threads

ROWS, COLUMNS, PANELS = 400, 100, 20
NONZEROS = (4, 7, 13, 20, 26, 33, 42, 100)  # of a row in the tile
LANES = (64, 80, 96)
SECONDS = 0.3


def measure(nonzeros: int, lanes: int) -> float:
    """Operations a second of `spmm` on one thread."""
    random = np.random.default_rng(0)
    places = [np.sort(random.permutation(COLUMNS)[:nonzeros]) for _ in range(ROWS)]
    indices = np.concatenate(places).astype(np.uint16)
    indptr = (np.arange(ROWS + 1) * nonzeros).astype(np.int32)
    tiles = np.stack([indptr[:-1], indptr[1:]], axis=1).astype(np.int32)
    data = random.standard_normal(indices.size).astype(np.float32)
    x, y = aligned_zeros((PANELS, COLUMNS, lanes)), aligned_zeros((PANELS, ROWS, lanes))
    x[:] = random.standard_normal(x.shape)
    kernel, bias = spmm(lanes), np.zeros(0, np.float32)

    def call() -> None:
        kernel(y, tiles, indptr, indices, data, x, bias, 1, 0, ROWS, 1, 1)

    call()
    dense = np.zeros((ROWS, COLUMNS), np.float32)
    dense[np.repeat(np.arange(ROWS), nonzeros), indices] = data
    np.testing.assert_allclose(y[3], dense @ x[3], rtol=1e-3, atol=1e-3)
    fastest, end = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        begin = time.perf_counter()
        call()
        fastest = min(fastest, time.perf_counter() - begin)
    return 2 * indices.size * lanes * PANELS / fastest


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    set_threads(1)
    where = environment(conditions(1, 1, SECONDS))
    peak = measure_roofs(SECONDS)["flops"]
    records = []
    for lanes in LANES:
        for nonzeros in NONZEROS:
            speed = measure(nonzeros, lanes)
            records.append({"lanes": lanes, "nonzeros": nonzeros, "flops": speed, "fraction": speed / peak})
            print(f"{lanes} lanes, {nonzeros:3} nonzeros: {speed / 1e9:5.0f} GF/s, {speed / peak:.2f}")
    Path(sys.argv[1]).write_text(json.dumps([{**record, "environment": where} for record in records]))
