"""Training with one call."""

from __future__ import annotations

import numpy as np
import pytest

import truesparse as ts
from truesparse.topology import METHODS

TOKENS = 9
IDS = np.random.default_rng(1).integers(3, size=700).cumsum() % TOKENS
TRAIN, VALID = ts.Windows(IDS[:500], 4, 8), ts.Windows(IDS[500:], 3, 11)


def make(density: float = 0.4, **settings) -> ts.Model:
    layers = ts.Embedding(TOKENS, 6), ts.LSTM(7, **settings), ts.Dropout(0.1), ts.Softmax(TOKENS)
    return ts.Chain(*layers).init(density, seed=2)


def weights(model: ts.Model) -> list[bytes]:
    arrays = [model.arena.values]
    for matrix in model.matrices.values():
        arrays += [matrix.indptr, matrix.indices]
    return [array.tobytes() for array in arrays]


@pytest.mark.parametrize("name", METHODS)
def test_every_method(name: str) -> None:
    method = METHODS[name]
    interval = {"update_interval": 3} if "update_interval" in method.defaults else {}
    begins_full = method.initial != "sparse"
    last = {"gmp": 0.3, "snip": 0.3, "granet": 0.3, "iss": 0.6}.get(name)
    ends = {} if last is None else {"density": last}
    model = make(1.0 if begins_full else 0.4)
    before = weights(model)
    fitted = ts.fit(model, TRAIN, ts.adam(lr=0.02), ts.method(name, **interval), epochs=4, **ends)
    assert fitted.losses[-1] < fitted.losses[0] - 0.05
    assert weights(model) != before
    wanted = last or (1.0 if begins_full else 0.4)
    a_unit = 0.15 if name == "iss" else 0.02  # or rounding
    assert model.density == pytest.approx(wanted, abs=a_unit)
    assert not model.arena.states
    positions = {name: matrix.indices.tobytes() for name, matrix in make(0.4).matrices.items()}
    moved = any(matrix.indices.tobytes() != positions[name] for name, matrix in model.matrices.items())
    assert moved == (name != "static")


def test_the_same_seed_gives_the_same_bits() -> None:
    first, again, other = make(), make(), make()
    method = ts.method("set", update_interval=2)
    losses = [ts.fit(m, TRAIN, ts.sgd(lr=1), method, epochs=2, seed=5).losses for m in (first, again)]
    assert losses[0] == losses[1]
    assert weights(first) == weights(again)
    ts.fit(other, TRAIN, ts.sgd(lr=1), method, epochs=2, seed=6)
    assert weights(first) != weights(other)


def test_snapshots_of_the_topology() -> None:
    model = make()
    start = {name: matrix.indices.copy() for name, matrix in model.matrices.items()}
    method = ts.method("set", update_interval=5)
    fitted = ts.fit(model, TRAIN, ts.sgd(lr=1), method, epochs=2, keep_topologies=3)
    updates = (2 * len(TRAIN) - 1) // 5
    assert [snapshot.step for snapshot in fitted.topologies] == [0, 5 * round(updates / 2), 5 * updates]
    first, _, last = fitted.topologies
    for name, matrix in model.matrices.items():
        assert np.array_equal(first.patterns()[name].indices, start[name])
        assert np.array_equal(last.patterns()[name].indices, matrix.indices)
    assert not np.array_equal(first.inputs("lstm.0.weight_hh"), last.inputs("lstm.0.weight_hh"))
    assert ts.fit(make(), TRAIN, ts.sgd(lr=1), method, epochs=1).topologies == []


