"""Weights of samples and classes."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn.base", reason="scikit-learn is not installed")

import sklearn
from sklearn.model_selection import cross_validate
from sklearn.utils import compute_sample_weight

from truesparse.data.weights import macro_f1
from truesparse.sklearn import SparseLSTMClassifier, SparseLSTMRegressor, SparseTextClassifier

SMALL = {"hidden_size": 8, "epochs": 4, "batch_size": 64, "random_state": 0}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(48, 5))
LABELS = np.where(X[:, 0] > 0.5, "rare", "often")
TEXTS = [" ".join(RNG.choice(["a", "fine", "dull", "film"], 3)) for _ in X]
CASES = {
    "classifier": (SparseLSTMClassifier, X, LABELS),
    "regressor": (SparseLSTMRegressor, X, X[:, 0] * 100),
    "texts": (SparseTextClassifier, TEXTS, LABELS),
}


def weights_of(model: Any) -> np.ndarray:
    return model.network_.model.arena.values


def rows(samples: Any, chosen: np.ndarray) -> Any:
    return [samples[k] for k in chosen] if isinstance(samples, list) else samples[chosen]


@pytest.mark.parametrize("name", CASES)
def test_weights_that_are_equal_change_no_bit(name: str) -> None:
    kind, samples, y = CASES[name]
    plain = kind(**SMALL).fit(samples, y)
    for weight in (1, 0.3, 1e-300, 7e300):
        weighted = kind(**SMALL).fit(samples, y, sample_weight=np.full(48, weight))
        np.testing.assert_array_equal(weights_of(weighted), weights_of(plain))
        assert weighted.loss_curve_ == plain.loss_curve_


@pytest.mark.parametrize("name", CASES)
def test_a_weight_of_zero_is_no_sample(name: str) -> None:
    kind, samples, y = CASES[name]
    counts = np.arange(48) % 5 > 0
    weighted = kind(**SMALL).fit(samples, y, sample_weight=counts.astype(float))
    fewer = kind(**SMALL).fit(rows(samples, np.flatnonzero(counts)), y[counts])
    np.testing.assert_array_equal(weights_of(weighted), weights_of(fewer))
    more = (
        weighted.partial_fit(samples, y, sample_weight=counts),
        fewer.partial_fit(rows(samples, np.flatnonzero(counts)), y[counts]),
    )
    np.testing.assert_array_equal(*map(weights_of, more))


@pytest.mark.parametrize("name", ["classifier", "regressor"])
def test_a_weight_of_two_is_a_sample_twice(name: str) -> None:
    """Where all are in one batch, to the accuracy of sums in float32."""
    kind, samples, y = CASES[name]
    weights = 1 + np.arange(24) % 3
    chosen = np.repeat(np.arange(24), weights)
    # of sgd's steps rounding stays rounding; nothing is drawn that depends on the number of samples
    plain = {**SMALL, "optimizer": "sgd", "lr": 0.5, "method": "static"}
    weighted = kind(**plain).fit(rows(samples, np.arange(24)), y[:24], sample_weight=weights)
    repeated = kind(**plain).fit(rows(samples, chosen), y[chosen])
    np.testing.assert_allclose(weights_of(weighted), weights_of(repeated), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(weighted.loss_curve_, repeated.loss_curve_, rtol=1e-5)
    without = kind(**plain).fit(rows(samples, np.arange(24)), y[:24])
    assert np.abs(weights_of(without) - weights_of(repeated)).max() > 1e-3


@pytest.mark.parametrize("name", ["classifier", "texts"])
def test_weights_of_classes(name: str) -> None:
    kind, samples, y = CASES[name]
    balanced = kind(**SMALL, class_weight="balanced").fit(samples, y)
    same = kind(**SMALL).fit(samples, y, sample_weight=compute_sample_weight("balanced", y))
    np.testing.assert_array_equal(weights_of(balanced), weights_of(same))
    assert not np.array_equal(weights_of(balanced), weights_of(kind(**SMALL).fit(samples, y)))
    mapped = kind(**SMALL, class_weight={"rare": 3}).fit(samples, y)
    same = kind(**SMALL).fit(samples, y, sample_weight=np.where(y == "rare", 3, 1))
    np.testing.assert_array_equal(weights_of(mapped), weights_of(same))
    without = kind(**SMALL, class_weight={"rare": 0}).fit(samples, y)
    assert set(without.predict(samples)) == {"often"}
    assert without.classes_.tolist() == ["often", "rare"]
    # both kinds of weights: what is rare by weight counts more
    weights = np.where(np.arange(48) % 2, 2.0, 1.0)
    both = kind(**SMALL, class_weight="balanced").fit(samples, y, sample_weight=weights)
    totals = {label: weights[y == label].sum() for label in ("rare", "often")}
    product = weights / np.array([totals[label] for label in y])
    same = kind(**SMALL).fit(samples, y, sample_weight=product)
    np.testing.assert_allclose(weights_of(both), weights_of(same), rtol=1e-4, atol=1e-6)


def test_they_help_what_is_rare() -> None:
    rng = np.random.default_rng(1)
    y = (np.arange(300) % 15 == 0).astype(int)
    samples = rng.normal(size=(300, 6)) + y[:, None] * 0.8
    recall = []
    for weight in (None, "balanced"):
        model = SparseLSTMClassifier(**{**SMALL, "epochs": 15}, class_weight=weight).fit(samples, y)
        recall.append(model.predict(samples)[y == 1].mean())
    assert recall[1] > recall[0] + 0.2


def test_what_is_held_out_is_weighed_too() -> None:
    weights = np.where(LABELS == "rare", 1e-9, 1.0)
    model = SparseLSTMClassifier(**SMALL, validation_fraction=0.5).set_params(lr=1e-9)
    scores = model.fit(X, LABELS, sample_weight=weights).validation_scores_
    assert min(scores) > 1 - 1e-6 or max(scores) < 1e-6  # only one class has a say
    targets = np.where(np.arange(48) % 2, 1e3, X[:, 0])
    model = SparseLSTMRegressor(**SMALL, validation_fraction=0.5)
    model.fit(X, targets, sample_weight=np.where(np.arange(48) % 2, 1e-12, 1.0))
    assert min(model.validation_scores_) > -10


@pytest.mark.parametrize(
    ("weight", "sentence"),
    [
        ([1] * 47, "sample_weight has the shape (47,), but there are 48 samples"),
        (np.ones((48, 1)), "sample_weight has the shape (48, 1), but there are 48 samples"),
        ([1] * 47 + [-1], "row 47 of sample_weight is -1.0; it must be a number of 0 or more"),
        ([1, np.inf] + [1] * 46, "row 1 of sample_weight is inf"),
        ([1, None] + [1] * 46, "row 1 of sample_weight is missing (None)"),
        ([0] * 48, "every weight in sample_weight is zero"),
    ],
)
@pytest.mark.parametrize("name", CASES)
def test_weights_that_cannot_be(name: str, weight: Any, sentence: str) -> None:
    kind, samples, y = CASES[name]
    with pytest.raises(ValueError, match=re.escape(sentence)):
        kind(**SMALL).fit(samples, y, sample_weight=weight)


@pytest.mark.parametrize(
    ("weight", "sentence"),
    [
        ("auto", "class_weight is 'auto'; it must be 'balanced', a mapping or None"),
        ({"rare": -1}, "class_weight is -1 for 'rare'; it must be a number of 0 or more"),
        ({"rare": "much"}, "class_weight is 'much' for 'rare'"),
        ({"rare": 0, "often": 0}, "every weight in class_weight is zero"),
        (
            {"odd": 3},
            "class_weight has the class 'odd', which no training example has",
        ),
    ],
)
@pytest.mark.parametrize("name", ["classifier", "texts"])
def test_weights_of_classes_that_cannot_be(name: str, weight: Any, sentence: str) -> None:
    kind, samples, y = CASES[name]
    with pytest.raises(ValueError, match=re.escape(sentence)):
        kind(**SMALL, class_weight=weight).fit(samples, y)


def test_passes_over_parts_know_no_balance() -> None:
    model = SparseLSTMClassifier(**SMALL, class_weight="balanced")
    with pytest.raises(ValueError, match="class_weight 'balanced' needs all labels"):
        model.partial_fit(X, LABELS, ["often", "rare"])
    weighted = SparseLSTMClassifier(**SMALL, class_weight={"rare": 3})
    for _ in range(SMALL["epochs"]):
        weighted.partial_fit(X, LABELS, ["often", "rare"], sample_weight=np.arange(48))
    fitted = SparseLSTMClassifier(**SMALL, class_weight={"rare": 3}).fit(X, LABELS, np.arange(48))
    np.testing.assert_array_equal(weights_of(weighted), weights_of(fitted))


def test_weights_are_routed() -> None:
    with sklearn.config_context(enable_metadata_routing=True):
        model = SparseLSTMClassifier(**SMALL).set_fit_request(sample_weight=True)
        model.set_partial_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        weights = np.where(LABELS == "rare", 0.0, 1.0)
        scores = cross_validate(model, X, LABELS, cv=3, params={"sample_weight": weights})
    assert scores["test_score"].tolist() == [1, 1, 1]


def test_the_epoch_with_the_best_measure_is_kept() -> None:
    how = {**SMALL, "epochs": 6, "validation_fraction": 0.4, "lr": 0.1}
    kept = {}
    for name in ("accuracy", "macro-f1", "loss"):
        model = SparseLSTMClassifier(**how, choose_by=name).fit(X, LABELS)
        scores = model.validation_scores_
        assert scores[model.network_.passes - 1] == max(scores)
        kept[name] = model.validation_scores_
    assert all(score < 0 for score in kept["loss"])
    assert kept["macro-f1"] != kept["accuracy"]
    with pytest.raises(ValueError, match="choose_by is 'f1'; it must be accuracy, macro-f1 or loss"):
        SparseLSTMClassifier(choose_by="f1").fit(X, LABELS)


def test_macro_f1_is_scikit_learns() -> None:
    from sklearn.metrics import f1_score

    labels, told = RNG.integers(0, 5, (2, 60)).astype(np.int32)
    weights = RNG.uniform(0, 2, 60)
    assert macro_f1(labels, told) == pytest.approx(f1_score(labels, told, average="macro"))
    wanted = f1_score(labels, told, average="macro", sample_weight=weights)
    assert macro_f1(labels, told, weights) == pytest.approx(wanted)


def test_smoothed_labels_leave_probabilities_less_sure() -> None:
    sure, smooth = (
        SparseLSTMClassifier(**{**SMALL, "epochs": 15, "lr": 0.1}, label_smoothing=share).fit(X, LABELS)
        for share in (0.0, 0.4)
    )
    most = [model.predict_proba(X).max(axis=1).mean() for model in (sure, smooth)]
    assert most[1] < most[0] - 0.05


def test_probabilities_are_calibrated_on_what_is_held_out() -> None:
    how = {**SMALL, "epochs": 20, "lr": 0.2, "validation_fraction": 0.5, "label_smoothing": 0.5}
    rng = np.random.default_rng(0)
    many = rng.normal(size=(200, 5))
    labels = np.where(many[:, 4] + 0.5 * rng.normal(size=200) > 0, "up", "down")
    plain = SparseLSTMClassifier(**how).fit(many, labels)
    model = SparseLSTMClassifier(**how, calibrate=True).fit(many, labels)
    assert model.temperature_ < 0.9  # smoothed labels have left it too unsure
    assert plain.temperature_ == 1
    logits = plain.predict_log_proba(many) / model.temperature_
    wanted = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(model.predict_log_proba(many), wanted, rtol=1e-4, atol=1e-5)
    model.partial_fit(many, labels)
    np.testing.assert_array_equal(weights_of(model), weights_of(plain.partial_fit(many, labels)))
    with pytest.warns(
        UserWarning, match="not calibrated: the held-out samples are too few, or nearly all right"
    ):
        few = SparseLSTMClassifier(**how, calibrate=True).fit(X, LABELS)
    assert few.temperature_ == 1
    with pytest.raises(ValueError, match="calibrate needs samples that are held out"):
        SparseLSTMClassifier(**SMALL, calibrate=True).fit(X, LABELS)
