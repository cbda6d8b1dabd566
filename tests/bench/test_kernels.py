from __future__ import annotations

import numpy as np
import pytest

from truesparse.bench import products
from truesparse.bench.kernels import bound
from truesparse.bench.peers import make_products
from truesparse.bench.products import PRODUCTS, Case, Operands
from truesparse.bench.roofs import (
    cache_bytes,
    level_of,
    measure_roofs,
    multiply_adds,
    read_in_sequence,
    read_rows,
)
from truesparse.bench.settings import installed
from truesparse.errors import TruesparseError
from truesparse.kernels.buffers import aligned_zeros

CASES = [Case(40, 30, 0.2, 20), Case(40, 30, 0.2, 20, 9), Case(33, 17, 0.3, 70, 3)]
PACKAGES = {
    "torch-csr": "torch",
    "torch-dense": "torch",
    "sparselab": "sparselab",
    "sparseprop": "sparseprop",
}


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.batch}x{case.steps}")
@pytest.mark.parametrize("side", ["ours", "scipy", "numpy-dense", *PACKAGES])
def test_every_library_computes_the_products(side, case):
    if side in PACKAGES and not installed(PACKAGES[side]):
        pytest.skip(f"{PACKAGES[side]} is not installed")
    calls, tiles = make_products(side, case)  # checks each of them
    assert set(tiles) == (set(PRODUCTS[:3]) if side == "ours" else set())
    assert set(calls) == ({"forward", "layer"} if side == "sparseprop" else set(PRODUCTS))
    calls["layer"]()


def test_a_wrong_product_is_found(monkeypatch):
    operands = Operands(CASES[0])
    with pytest.raises(TruesparseError, match="its forward product is wrong"):
        operands.check("forward", np.zeros((40, 20), np.float32))
    with pytest.raises(TruesparseError, match="its gradient product is wrong"):
        operands.check("gradient", np.zeros(operands.csr.nnz, np.float32))
    monkeypatch.setattr(products, "add_gradient", lambda *arguments: None)
    with pytest.raises(TruesparseError, match="gradient"):
        make_products("ours", CASES[0])


def test_kernels_of_the_roofs():
    out = aligned_zeros((2, 32))
    multiply_adds(32)(out, np.float32(0.5), 3, 2)
    np.testing.assert_array_equal(out, 6 * 0.875)  # a = a / 2 + 1 / 2 three times in each of six sums
    x = aligned_zeros((2, 8, 64))
    x[0], x[1] = 1, np.arange(8)[:, None]
    sums = aligned_zeros(2)
    read_rows(64)(sums, x, np.array([0, 7, 7, 2], np.int32), 3, 2)
    np.testing.assert_array_equal(sums, [3 * 4 * 64, 3 * 64 * (0 + 7 + 7 + 2)])
    read_in_sequence(64)(sums, x, 3, 2)
    np.testing.assert_array_equal(sums, [3 * 8 * 64, 3 * 64 * 28])


def test_roofs_of_this_machine(monkeypatch):
    sizes = cache_bytes()
    assert 0 < sizes["L1"] < sizes["L2"]
    monkeypatch.setattr(
        "truesparse.bench.roofs.cache_bytes", lambda: {"L1": 1 << 12, "L2": 1 << 14, "L3": 1 << 16}
    )
    monkeypatch.setattr("truesparse.bench.roofs._READ", 1 << 16)
    roofs = measure_roofs(0.002)
    assert roofs["flops"] > 0
    assert list(roofs["bytes_per_second"]) == ["L1", "L2", "L3", "memory"]
    assert min(roofs["bytes_per_second"].values()) > 0


def test_the_roof_that_binds():
    sizes = {"L1": 48 << 10, "L2": 1 << 20, "L3": 32 << 20}
    speeds = {"L1": 8e11, "L2": 4e11, "L3": 2e11, "memory": 5e10}
    roofs = {"threads": 2, "cache_bytes": sizes, "flops": 5e11, "bytes_per_second": speeds}
    assert [level_of(size, sizes) for size in (48 << 10, 49 << 10, 2 << 20, 33 << 20)] == list(speeds)
    nnz = 1_800_000
    whole = {"forward": 1500, "transposed": 2000, "gradient": 128}  # rows of the operand at a time

    def of(product, batch):
        return bound(Case(6000, 1500, 0.2, batch), product, nnz, whole, roofs)

    # rows of X, 4 bytes a lane: a panel of 1500 x 64 is 384 KB
    assert of("forward", 64) == ("L2", 4 * nnz * 64 / 4e11)
    # a tile of 128 x 64 is 32 KB
    assert of("gradient", 64) == ("L1", 4 * nnz * 64 / 8e11)
    # few lanes: the matrix itself, 6 bytes a nonzero, from the L3 cache
    assert of("forward", 4) == ("L3", 6 * nnz / 2e11)
    assert of("layer", 64) == ("L2", sum(of(product, 64)[1] for product in PRODUCTS[:3]))