def test_a_loop_by_hand_does_the_same() -> None:
    chain = ts.Chain(ts.Embedding(TOKENS, 6), ts.LSTM(7), ts.Softmax(TOKENS))
    model, by_hand = chain.init(0.4), chain.init(0.4)
    settings = ts.sgd(lr=1, clip=0.5, lr_decay=2, lr_decay_start=1)
    fitted = ts.fit(model, TRAIN, settings, "static", epochs=2)
    training = ts.Training(by_hand, settings.build(by_hand.arena), clip=0.5)
    for epoch in range(2):
        losses = [training.step(TRAIN.batch(epoch, k)).loss for k in range(len(TRAIN))]
        training.optimizer.lr /= 2
    counts = [TRAIN.batch(0, k).counted for k in range(len(TRAIN))]
    assert fitted.losses[1] == pytest.approx(np.average(losses, weights=counts), rel=1e-12)
    assert weights(model) == weights(by_hand)


@pytest.mark.parametrize(
    "optimizer", [ts.adam(lr=0.05, lr_decay=1), ts.asgd(lr=3), ts.nt_asgd(lr=3, nonmonotone=1)]
)
def test_the_best_model_is_kept(optimizer: ts.adam) -> None:
    model, seen = make(), []
    method = ts.method("st-rnn", update_interval=5)
    other = ts.Windows(
        np.random.default_rng(3).permutation(IDS), 3, 11
    )  # what is learned does not help there
    fitted = ts.fit(model, TRAIN, optimizer, method, epochs=9, valid=other, progress=seen.append)
    assert fitted.epochs == seen
    assert [epoch.number for epoch in seen] == list(range(1, 10))
    assert fitted.best.valid_loss == min(fitted.valid_losses)
    assert ts.evaluate(model, other).loss == pytest.approx(fitted.best.valid_loss, rel=1e-6)
    assert len(fitted.losses) == 9
    assert fitted.best.number < 9  # else the last model would do as well
    _, loss, valid_loss, best = seen[-1]
    assert str(seen[-1]) == f"epoch 9: loss {loss:.4f}, validation loss {valid_loss:.4f}{' *' * best}"


def test_averages_are_what_remains() -> None:
    chain = ts.Chain(ts.Embedding(TOKENS, 6), ts.LSTM(7), ts.Softmax(TOKENS))
    model, by_hand = chain.init(0.4), chain.init(0.4)
    ts.fit(model, TRAIN, ts.asgd(lr=3, clip=0), "static", epochs=1)
    training = ts.Training(by_hand, ts.asgd(lr=3).build(by_hand.arena))
    for k in range(len(TRAIN)):
        training.step(TRAIN.batch(0, k))
    assert weights(model) != weights(by_hand)
    with training.optimizer.averaged():
        assert weights(model) == weights(by_hand)


def test_a_pruned_model_is_better_than_one_that_is_not() -> None:
    model = make(1.0)
    method = ts.method("gmp", update_interval=4, update_end=1.0)
    fitted = ts.fit(model, TRAIN, ts.adam(lr=0.05), method, epochs=4, density=0.1, valid=VALID)
    assert model.density == pytest.approx(0.1, abs=0.02)
    assert fitted.best.valid_loss > min(fitted.valid_losses)


def test_sequences_and_their_weights() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=120)
    rows = [rng.normal(2 * label - 1, 1, (rng.integers(2, 6), 3)) for label in labels]
    sequences = ts.Sequences.of(rows)
    model = ts.Chain(ts.LSTM(8), ts.Pool("max"), ts.Softmax(2), features=3).init(0.6)
    train = ts.SequenceBatches(sequences, labels, 16, weights=np.where(labels, 3.0, 1.0))
    ts.fit(model, train, ts.adam(lr=0.02), epochs=6)
    log_probabilities = ts.predict(model, sequences)
    assert (log_probabilities.argmax(axis=1) == labels).mean() > 0.9
    of_each = -log_probabilities[np.arange(120), labels]
    assert ts.evaluate(model, train).loss == pytest.approx(
        np.average(of_each, weights=1 + 2 * labels), rel=1e-5
    )


NUMBERS = ts.Chain(ts.LSTM(5), ts.Pool(), ts.SquaredError(2), features=3)


