import numpy as np
import pytest

from truesparse.optim import ASGD, NTASGD, SNTASGD
from truesparse.optim.averaging import stalls
from truesparse.sparse import Rewiring


def walk(arena, optimizer, steps):
    """Take steps of which each moves every weight by 1; return the averages after each."""
    arena.grads[:] = -1
    optimizer.lr = 1.0
    averages = []
    for _ in range(steps):
        optimizer.step()
        averages.append(arena.states["average"].copy())
    return averages


def begun(make, arena):
    """An optimizer that averages from its next step on."""
    optimizer = make(arena, 1.0)
    for loss in (1.0, *[2.0] * 6) if make is not ASGD else ():
        optimizer.evaluated(loss)
    return optimizer


@pytest.mark.parametrize("make", [ASGD, NTASGD, SNTASGD])
def test_the_average_is_that_of_all_iterates_but_the_first(arena, make):
    arena.values[:] = 0
    averages = walk(arena, begun(make, arena), 5)
    assert [average[0] for average in averages] == [1, 2, 2.5, 3, 3.5]
    assert [average[-1] for average in averages] == [1, 2, 2.5, 3, 3.5]
    assert (arena.values == 5).all()


@pytest.mark.parametrize("make", [NTASGD, SNTASGD])
def test_a_grown_weight(arena, make):
    optimizer = begun(make, arena)
    arena.values[:] = 0
    walk(arena, optimizer, 4)
    matrix = arena.matrices["w"]
    source = np.array([0, 1, -1, 3, 4, 5], np.int32)
    arena.apply(Rewiring({"w": (matrix.pattern, source)}))
    grown, kept = np.array(walk(arena, optimizer, 4))[:, [2, 3]].T
    assert kept.tolist() == pytest.approx([3.5, 4, 4.5, 5])
    if make is SNTASGD:
        assert grown.tolist() == [1, 2, 2.5, 3], "its own iterates 1, 2, 3, 4"
        assert arena.states["averaged_steps"][:6].tolist() == [8, 8, 4, 8, 8, 8]
    else:
        assert grown.tolist() == pytest.approx([1 / 4, 3 / 5, 6 / 6, 10 / 7]), "zeros for the time before"


@pytest.mark.parametrize("make", [ASGD, NTASGD, SNTASGD])
def test_averages_take_the_place_of_the_weights_and_give_it_back(arena, make):
    optimizer = begun(make, arena)
    with optimizer.averaged():
        pass  # there is no average yet
    walk(arena, optimizer, 3)
    raw, average = arena.values, arena.states["average"]
    version, copy = arena.version, raw.copy()
    with optimizer.averaged():
        assert arena.values is average
        assert np.shares_memory(arena.matrices["w"].data, average)
        assert arena.version > version
    with pytest.raises(KeyError), optimizer.averaged():
        raise KeyError
    assert arena.values is raw
    assert arena.states["average"] is average
    assert np.array_equal(raw, copy)


def test_before_it_averages_nt_asgd_is_plain_descent(arena):
    optimizer = NTASGD(arena, lr=0.1, weight_decay=0.01)
    expected = arena.values - np.float32(0.1) * (arena.grads + np.float32(0.01) * arena.values)
    optimizer.step()
    np.testing.assert_allclose(arena.values, expected, rtol=1e-6, atol=1e-7)
    assert not arena.states
    assert not optimizer.averaging
    values = arena.values
    with optimizer.averaged():
        assert arena.values is values


def test_when_averaging_begins(arena):
    optimizer = NTASGD(arena, lr=0.1)
    begins = []
    for loss in [5, 4, 3, 3.5, 3.5, 3.5, 3.5, 3.5, 3.5, 3.5]:
        optimizer.evaluated(loss)
        begins.append(optimizer.averaging)
    assert begins == [False] * 8 + [True] * 2, "at epoch 7 it is compared with 5, at epoch 9 with 3"
    assert optimizer.losses == [5, 4, 3, 3.5, 3.5, 3.5, 3.5, 3.5, 3.5]
    again = NTASGD(arena, lr=0.1)
    again.restore(optimizer.counters())
    assert again.averaging
    assert again.counters() == optimizer.counters()


def test_it_takes_more_than_n_losses_to_stall():
    assert not stalls([1, 1, 1, 1, 1], 2, 5)
    assert stalls([1, 1, 1, 1, 1, 1], 2, 5)
    assert not stalls([1, 1, 1, 1, 1, 1], 1, 5)
    assert stalls([1, 3], 2, 1)
