"""Small arenas with random topologies, for tests of topology updates."""

from __future__ import annotations

import numpy as np

from truesparse.sparse import Arena
from truesparse.topology import Update, sample_pattern


def arena_of(shape, count, seed, ties=False, blocks=1):
    """One matrix "w" with random weights (few different ones with `ties`) and momentum."""
    rng = np.random.default_rng(seed)
    arena = Arena({"w": (sample_pattern(shape, count, rng), blocks)}, {"bias": 3})
    fill(arena, rng, ties)
    return arena


def arena_of_three(seed, ties=False):
    """Three matrices of different sizes and densities, one of them of 4 row blocks."""
    rng = np.random.default_rng(seed)
    shapes = {"a": ((20, 30), 150, 1), "b": ((16, 12), 60, 4), "c": ((7, 70), 40, 1)}
    patterns = {name: (sample_pattern(shape, n, rng), blocks) for name, (shape, n, blocks) in shapes.items()}
    arena = Arena(patterns, {"bias": 3})
    fill(arena, rng, ties)
    return arena


def fill(arena, rng, ties):
    arena.add_state("momentum")
    arena.add_state("sign")
    for where in arena.layout.values():
        size = where.stop - where.start
        arena.values[where] = rng.integers(-2, 3, size) if ties else rng.standard_normal(size)
        arena.states["momentum"][where] = rng.standard_normal(size)
        arena.states["sign"][where] = rng.choice([-1, 1, 1, 1, 1], size) * np.sign(arena.values[where])
    arena.touch()


def an_update(fraction, seed=0, **more):
    return Update(fraction, np.random.default_rng(seed), **more)


def positions(part):
    """Flat position of every entry."""
    rows = np.repeat(np.arange(part.shape[0]), np.diff(part.indptr))
    return rows * part.shape[1] + part.indices.astype(np.int64)


def snapshot(arena):
    """For each matrix the bits of value and momentum by position."""
    return {
        name: dict(
            zip(
                positions(matrix).tolist(),
                zip(
                    matrix.data.view(np.int32).tolist(),
                    matrix.state("momentum").view(np.int32).tolist(),
                    strict=True,
                ),
                strict=True,
            )
        )
        for name, matrix in arena.matrices.items()
    }


def rows_of(array):
    """Scores that are an array, as an update takes them."""

    def write(out, first):
        out[...] = array[first : first + len(out)]

    return write


def dense_scores(arena, seed=0):
    """Scores of all positions, as arrays and as an update takes them."""
    rng = np.random.default_rng(seed)
    arrays = {name: rng.standard_normal(m.shape).astype(np.float32) for name, m in arena.matrices.items()}
    return arrays, {name: rows_of(array) for name, array in arrays.items()}
