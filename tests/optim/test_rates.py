"""Learning rates that go by the density of a matrix."""

from __future__ import annotations

import numpy as np
import pytest

from truesparse.optim.table import OPTIMIZERS
from truesparse.sparse import Arena
from truesparse.topology import sample_pattern

SIZES = {"thin": ((40, 30), 120), "full": ((10, 10), 100), "lookup": ((50, 10), 50)}


def an_arena(seed: int = 0) -> Arena:
    rng = np.random.default_rng(seed)
    patterns = {name: (sample_pattern(shape, nnz, rng), 1) for name, (shape, nnz) in SIZES.items()}
    arena = Arena(patterns, {"bias": 7})
    for where in arena.layout.values():
        arena.values[where] = rng.normal(size=where.stop - where.start)
        arena.grads[where] = rng.normal(size=where.stop - where.start)
    return arena


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_matrix_moves_as_with_a_rate_of_its_own(name: str) -> None:
    arena = an_arena()
    assert arena.matrices["thin"].density == 0.1
    settings = {"lr": 0.01, "weight_decay": 0.1}
    optimizer = OPTIMIZERS[name](lr_density_exponent=0.5, **settings).build(arena, ["lookup"])
    factors = {"thin": 0.1**-0.5, "full": 1.0, "lookup": 1.0, "bias": 1.0}
    for _ in range(3):
        optimizer.step(0.5)
    for where, factor in factors.items():
        alone = an_arena()
        steps = OPTIMIZERS[name](**{**settings, "lr": 0.01 * factor}).build(alone)
        for _ in range(3):
            steps.step(0.5)
        part = arena.layout[where]
        np.testing.assert_allclose(arena.values[part], alone.values[part], rtol=1e-6)
    padding = np.ones(arena.size, bool)
    for part in arena.layout.values():
        padding[part] = False
    assert not arena.values[padding].any()


def test_the_rate_goes_by_the_density_that_a_matrix_has_now() -> None:
    arena = an_arena()
    optimizer = OPTIMIZERS["sgd"](lr=1.0, momentum=0.0, lr_density_exponent=1.0).build(arena)
    rates = {part.start: rate for part, rate in optimizer._stretches()}
    assert rates[arena.layout["thin"].start] == pytest.approx(10)
    assert rates[arena.layout["lookup"].start] == pytest.approx(10)
    assert rates[arena.layout["bias"].start] == 1.0
