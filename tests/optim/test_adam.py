import numpy as np
import pytest

from truesparse.optim import Adam


@pytest.mark.parametrize("decoupled", [False, True])
def test_steps_agree_with_the_formula(arena, decoupled):
    w, g = arena.values.astype(np.float64), arena.grads.astype(np.float64)
    m = v = 0.0
    optimizer = Adam(arena, 0.1, 0.8, 0.95, 1e-3, weight_decay=0.05, decoupled_decay=decoupled)
    version = arena.version
    for t in range(1, 6):
        gradient = 0.5 * g if decoupled else 0.5 * g + 0.05 * w
        m = 0.8 * m + 0.2 * gradient
        v = 0.95 * v + 0.05 * gradient**2
        shrunk = w - 0.1 * 0.05 * w if decoupled else w
        w = shrunk - 0.1 * (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.95**t)) + 1e-3)
        optimizer.step(0.5)
        np.testing.assert_allclose(arena.values, w, rtol=1e-5, atol=1e-6)
    assert arena.version == version + 5


@pytest.mark.parametrize("decoupled", [False, True])
def test_steps_agree_with_pytorch(arena, decoupled):
    torch = pytest.importorskip("torch")
    weight = torch.nn.Parameter(torch.tensor(arena.values.copy()))
    weight.grad = torch.tensor(arena.grads.copy())
    make = torch.optim.AdamW if decoupled else torch.optim.Adam
    theirs = make([weight], lr=0.01, weight_decay=0.1)
    mine = Adam(arena, 0.01, weight_decay=0.1, decoupled_decay=decoupled)
    for _ in range(10):
        theirs.step()
        mine.step()
    np.testing.assert_allclose(arena.values, weight.detach().numpy(), rtol=1e-5, atol=1e-6)


def test_counters_make_the_next_step_the_same(arena):
    optimizer = Adam(arena, 0.1)
    optimizer.step()
    before, counters = arena.values.copy(), optimizer.counters()
    states = {name: state.copy() for name, state in arena.states.items()}
    optimizer.step()
    after = arena.values.copy()
    arena.values[:] = before
    for name, state in states.items():
        arena.states[name][:] = state
    again = Adam(arena, 0.1)
    again.restore(counters)
    again.step()
    np.testing.assert_array_equal(arena.values, after)


@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize("beta1", [0.0, 0.8])
def test_a_grown_weight_counts_its_own_steps(arena, decoupled, beta1):
    w, g = arena.values.astype(np.float64), arena.grads.astype(np.float64)
    optimizer = Adam(
        arena, 0.1, beta1, 0.95, 1e-3, weight_decay=0.05, decoupled_decay=decoupled, regrowth_warmup=4
    )
    m, v, t = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w)
    for step in range(8):
        if step == 5:  # as `Arena.apply` leaves a weight that is grown
            m[3] = v[3] = t[3] = w[3] = 0
            for array in (arena.values, *arena.states.values()):
                array[3] = 0
        t += 1
        gradient = 0.5 * g if decoupled else 0.5 * g + 0.05 * w
        m = beta1 * m + (1 - beta1) * gradient
        v = 0.95 * v + 0.05 * gradient**2
        shrunk = w - 0.1 * 0.05 * w if decoupled else w
        rate = 0.1 * np.minimum(1, t / 4)
        w = shrunk - rate * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - 0.95**t)) + 1e-3)
        optimizer.step(0.5)
        np.testing.assert_allclose(arena.values, w, rtol=2e-5, atol=2e-6)
    assert arena.states["age"][3] == 3
    assert arena.states["age"][0] == 8
