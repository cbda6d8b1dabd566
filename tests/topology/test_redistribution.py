"""Weights that move between matrices by the momentum of those that exist."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from topology_helpers import an_update, arena_of_three, dense_scores, fill, snapshot

import truesparse as ts
from truesparse.errors import UsageError
from truesparse.sparse import Arena
from truesparse.topology import get_method, parts_of, sample_pattern
from truesparse.topology.initial import largest_remainders
from truesparse.topology.redistribute import OWED

MOVING = ["st-rnn", "selfish", "set", "cht", "rigl"]


def moving(name="st-rnn"):
    return ts.method(name, redistribute="momentum")


@settings(deadline=None, max_examples=60)
@given(
    groups=st.tuples(st.sampled_from([1, 2, 3, 5]), st.sampled_from([1, 4]), st.sampled_from([1, 7])),
    fills=st.tuples(*[st.sampled_from([0.02, 0.3, 0.85, 1.0])] * 3),
    fraction=st.floats(0, 0.9),
    name=st.sampled_from(MOVING),
    seed=st.integers(0, 2**32),
)
def test_no_weight_is_lost_or_won(groups, fills, fraction, name, seed):
    rng = np.random.default_rng(seed)
    shapes = {"a": (20, 30), "b": (16, 12), "c": (7, 70)}
    patterns = {}
    for (matrix, (rows, columns)), group, full in zip(shapes.items(), groups, fills, strict=True):
        pattern = sample_pattern((rows, columns), max(round(full * rows * columns), 1), rng)
        patterns[matrix] = pattern, 4 if group == 4 else 1, group
    arena = Arena(patterns, {"bias": 3})
    fill(arena, rng, ties=False)
    nnz, memory = arena.nnz, {}
    for number in range(3):
        update = an_update(
            fraction, number, scores=dense_scores(arena)[1], memory=memory, momentum="momentum"
        )
        moving(name).update(arena, update)
        owed = memory.get(OWED, 0)
        assert arena.nnz + owed == nnz
        assert 0 <= owed < max(groups)
        for matrix in arena.matrices.values():
            matrix.check()


@pytest.mark.parametrize("name", MOVING)
def test_what_was_dropped_goes_where_the_mean_momentum_is_large(name):
    arena = arena_of_three(5)
    for matrix, size in {"a": 3.0, "b": 1.0, "c": 0.5}.items():
        arena.matrices[matrix].state("momentum")[...] *= size
    means = [np.abs(m.state("momentum").astype(np.float64)).mean() for m in arena.matrices.values()]
    before = snapshot(arena)
    update = an_update(0.3, scores=dense_scores(arena)[1], momentum="momentum")
    changed = moving(name).update(arena, update)
    total = sum(change.dropped for change in changed.values())
    wanted = largest_remainders(total * np.array(means) / sum(means), total)
    assert [changed[matrix].grown for matrix in arena.matrices] == wanted.tolist()
    assert changed["a"].grown > changed["a"].dropped
    for matrix, entries in snapshot(arena).items():
        stayed = [place for place, bits in entries.items() if before[matrix].get(place) == bits]
        assert len(stayed) >= arena.matrices[matrix].nnz - changed[matrix].grown


def test_only_the_size_of_the_momentum_counts():
    counts = []
    for sign in (1, -1):
        arena = arena_of_three(5)
        for matrix in arena.matrices.values():
            matrix.state("momentum")[...] = sign * np.abs(matrix.state("momentum"))
        changed = moving().update(arena, an_update(0.3, momentum="momentum"))
        counts.append({name: change.grown for name, change in changed.items()})
    assert counts[0] == counts[1]


def test_a_nearly_full_matrix_that_grows_drops_no_more_than_its_room():
    rng = np.random.default_rng(1)
    patterns = {
        "full": (sample_pattern((20, 10), 190, rng), 1),
        "empty": (sample_pattern((30, 40), 200, rng), 1),
    }
    arena = Arena(patterns, {})
    fill(arena, rng, ties=False)
    arena.matrices["full"].state("momentum")[...] *= 10
    changed = moving().update(arena, an_update(0.4, momentum="momentum"))
    assert changed["full"].dropped == int(190 * 0.05)
    assert changed["empty"].dropped == 80
    assert arena.matrices["full"].nnz == 200


def test_before_the_first_step_each_matrix_grows_what_it_dropped():
    arena = arena_of_three(5)
    arena.states["momentum"][...] = 0
    changed = moving().update(arena, an_update(0.3, momentum="momentum"))
    assert all(change.dropped == change.grown > 0 for change in changed.values())


def test_a_block_of_a_matrix_has_its_own_state():
    matrix = arena_of_three(5).matrices["b"]
    blocks = [part.state("momentum") for part in parts_of(matrix, "separate")]
    np.testing.assert_array_equal(np.concatenate(blocks), matrix.state("momentum"))
    assert [block.size for block in blocks] == matrix.block_nnz().tolist()


CHAIN = ts.Chain(ts.Embedding(30, 8), ts.LSTM(12), ts.Softmax(30))
BATCHES = ts.Windows(np.random.default_rng(1).integers(3, size=600).cumsum() % 30, 4, 8)


@pytest.mark.parametrize("optimizer", [ts.sgd(lr=0.5), ts.adam(lr=0.01)], ids=["sgd", "adam"])
@pytest.mark.parametrize("name", MOVING)
def test_training_in_memory(name, optimizer):
    model, same = CHAIN.init(0.3), CHAIN.init(0.3)
    nnz, sizes = model.arena.nnz, {matrix: m.nnz for matrix, m in model.matrices.items()}
    ts.fit(model, BATCHES, optimizer, ts.method(name, update_interval=4, redistribute="momentum"), epochs=2)
    ts.fit(same, BATCHES, optimizer, ts.method(name, update_interval=4), epochs=2)
    assert model.arena.nnz == nnz
    assert {matrix: m.nnz for matrix, m in model.matrices.items()} != sizes
    assert {matrix: m.nnz for matrix, m in same.matrices.items()} == sizes


@pytest.mark.parametrize("optimizer", [ts.sgd(momentum=0), ts.adam(beta1=0), ts.asgd(), ts.snt_asgd()])
def test_an_optimizer_without_momentum_is_refused(optimizer):
    message = "^redistribute momentum goes by the momentum of the weights, and the optimizer keeps none; use"
    with pytest.raises(UsageError, match=message):
        ts.fit(CHAIN.init(0.3), BATCHES, optimizer, moving(), epochs=1)


def test_what_does_not_go_with_it_is_refused():
    with pytest.raises(UsageError, match="gates separate does not go with redistribute momentum"):
        ts.fit(CHAIN.init(0.3), BATCHES, ts.sgd(), moving("rigl"), epochs=1, gates="separate")
    with pytest.raises(UsageError, match="the method static has no setting 'redistribute'"):
        moving("static")
    with pytest.raises(UsageError, match=r"^redistribute is 'gradient'; it must be method or momentum$"):
        ts.method("set", redistribute="gradient")
    with pytest.raises(UsageError, match=r"give it momentum, one of \['momentum', 'sign'\]"):
        moving().update(arena_of_three(1), an_update(0.3))
    assert get_method("st-rnn").update(arena_of_three(1), an_update(0.3))


def test_a_method_of_ones_own_by_the_rule_alone_needs_the_momentum_too():
    mine = ts.Method("mine", "moves", drop="smallest_magnitude", redistribute="by_momentum")
    assert mine.by_momentum
    with pytest.raises(UsageError, match="the optimizer keeps none"):
        ts.fit(CHAIN.init(0.3), BATCHES, ts.asgd(), mine, epochs=1)
