"""How near the products come to the multiply-add peak while everything lies in the nearest caches.

One tile of the columns, in L1, and rows of a given number of nonzeros: what the instructions of the kernels
reach if no cache is in the way. A difference of two numbers of panels leaves out what a call costs. All of
them fit an L2 cache of 1 MB. Usage: python benchmarks/tile_ceiling.py OUT.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from truesparse.bench.environment import environment
from truesparse.bench.roofs import fastest_call, measure_roofs
from truesparse.bench.settings import conditions
from truesparse.kernels.buffers import aligned_zeros
from truesparse.kernels.sddmm import sddmm
from truesparse.kernels.spmm import spmm
from truesparse.kernels.threads import set_threads

ROWS, COLUMNS, FEW, MANY = 200, 100, 2, 6  # panels
NONZEROS = (4, 7, 10, 13, 20, 26, 33, 42, 100)  # of a row in the tile
LANES = (64, 80, 96)
SECONDS = 0.2


def measure(nonzeros: int, lanes: int) -> dict[str, float]:
    """Operations a second of the forward product and of the gradient, on one thread."""
    random = np.random.default_rng(0)
    places = [np.sort(random.permutation(COLUMNS)[:nonzeros]) for _ in range(ROWS)]
    indices = np.concatenate(places).astype(np.uint16)
    indptr = (np.arange(ROWS + 1) * nonzeros).astype(np.int32)
    tiles = np.stack([indptr[:-1], indptr[1:]], axis=1).astype(np.int32)
    data = random.standard_normal(indices.size).astype(np.float32)
    grad, bias = np.zeros_like(data), np.zeros(0, np.float32)
    ends: dict[str, dict[int, float]] = {"forward": {}, "gradient": {}}
    for panels in (FEW, MANY):
        x, y = aligned_zeros((panels, COLUMNS, lanes)), aligned_zeros((panels, ROWS, lanes))
        x[:] = random.standard_normal(x.shape)
        cut = (1, 0, ROWS, 1, 1)  # all rows of a panel, then the next panel; one thread
        ends["forward"][panels] = fastest_call(
            lambda: spmm(lanes)(y, tiles, indptr, indices, data, x, bias, *cut),  # noqa: B023
            SECONDS,
        )
        dense = np.zeros((ROWS, COLUMNS), np.float32)
        dense[np.repeat(np.arange(ROWS), nonzeros), indices] = data
        np.testing.assert_allclose(y[1], dense @ x[1], rtol=1e-3, atol=1e-3)
        ends["gradient"][panels] = fastest_call(
            lambda: sddmm(lanes)(grad, tiles, indptr, indices, y, x, *cut),  # noqa: B023
            SECONDS,
        )
    operations = 2 * indices.size * lanes * (MANY - FEW)
    return {product: operations / (of[MANY] - of[FEW]) for product, of in ends.items()}


def main() -> None:
    """See the module."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    set_threads(1)
    where = environment(conditions(1, 1, SECONDS))
    peak = measure_roofs(SECONDS)["flops"]
    records = []
    for lanes in LANES:
        for nonzeros in NONZEROS:
            for product, speed in measure(nonzeros, lanes).items():
                records.append(
                    {
                        "product": product,
                        "lanes": lanes,
                        "nonzeros": nonzeros,
                        "gflops": speed / 1e9,
                        "fraction": speed / peak,
                        "environment": where,
                    }
                )
                print(f"{product}, {lanes} lanes, {nonzeros:3} nonzeros: {speed / peak:.2f} of the peak")
    Path(sys.argv[1]).write_text(json.dumps(records))


if __name__ == "__main__":
    main()
