from dataclasses import replace

import numpy as np
import pytest
from oracles import random_csr
from topology_helpers import an_update, arena_of_three, positions

from truesparse.errors import TruesparseError
from truesparse.kernels.topology import mark_positions
from truesparse.sparse import Arena, Pattern
from truesparse.topology import get_method
from truesparse.topology.positions import PositionsUsed


def unpacked(bits, columns):
    """The bits as numbers, one for each position."""
    return np.unpackbits(bits, axis=1, bitorder="little")[:, :columns]


@pytest.mark.parametrize("columns", [1, 7, 8, 9, 64, 100])
@pytest.mark.parametrize("density", [0.0, 0.2, 1.0])
def test_positions_are_marked(columns, density):
    rng = np.random.default_rng(columns)
    expected = np.zeros((23, columns), bool)
    bits = np.zeros((23, -(-columns // 8)), np.uint8)
    for _ in range(3):
        matrix = random_csr(23, columns, density, rng)
        pattern, _ = Pattern.from_scipy(matrix)
        added = np.full(23, -1)
        mark_positions(added, bits, pattern.indptr, pattern.indices)
        now = matrix.toarray() != 0
        np.testing.assert_array_equal(added, (now & ~expected).sum(axis=1))
        expected |= now
        np.testing.assert_array_equal(unpacked(bits, columns), expected)
        assert np.unpackbits(bits).sum() == expected.sum()  # no bit beyond the last column


@pytest.mark.parametrize("method", ["set", "selfish", "dsr"])
def test_the_share_is_that_of_all_positions_a_run_of_updates_has_used(method):
    arena = arena_of_three(1)
    used = PositionsUsed(arena.matrices)
    expected = {name: set(positions(matrix).tolist()) for name, matrix in arena.matrices.items()}
    sizes = {name: np.prod(matrix.shape) for name, matrix in arena.matrices.items()}
    rng = np.random.default_rng(0)
    for _ in range(5):
        update = replace(an_update(0.4), rng=rng, memory={"threshold": 0.5})
        used.mark(get_method(method).update(arena, update))
        for name, matrix in arena.matrices.items():
            expected[name] |= set(positions(matrix).tolist())
        assert used.shares() == {name: len(expected[name]) / sizes[name] for name in sizes}
        assert used.share == sum(map(len, expected.values())) / sum(sizes.values())
    assert used.share > 2 * arena.nnz / sum(sizes.values())

    again = PositionsUsed(arena.matrices)
    assert again.share < used.share
    again.load(used.bits)
    assert again.shares() == used.shares()
    for name, bits in used.bits.items():
        np.testing.assert_array_equal(again.bits[name], bits)


def test_bits_take_an_eighth_of_a_byte_a_position():
    used = PositionsUsed(arena_of_three(0).matrices)
    assert {name: bits.shape for name, bits in used.bits.items()} == {"a": (20, 4), "b": (16, 2), "c": (7, 9)}


def test_bits_of_another_model_are_refused():
    arena = Arena({"w": (Pattern.from_scipy(random_csr(4, 9, 0.5, np.random.default_rng(0)))[0], 1)}, {})
    used = PositionsUsed(arena.matrices)
    for bits in ({}, {"w": np.zeros((4, 3), np.uint8)}, {"w": np.zeros((4, 2), np.int32)}):
        with pytest.raises(TruesparseError, match="does not tell which positions of w were used"):
            used.load(bits)
