import numpy as np
import pytest

from truesparse.data import SequenceBatches, Sequences


def make(n=100, features=None, seed=0):
    rng = np.random.default_rng(seed)
    arrays = [
        np.full(length, number, np.int32)
        if features is None
        else np.full((length, features), number, np.float32)
        for number, length in enumerate(rng.integers(1, 9, n))
    ]
    return Sequences.of(arrays), arrays


@pytest.mark.parametrize("features", [None, 3])
def test_a_batch_is_filled_after_the_end_of_each_sequence(features):
    sequences, arrays = make(features=features)
    chosen = np.array([5, 0, 17])
    inputs, lengths = sequences.batch(chosen, 4)
    assert lengths.tolist() == [len(arrays[k]) for k in chosen] + [0]
    assert lengths.dtype == np.int32
    steps = max(lengths)
    assert inputs.shape == ((steps, 4) if features is None else (steps, 3, 4))
    for place, k in enumerate(chosen):
        np.testing.assert_array_equal(inputs[: lengths[place], ..., place], arrays[k])
        assert (inputs[lengths[place] :, ..., place] == (-1 if features is None else 0)).all()
    assert (inputs[..., 3] == (-1 if features is None else 0)).all()


def test_every_sequence_comes_once_an_epoch_with_its_target():
    sequences, _ = make(101)
    batches = SequenceBatches(sequences, np.arange(101, dtype=np.int32), 8, seed=3)
    orders = []
    for epoch in range(3):
        seen = []
        for k in range(len(batches)):
            batch = batches.batch(epoch, k)
            inputs, lengths, targets, chosen = batch.inputs, batch.lengths, batch.targets, batch.chosen
            assert batch.counted == len(chosen)
            assert batch.tokens == lengths.sum()
            used = lengths > 0
            assert used.sum() == len(chosen)
            assert (inputs[0, used] == targets[used]).all()  # sequence number k consists of k
            assert (targets[~used] == -1).all()
            seen += chosen.tolist()
        assert sorted(seen) == list(range(101))
        orders.append(seen)
    assert orders[0] != orders[1] != orders[2]


def test_targets_of_each_step():
    """They stand where their tokens do, -1 elsewhere; a batch counts by its tokens."""
    sequences, _ = make(101)
    classes = Sequences(sequences.values * 3 + 1, sequences.starts)
    batches = SequenceBatches(sequences, classes, 8, seed=3)
    seen = []
    for k in range(len(batches)):
        batch = batches.batch(0, k)
        assert batch.targets.shape == batch.inputs.shape
        np.testing.assert_array_equal(batch.targets, np.where(batch.inputs < 0, -1, 3 * batch.inputs + 1))
        assert batch.counted == batch.tokens == batch.lengths.sum() == (batch.targets >= 0).sum()
        seen += batch.chosen.tolist()
    assert sorted(seen) == list(range(101))


def test_the_order_depends_on_seed_and_epoch_alone():
    sequences, _ = make(300)
    targets = np.zeros(300, np.int32)
    batches = SequenceBatches(sequences, targets, 8, seed=3)
    late = batches.batch(2, 5).chosen
    again = SequenceBatches(sequences, targets, 8, seed=3)
    again.batch(0, 0)
    np.testing.assert_array_equal(again.batch(2, 5).chosen, late)
    assert not np.array_equal(SequenceBatches(sequences, targets, 8, seed=4).batch(2, 5).chosen, late)


def test_sequences_of_similar_length_share_a_batch():
    sequences, _ = make(2000)
    batches = SequenceBatches(sequences, np.zeros(2000, np.int32), 10)
    lengths = [batches.batch(0, k).lengths for k in range(len(batches))]
    padded = sum(10 * int(batch.max()) for batch in lengths)
    assert padded < 1.1 * len(sequences.values)
    assert (
        lengths[0].max() != lengths[1].max() or lengths[1].max() != lengths[2].max()
    )  # and come in any order


def test_numbers_as_targets():
    sequences, _ = make(5)
    targets = np.arange(10, dtype=np.float32).reshape(2, 5)
    batch = SequenceBatches(sequences, targets, 8).batch(0, 0)
    np.testing.assert_array_equal(batch.targets[:, :5], targets[:, batch.chosen])
    assert np.isnan(batch.targets[:, 5:]).all()


def test_numbers_of_each_step_are_nan_beyond_a_sequence():
    sequences = Sequences.of([np.ones((3, 2), np.float32), np.ones((1, 2), np.float32)])
    targets = Sequences(np.arange(8, dtype=np.float32).reshape(4, 2), sequences.starts)
    batch = SequenceBatches(sequences, targets, 3).batch(0, 0)
    expected = np.full((3, 2, 3), np.nan, np.float32)
    order = [int(np.flatnonzero(batch.lengths == length)[0]) for length in (3, 1)]
    expected[:, :, order[0]] = targets.values[:3]
    expected[0, :, order[1]] = targets.values[3]
    np.testing.assert_array_equal(batch.targets, expected)
    assert batch.counted == 4