def sequences_of(features: int, targets: object) -> ts.SequenceBatches:
    return ts.SequenceBatches(ts.Sequences.of([np.zeros((4, features))] * 5), targets, 5)


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        (make(), {"method": "st-nn"}, "there is no method 'st-nn'; did you mean st-rnn"),
        (
            make(),
            {"method": "gmp", "density": 0.1},
            "begins with all positions, but the model has a density of",
        ),
        (make(), {"method": "dense"}, r"make it with init\(density=1\)"),
        (
            make(1.0),
            {"method": "gmp"},
            "the method gmp needs the density of the model in the end; give density",
        ),
        (make(1.0), {"method": "snip", "density": 2.0}, "density is 2.0; it must be above 0 and at most 1"),
        (make(), {"method": "granet", "density": 0.5}, "density is 0.5, but the model has only 0.3992"),
        (
            make(),
            {"method": ts.method("granet", initial_density=0.6)},
            "is what init has given",
        ),
        (make(), {"density": 0.2}, "the method st-rnn leaves the model its density"),
        (make(1.0), {}, "moves weights to free positions, but the model has none"),
        (
            make(),
            {"method": "dsr", "gates": "separate"},
            "^gates separate does not go with method dsr, which",
        ),
        (make(), {"gates": "apart"}, "gates is 'apart'; it must be fused or separate"),
        (make(), {"importance": "l3"}, "importance is 'l3'; it must be l1, l2 or max"),
        (make(pattern="unit"), {"method": "deepr"}, "a model whose rows share connections does not go with"),
        (make(), {"epochs": 0}, "epochs is 0; it must be at least 1"),
        (
            make(1.0),
            {"method": ts.method("gmp", update_interval=99), "density": 0.2, "epochs": 1},
            "^method gmp needs an update before its run of 16 steps ends, but update_interval is 99",
        ),
        (make(), {"batches": ts.Windows(IDS + 1, 4, 8)}, "a token 9, but the model reads the numbers 0 to 8"),
        (make(), {"valid": ts.Windows(IDS + 2, 4, 8)}, "a token 10, but the model reads the numbers 0 to 8"),
        (make(), {"batches": sequences_of(3, [1] * 5)}, "the inputs are float32 .*: the model reads tokens"),
        (NUMBERS.init(0.5), {"batches": TRAIN}, "must be of shape .* float32: the model reads 3 features"),
        (
            NUMBERS.init(0.5),
            {"batches": sequences_of(3, [1] * 5)},
            "the model predicts numbers for each sequence",
        ),
    ],
)
def test_what_cannot_be(model: ts.Model, arguments: dict, message: str) -> None:
    before = weights(model)
    arguments = {"batches": TRAIN, **arguments}
    with pytest.raises(ts.UsageError, match=message):
        ts.fit(model, optimizer=ts.adam(), **arguments)
    assert weights(model) == before


def test_training_that_goes_astray() -> None:
    model = make()
    with pytest.raises(ts.TruesparseError, match=r"try a lower lr \(it is 1e\+30\) or a clip above 0"):
        ts.fit(model, TRAIN, ts.sgd(lr=1e30, clip=0), epochs=2)
    assert not model.arena.states


def test_fit_leaves_a_training_that_is_under_way_alone() -> None:
    model, alone = make(), make()
    under_way, other = (ts.Training(m, ts.adam(lr=0.02).build(m.arena)) for m in (model, alone))
    assert under_way.epoch(TRAIN, 0) == other.epoch(TRAIN, 0)
    with pytest.raises(
        ts.UsageError, match=r"go of them with model\.arena\.states\.clear\(\) first, or go on"
    ):
        ts.fit(model, TRAIN, ts.sgd(lr=1))
    assert under_way.epoch(TRAIN, 1) == other.epoch(TRAIN, 1)
    assert weights(model) == weights(alone)
    model.arena.states.clear()
    ts.fit(model, TRAIN, ts.sgd(lr=1), epochs=1)
    assert weights(model) != weights(alone)


def test_targets_for_each_sequence() -> None:
    with pytest.raises(ts.UsageError, match=r"5 sequences, but targets of shape \(4,\)"):
        sequences_of(3, [1] * 4)
