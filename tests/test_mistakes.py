"""A mistake in Python gets one sentence: what is wrong, by the name of the parameter, and what to do."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import truesparse as ts
from truesparse.errors import flags_named, typed, without_flags

IDS = np.arange(400) % 12
TEXT = ts.Windows(IDS, 4, 10)
CHAIN = ts.Chain(ts.Embedding(12, 8), ts.LSTM(8), ts.Softmax(12))
MODEL = CHAIN.init(0.5)
OF_NUMBERS = ts.Chain(ts.LSTM(4), ts.Pool(), ts.Softmax(3), features=2).init(0.5)
ROWS = ts.Sequences.of([np.zeros((3, 2)), np.ones((2, 2))])


def fit(**given: Any) -> Any:
    arguments = {"model": MODEL, "batches": TEXT, "optimizer": ts.adam(), "epochs": 1}
    return ts.fit(**{**arguments, **given})


def step(batches: Any, model: ts.Model = MODEL, **changed: Any) -> Any:
    training = ts.Training(model, ts.sgd(lr=1).build(model.arena))
    return training.step(batches.batch(0, 0)._replace(**changed))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: fit(model="st-rnn"), "model is 'st-rnn'; it must be a model, such as Chain.init or load"),
        (lambda: fit(model=CHAIN), "model is of the type Chain; it must be a model"),
        (lambda: fit(model=ts.LSTM), "model is the class LSTM; it must be a model"),
        (lambda: fit(batches=MODEL), "batches is of the type Model; it must be batches, such as Windows"),
        (lambda: fit(batches=ts.Windows), "batches is the class Windows; it must be batches"),
        (lambda: fit(batches=[]), "batches is of the type list; it must be batches"),
        (lambda: fit(valid=IDS), "valid is of the type ndarray; it must be batches"),
        (lambda: fit(optimizer=ts.adam), "optimizer is the class AdamSettings; it must be an optimizer"),
        (lambda: fit(optimizer=None), "optimizer is None; it must be an optimizer"),
        (lambda: fit(method=3), "method is 3; it must be a name"),
        (lambda: fit(method=ts.method), "method is of the type function; it must be a name"),
        (lambda: fit(epochs=1.5), "epochs is 1.5; it must be a whole number"),
        (lambda: fit(seed=-1), "seed is -1; it must be at least 0"),
        (lambda: fit(seed="1"), "seed is '1'; it must be a whole number"),
        (lambda: fit(density="0.2"), "density is '0.2'; it must be a number"),
        (lambda: fit(progress="print"), "progress is 'print'; it must be a function"),
        (lambda: CHAIN.init("0.2"), "density is '0.2'; it must be a number"),
        (lambda: CHAIN.init(True), "density is True; it must be a number"),
        (lambda: CHAIN.init(0.5, seed=1.5), "seed is 1.5; it must be a whole number"),
        (lambda: CHAIN.init(0.5, scale=-1), "scale is -1.0; it must be at least 0"),
        (
            lambda: CHAIN.init(0.5, distribution=["uniform"]),
            r"distribution is \['uniform'\]; it must be text",
        ),
        (lambda: ts.Chain(ts.LSTM, ts.Softmax(3)), "layer 0 is the class LSTM; it must be a layer, such as"),
        (lambda: ts.Chain([ts.LSTM(3), ts.Softmax(3)]), "layer 0 is of the type list; it must be a layer"),
        (lambda: ts.Chain(ts.LSTM(3), "x", features=2), "layer 1 is 'x'; it must be a layer"),
        (lambda: ts.Softmax(1), "a softmax needs 2 or more outputs, not 1"),
        (
            lambda: ts.Chain(ts.Pool(), ts.Softmax(3, sparse=False), features=2).init(0.5),
            "the model has no sparse matrix",
        ),
        (lambda: ts.load(None), "path is None; it must be a text or a Path"),
        (lambda: ts.load("x" * 5000), "there is no file or folder x* that can be read .*too long"),
        (lambda: MODEL.save("a\0b"), "without null characters"),
        (lambda: MODEL.save("m", labels=5), "labels is 5; it must be a list of texts"),
        (lambda: ts.evaluate(None, TEXT), "model is None; it must be a model"),
        (lambda: ts.evaluate(MODEL, IDS), "batches is of the type ndarray; it must be batches"),
        (
            lambda: ts.predict(OF_NUMBERS, [IDS]),
            r"sequences is of the type list; it must be what Sequences.of",
        ),
        (lambda: ts.predict(OF_NUMBERS, ROWS, 0), "batch_size is 0; it must be a whole number, at least 1"),
        (lambda: ts.Training(None, None), "model is None; it must be a model"),
        (lambda: ts.adam().build(MODEL), "arena is of the type Model; it must be that of a model"),
        (lambda: ts.method(None), "method is None; it must be the name of a method: st-rnn, "),
        (lambda: ts.register_method("x"), "method is 'x'; it must be a Method"),
        (lambda: ts.register_layer(ts.LSTM(3)), "is no layer to register; give a subclass of LayerSpec"),
        (lambda: ts.Vocabulary(5), "tokens is 5; it must be a tuple of texts"),
        (lambda: ts.TextEncoder(ts.Vocabulary(("a",)), 0), "length is 0; it must be a whole number"),
        (lambda: ts.TokenEncoder(["a"]), "vocabulary is of the type list; it must be a Vocabulary"),
    ],
)
def test_an_argument_of_another_kind(call: Callable[[], Any], sentence: str) -> None:
    before = MODEL.arena.values.copy()
    with pytest.raises(ts.UsageError, match=f"{sentence}"):
        call()
    np.testing.assert_array_equal(MODEL.arena.values, before)


def with_clip(clip: Any, *others: Any) -> ts.Training:
    return ts.Training(MODEL, ts.sgd().build(MODEL.arena), *(others or (None,)), clip=clip)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: with_clip("1"), "clip is '1'; it must be a number"),
        (lambda: with_clip(float("nan")), "clip is nan; it must be at least 0"),
        (lambda: with_clip(0, "rigl"), "evolution is 'rigl'; it must be an Evolution or None"),
    ],
)
def test_a_loop_of_ones_own(call: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(ts.UsageError, match=sentence):
        call()


def batches(targets: Any = (0, 1), batch_size: Any = 2, **more: Any) -> ts.SequenceBatches:
    return ts.SequenceBatches(ROWS, targets, batch_size, **more)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: ts.Sequences.of([]), "there are no sequences; give at least one"),
        (lambda: ts.Sequences.of(None), "sequences is None; it must be a list of arrays"),
        (lambda: ts.Sequences.of([[1, 2], [0.5]]), r"float64 of 1 dimensions; give whole numbers of tokens"),
        (
            lambda: ts.Sequences.of([np.ones((2, 2)), np.ones((0, 2))]),
            "sequence 1 has no steps; leave it out",
        ),
        (lambda: ts.Sequences.of([np.ones((2, 2)), np.ones((2, 3))]), "the sequences do not go together"),
        (
            lambda: ts.Sequences.of([np.ones((2, 2)), [[0, 0], [np.nan, 0]]]),
            "sequence 1 has NaN .* at step 1",
        ),
        (lambda: ts.Sequences.of([np.full((2, 2), 1e300)]), "sequence 0 has NaN or infinity at step 0"),
        (lambda: ts.Sequences.of([[0, 1, -2]]), "sequence 0 has the token -2 at step 2"),
        (lambda: ts.Sequences.of([[0, 2**33]]), "sequence 0 has the token 8589934592 at step 1"),
        (lambda: ts.Sequences.of([["a"]]), "the sequences are <U1 of 1 dimensions"),
        (lambda: ts.Sequences(np.ones((4, 2)), [0, 2]), "the starts of sequences must go from 0 to their 4"),
        (lambda: ts.Sequences(np.ones((4, 2)), [0, 3, 2, 4]), "sequence 1 has no steps"),
        (lambda: ts.SequenceBatches([IDS], [1], 2), "sequences is of the type list; it must be what"),
        (lambda: ts.SequenceBatches(ts.Sequences.of([[0, -1]]), [1], 2), "a token below 0"),
        (lambda: batches((0, -1)), "the targets must be classes from 0 on, or finite numbers"),
        (lambda: batches((0.0, np.nan)), "the targets must be classes from 0 on, or finite numbers"),
        (lambda: batches(("a", "b")), "the targets are <U1; give whole numbers of classes, or numbers"),
        (lambda: batches(ts.Sequences.of([[1], [2]])), "targets for each step need as many steps"),
        (lambda: batches(batch_size=1.5), "batch_size is 1.5; it must be a whole number, at least 1"),
        (lambda: batches(seed=-1), "seed is -1; it must be a whole number, at least 0"),
        (lambda: batches(weights=[1, 0]), "weights must be 2 finite numbers above 0, one a sequence"),
        (lambda: batches(weights="ab"), "weights must be 2 finite numbers above 0, one a sequence"),
        (lambda: ts.Windows(IDS - 1, 4, 10), "the text has the token -1; it must be a row of whole numbers"),
        (lambda: ts.Windows(IDS, 0, 10), "^batch_size is 0; it must be a whole number, at least 1"),
        (lambda: ts.Windows(IDS, 4, "10"), "^bptt is '10'; it must be a whole number"),
        (lambda: step(TEXT, targets=np.full((10, 4), -1)), "nothing to learn from .*: every target is -1"),
        (lambda: step(TEXT, targets=None), "targets is None; it must be an array"),
        (lambda: step(TEXT, lengths=[1, 2, 3, 4]), "lengths is of the type list; it must be an array"),
        (
            lambda: step(batches(), OF_NUMBERS, inputs=np.full((3, 2, 2), np.nan)),
            "the inputs of the batch have numbers that are not finite",
        ),
        (lambda: step(batches(), OF_NUMBERS, weights=np.zeros(2)), "the weights of a batch must be finite"),
        (lambda: step(batches(), OF_NUMBERS, weights=np.array([2.0, -1])), "the weights of a batch must be"),
    ],
)
def test_data_that_cannot_be(call: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(ts.TruesparseError, match=sentence):
        call()


def test_what_can_be_is_taken() -> None:
    """Whole numbers and fractions of NumPy's, nested lists, and targets of steps that do not count."""
    assert ts.LSTM(np.int64(3)) == ts.LSTM(3)
    assert ts.adam(lr=np.float64(0.1)) == ts.adam(lr=0.1)
    assert ts.Sequences.of([[1, 2], [3]]).values.dtype == np.int32
    assert ts.Vocabulary(["a", "b"]) == ts.Vocabulary(("a", "b"))
    model, same = CHAIN.init(np.float64(0.5), np.int64(3)), CHAIN.init(0.5, 3)
    np.testing.assert_array_equal(model.arena.values, same.arena.values)
    losses = [
        fit(model=m, epochs=n, seed=s).losses for m, n, s in ((model, np.int64(2), np.int64(7)), (same, 2, 7))
    ]
    assert losses[0] == losses[1]
    tokens, labels = ts.Sequences.of([[1, 2], [3, 4]]), ts.Sequences.of([[0, -1], [1, 1]])
    assert np.isfinite(fit(batches=ts.SequenceBatches(tokens, labels, 2), model=CHAIN.init(0.5)).losses[0])


