"""GraNet: how many entries an update leaves, and which."""

from __future__ import annotations

import numpy as np
import pytest

from truesparse.errors import UsageError
from truesparse.sparse import Arena
from truesparse.topology import Beginning, get_method, sample_pattern

pytestmark = pytest.mark.usefixtures("command")


def at_work(gates: str = "fused") -> tuple[Arena, object]:
    rng = np.random.default_rng(3)
    patterns = {
        "gates": (sample_pattern((40, 50), 1000, rng), 4),
        "output": (sample_pattern((20, 10), 100, rng), 1),
    }
    arena = Arena(patterns, {})
    arena.values[...] = rng.normal(size=arena.size)
    final = {"gates": np.full(4, 50), "output": np.array([40])}
    return arena, get_method("granet").begin(
        Beginning(arena, rng, {"initial_density": 0.5}, gates, final_counts=final)
    )


@pytest.mark.parametrize("gates", ["fused", "separate"])
def test_each_update_comes_down_the_cubic_way_and_replaces_a_fraction(gates: str) -> None:
    arena, hooks = at_work(gates)
    before = {name: matrix.nnz for name, matrix in arena.matrices.items()}
    assert before == {"gates": 1000, "output": 100}
    last = {"gates": 200, "output": 40}
    for progress in (0.25, 0.5, 1.0):
        nnz = {name: matrix.nnz for name, matrix in arena.matrices.items()}
        changed = hooks.rewire(0.2, dict, progress)
        for name, matrix in arena.matrices.items():
            wanted = before[name] - (before[name] - last[name]) * (1 - (1 - progress) ** 3)
            assert matrix.nnz == pytest.approx(wanted, abs=2)
            assert changed[name].grown == pytest.approx(0.2 * wanted, abs=4)
            assert changed[name].dropped - changed[name].grown == nnz[name] - matrix.nnz
    assert {name: matrix.nnz for name, matrix in arena.matrices.items()} == last
    if gates == "separate":
        assert (arena.matrices["gates"].block_nnz() == 50).all()


def test_the_smallest_go_and_those_that_stay_keep_their_values() -> None:
    arena, hooks = at_work()
    output = arena.matrices["output"]
    old = output.to_scipy().toarray()
    hooks.rewire(0.0, dict, 0.5)
    new = output.to_scipy().toarray()
    largest = np.sort(np.abs(old[old != 0]))[-output.nnz :]
    np.testing.assert_array_equal(np.sort(np.abs(new[new != 0])), largest)


def test_the_first_density() -> None:
    granet = get_method("granet")
    assert granet.first_density({"initial_density": 0.5}, 0.1) == 0.5
    with pytest.raises(UsageError, match=r"--initial-density 0.5 is below the density 0.6"):
        granet.first_density({"initial_density": 0.5}, 0.6)
    firsts = {name: get_method(name).first_density({}, 0.1) for name in ("set", "gmp", "snip", "small-dense")}
    assert firsts == {"set": 0.1, "gmp": 1.0, "snip": 1.0, "small-dense": 1.0}
