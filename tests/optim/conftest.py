import numpy as np
import pytest

from truesparse.sparse import Arena, Pattern


@pytest.fixture
def arena():
    """A matrix of 6 entries and a bias of 5, with random values and gradients."""
    indptr = np.arange(0, 8, 2, dtype=np.int64)
    pattern = Pattern(indptr, np.array([0, 2, 1, 3, 0, 3], np.uint16), (3, 4))
    arena = Arena({"w": (pattern, 1)}, {"b": 5})
    rng = np.random.default_rng(0)
    arena.matrices["w"].data[...] = rng.standard_normal(6)
    arena.matrices["w"].grad[...] = rng.standard_normal(6)
    arena.biases["b"][...] = rng.standard_normal(5)
    arena.bias_grads["b"][...] = rng.standard_normal(5)
    return arena
