"""A user's script with every public name, for ``mypy --strict``; see `make types`. It is not run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import truesparse as ts
from truesparse import runtime, topology
from truesparse.sklearn import (
    SparseLSTMClassifier,
    SparseLSTMForecaster,
    SparseLSTMRegressor,
    SparseMLPClassifier,
    SparseMLPRegressor,
    SparseTagger,
    SparseTextClassifier,
)


class Own(ts.Reporter):
    """A reporter of your own."""

    def start(self, info: ts.RunInfo) -> None:
        """Say how long it will be."""
        print(info)

    def step(self, progress: ts.Progress) -> None:
        """Say the loss."""
        print(progress.loss)


def language_model(path: Path) -> float:
    """Train and save one."""
    ids = np.arange(2000) % 12
    train, valid = ts.Windows(ids[:1500], 10, 15), ts.Windows(ids[1500:], 10, 15)
    chain = ts.Chain(
        ts.Embedding(12, 16),
        ts.WordDropout(0.1),
        ts.LSTM(32),
        ts.Dropout(0.1),
        ts.GRU(16),
        ts.RHN(16, depth=2),
        ts.ONLSTM(16),
        ts.ActivityPenalty(2.0, 1.0),
        ts.Softmax(12),
    )
    model: ts.Model = chain.init(density=0.2, seed=1)
    rigl: ts.Method = ts.method("rigl", update_interval=10)
    ts.Chain(ts.Embedding(12, 16), ts.LSTM(16), ts.MixtureOfSoftmaxes(12, experts=3)).init(0.2)
    reporter: ts.Reporter = Own()
    fitted = ts.fit(model, train, ts.adam(lr=0.03), method=rigl, epochs=2, valid=valid, reporter=reporter)
    model.save(path, ts.Vocabulary(tuple("abcdefghijkl")))
    again = ts.load(path)
    return fitted.losses[-1] + ts.evaluate(again, valid).loss


def sequences() -> np.ndarray:
    """Train a classifier of features in a loop, and a model of numbers."""
    read = ts.Sequences.of([np.zeros((5, 2), np.float32), np.ones((7, 2), np.float32)])
    batches = ts.SequenceBatches(read, np.array([0, 1]), batch_size=2)
    layers = (ts.Standardize((0.0, 0.0), (1.0, 1.0)), ts.Bidirectional(ts.GRU(8)), ts.Pool("mean"))
    model = ts.Chain(*layers, ts.Linear(4, "relu"), ts.Softmax(2), features=2).init(0.5)
    block = ts.Residual(ts.LayerNorm(), ts.Attention(2))
    ts.Chain(ts.Embedding(9, 8), ts.Positions(5), block, ts.MaskedSoftmax(9)).init(0.5)
    training = ts.Training(model, ts.sgd(lr=0.5).build(model.arena), clip=1.0)
    batch: ts.Batch = batches.batch(0, 0)
    training.step(batch)
    numbers = ts.Chain(ts.LSTM(4), ts.Pool(), ts.SquaredError(1), features=2).init(0.5)
    return ts.predict(numbers, read)


def others(path: Path) -> None:
    """What is left."""
    subwords = ts.Subwords.learn(["a text"], 300)
    words = ts.Vocabulary(("<unk>", "a"))
    encoders = (ts.TextEncoder(words, 9), ts.TokenEncoder(words))
    optimizers = (ts.asgd(lr=1.0), ts.nt_asgd(lr=1.0), ts.snt_asgd(lr=1.0))
    logs: list[ts.Reporter] = [ts.CsvLog(path / "a.csv"), ts.TensorBoardLog(path)]
    mine = ts.Method("mine", "as SET", drop="smallest_of_each_sign")
    ts.register_method(mine)
    register = ts.register_layer
    print(subwords, encoders, optimizers, logs, register, ts.__version__)
    try:
        runtime.load(path)
    except ts.UsageError as error:
        print(error)
    except ts.TruesparseError as error:
        print(error)


def estimators(x: np.ndarray, y: np.ndarray) -> None:
    """Those for scikit-learn."""
    print(SparseLSTMClassifier(epochs=2).fit(x, y).predict(x))
    print(SparseLSTMRegressor(epochs=2).fit(x, y).predict(x))
    print(SparseLSTMForecaster(epochs=2).fit(y).predict(3))
    print(SparseMLPClassifier(max_iter=2).fit(x, y).predict(x))
    print(SparseMLPRegressor(max_iter=2).fit(x, y).predict(x))
    print(SparseTagger(epochs=2).fit([["a", "b"]], [["X", "O"]]).predict([["a"]]))
    print(SparseTextClassifier(epochs=2).fit(["a", "b"], [0, 1]).predict(["a"]))


def deployed(path: Path) -> None:
    """Models of each kind, used with NumPy alone."""
    words: runtime.LanguageModel = runtime.load_language_model(path)
    reading: runtime.LanguageModelStream = words.stream()
    parsed: runtime.Parse = words.parse("a sentence")
    print(reading.step(3), words.suggest("a"), list(words.generate("a", length=3)), parsed.brackets())
    masked: runtime.MaskedLanguageModel = runtime.load_masked_language_model(path)
    classifier: runtime.Classifier = runtime.load_classifier(path)
    text: runtime.ClassifierStream = classifier.stream()
    text.advance(3)
    print(masked.fill("a <mask>"), classifier.predict(["a text"]), text.log_probabilities)
    tagger: runtime.Tagger = runtime.load_tagger(path)
    sentence: runtime.TaggerStream = tagger.stream()
    print(tagger.predict([["a", "token"]]), sentence.step(3))
    numbers: runtime.SequenceModel = runtime.load_sequence_model(path)
    signal: runtime.SequenceStream = numbers.stream()
    forecaster: runtime.Forecaster = runtime.load_forecaster(path)
    print(numbers.predict([np.zeros((5, 2))]), signal.step(np.zeros(2)), forecaster.predict(np.zeros(99)))


class Watched(topology.GradientHooks):
    """A method that prints where it begins."""

    def start(self) -> None:
        """Print the density."""
        print(self.arena.nnz)


def largest(part: topology.Part, update: topology.Update) -> NDArray[np.bool_]:
    """Drop the largest entries."""
    keep = np.ones(part.nnz, dtype=bool)
    keep[np.argsort(-np.abs(part.data))[: int(update.fraction * part.nnz)]] = False
    return keep


def methods(model: ts.Model) -> dict[str, topology.Changed]:
    """Rules and what is around them."""
    rng = np.random.default_rng(1)
    shapes = {"a": (20, 10), "b": (10, 10)}
    for schedule in (topology.constant, topology.cosine, topology.cubic):
        print(schedule)
    print(topology.METHODS, topology.DISTRIBUTIONS, topology.get_method("rigl"))
    print(topology.uniform_counts, topology.erdos_renyi_counts, topology.erdos_renyi_epsilon_counts)
    print(topology.initial_counts, topology.parts_of, topology.sample_pattern((20, 10), 50, rng))
    hooks: list[type[topology.Hooks]] = [Watched, topology.MomentumHooks]
    print(hooks, topology.DenseMomentum(shapes), topology.Beginning)
    own = ts.Method("largest", "drop the largest", largest, schedule=topology.cosine)
    return own.update(model.arena, topology.Update(0.1, rng))
