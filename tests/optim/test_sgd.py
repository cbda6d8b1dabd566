import numpy as np
import pytest

from truesparse.optim import SGD, GradientNorm


def test_norm_runs_over_stored_entries_and_clips(arena):
    gradients = np.concatenate([arena.matrices["w"].grad, arena.bias_grads["b"]]).astype(np.float64)
    exact = np.linalg.norm(gradients)
    norm, scale = GradientNorm(exact / 4)(arena)
    assert norm == pytest.approx(exact, rel=1e-6)
    assert scale == pytest.approx(0.25, rel=1e-6)
    assert GradientNorm(exact * 2)(arena)[1] == 1
    assert GradientNorm(0.0)(arena)[1] == 1


def test_momentum_over_several_steps(arena):
    w, u, g = arena.values.astype(np.float64), 0.0, arena.grads.astype(np.float64)
    version = arena.version
    optimizer = SGD(arena, lr=0.1, momentum=0.9, weight_decay=0.01)
    for _ in range(5):
        u = 0.9 * u + 0.5 * g + 0.01 * w
        w = w - 0.1 * u
        optimizer.step(0.5)
    np.testing.assert_allclose(arena.values, w, rtol=1e-5, atol=1e-6)
    assert arena.version == version + 5
    optimizer.lr = 0.0
    before = arena.values.copy()
    optimizer.step()
    np.testing.assert_array_equal(arena.values, before)


def test_plain_descent_keeps_no_state(arena):
    expected = arena.values - np.float32(0.1) * arena.grads
    SGD(arena, lr=0.1).step()
    np.testing.assert_allclose(arena.values, expected, rtol=1e-6, atol=1e-7)
    assert not arena.states


def test_momentum_of_a_checkpoint_is_kept(arena):
    arena.add_state("momentum")[...] = 3
    SGD(arena, lr=0.1, momentum=0.9)
    assert (arena.states["momentum"] == 3).all()