def test_two_calls_do_not_train_the_same_numbers() -> None:
    model, refused = CHAIN.init(0.5), []

    def again(_: Any) -> None:
        with pytest.raises(ts.UsageError, match="the model is trained by another call of fit"):
            fit(model=model)
        refused.append(True)

    def in_a_thread(epoch: Any) -> None:
        thread = threading.Thread(target=again, args=(epoch,))
        thread.start()
        thread.join()

    fitted = fit(model=model, epochs=2, progress=in_a_thread)
    assert len(refused) == 2
    assert fitted.losses == fit(model=CHAIN.init(0.5), epochs=2).losses


def test_a_model_can_be_trained_after_an_interruption() -> None:
    def stop(_: Any) -> None:
        raise KeyboardInterrupt

    model = CHAIN.init(0.5)
    with pytest.raises(KeyboardInterrupt):
        fit(model=model, epochs=3, progress=stop)
    assert not model.arena.states
    assert np.isfinite(fit(model=model).losses[0])


def test_errors_name_flags_only_where_a_command_asks() -> None:
    error = ts.UsageError(
        "give --data-file, or a lower --lr (--x); go on with: truesparse train lm --resume a"
    )
    names = "give data_file, or a lower lr (x); go on with: truesparse train lm --resume a"
    assert str(error) == names
    with flags_named():
        assert "--data-file, or a lower --lr (--x)" in str(error)
    assert str(error) == names
    assert without_flags("/a/b--c is 'x --y'") == "/a/b--c is 'x y'"
    training = ts.Training(model := CHAIN.init(0.5), ts.sgd(lr=1).build(model.arena))
    with pytest.raises(ts.TruesparseError, match=r"try a lower lr \(it is 1\) or a clip above 0"):
        training.check_finite(np.inf, "loss", 1)
    with pytest.raises(ts.UsageError, match=r"leave out tied$"):
        ts.Chain(ts.LSTM(5), ts.Softmax(9, tied=True), features=3)


@pytest.mark.parametrize(
    ("path", "written"),
    [("a/b", "a/b"), ("a b", "'a b'"), ("$(x)", "'$(x)'"), ("-rf", "./-rf"), ("it's", None)],
)
def test_a_path_in_a_command_is_quoted(path: str, written: str | None) -> None:
    assert typed(path) == (written or "'it'\"'\"'s'")
