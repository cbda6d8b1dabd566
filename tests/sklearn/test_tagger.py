"""The estimator of sentences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn.base", reason="scikit-learn is not installed")

from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from truesparse import runtime
from truesparse.sklearn import SparseTagger
from truesparse.tasks.tagger.spans import Scheme

X = [["Ada", "slept"], ["Ben", "and", "Ada", "sang"], ["ran"]] * 20
Y = [["B-PER", "O"], ["B-PER", "O", "B-PER", "O"], ["O"]] * 20
SMALL = {"hidden_size": 40, "density": 0.5, "epochs": 15, "lr": 0.05, "random_state": 0}


@pytest.fixture(scope="module")
def fitted() -> SparseTagger:
    return SparseTagger(**SMALL, validation_fraction=0.2, length=3).fit(X, Y)


def test_labels_of_tokens(fitted: SparseTagger, tmp_path: Path) -> None:
    said = fitted.predict(X)
    assert [own.tolist() for own in said] == Y
    assert fitted.score(X, Y) == 1
    wrong = [["O"] * len(own) for own in Y]
    weights = np.array([3.0, 1.0, 0.0] * 20)  # of the tokens of two sentences 3 of 6 and 2 of 4 are right
    assert fitted.score(X, wrong, weights) == pytest.approx(0.5)
    assert fitted.validation_scores_[-1] == 1  # F1 of the spans
    fitted.save(tmp_path / "m")
    stored, again = runtime.load_tagger(tmp_path / "m"), SparseTagger.load(tmp_path / "m")
    assert stored.predict(X[:3]) == Y[:3]
    for one, two, three in zip(
        fitted.predict_proba(X),
        again.predict_proba(X),
        stored.log_probabilities([fitted.encoder_.encode(sentence) for sentence in X]),
        strict=True,
    ):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_allclose(one, np.exp(three), rtol=1e-5, atol=1e-6)
    assert clone(fitted).get_params() == fitted.get_params()


def test_sentences_that_do_not_count_are_not_learned() -> None:
    weights = np.array([1.0, 1.0, 0.0] * 20)
    model = SparseTagger(**{**SMALL, "epochs": 1}, min_count=1).fit(X, Y, weights)
    assert "ran" not in model.encoder_.vocabulary.tokens
    assert "sang" in model.encoder_.vocabulary.tokens
    kept = [k for k, weight in enumerate(weights) if weight]
    only = SparseTagger(**{**SMALL, "epochs": 1}, min_count=1).fit([X[k] for k in kept], [Y[k] for k in kept])
    np.testing.assert_array_equal(only.network_.model.arena.values, model.network_.model.arena.values)
    rare = SparseTagger(**{**SMALL, "epochs": 1}, min_count=1, class_weight={"O": 0.01})
    rare.fit([X[k] for k in kept], [Y[k] for k in kept])
    assert (rare.network_.model.arena.values != only.network_.model.arena.values).any()


def test_measures_to_choose_by(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the command line."""
    few = {"hidden_size": 4, "density": 1.0, "epochs": 1, "lr": 1e-6, "random_state": 0}
    scores = {}
    for choose_by in ("auto", "f1", "macro-f1", "accuracy"):
        for labels in (Y, [[{"O": "a", "B-PER": "b"}[one] for one in own] for own in Y]):
            spans = labels is Y
            if choose_by == "f1" and not spans:
                continue
            model = SparseTagger(**few, validation_fraction=0.5, choose_by=choose_by).fit(X, labels)
            scores[choose_by, spans] = model.validation_scores_[-1]
    assert scores["auto", True] == scores["f1", True]
    assert scores["auto", False] == scores["accuracy", False]
    assert scores["auto", False] != scores["macro-f1", False]
    counts, count = [], Scheme.count
    monkeypatch.setattr(Scheme, "count", lambda *given: counts.append(count(*given)) or counts[-1])
    types = {"Ada": "B-PER", "Ben": "B-LOC"}
    typed = [[types.get(token, "O") for token in sentence] for sentence in X]
    how = {**few, "epochs": 6, "lr": 0.02, "validation_fraction": 0.5}
    model = SparseTagger(**how, choose_by="macro-f1").fit(X, typed)
    assert model.validation_scores_ == [own.macro_f1 for own in counts]
    assert model.validation_scores_ != [own.rates()["f1"] for own in counts]


def test_folds_of_a_cross_validation() -> None:
    assert cross_val_score(SparseTagger(**SMALL), X, Y, cv=2).tolist() == [1, 1]


@pytest.mark.parametrize(
    ("sentences", "labels", "message"),
    [
        ("Ada slept", ["O"], "X must be a list of sentences"),
        (["Ada slept"], [["O"]], "row 0 of X is 'Ada slept'; it must be a list of tokens"),
        ([["Ada"], []], [["O"], []], r"row 1 of X is \[\]; it must be a list of tokens, at least one"),
        ([["Ada", 1]], [["O", "O"]], "row 0 of X has 1, which is no token"),
        ([["Ada"]], [["O", "O"]], "row 0 of y has 2 labels, but row 0 of X has 1 tokens"),
        ([["Ada"]], ["O"], "row 0 of y has 'O', but row 0 of X has 1 tokens"),
        ([["Ada"]] * 2, [["O"]], "inconsistent numbers of samples"),
        ([["Ada", "ran"]], [["O", "O"]], "y has only one class, 'O'"),
        ([["Ada", "ran"]], [["O", None]], "row 1 of the labels of row 0 of y is missing"),
        ([["Ada", "ran"]], [["O", 1]], "the classes are of several kinds, such as texts and numbers"),
        ([["Ada"]], None, "SparseTagger requires y to be passed, but the target y is None"),
    ],
)
def test_what_cannot_be(sentences: object, labels: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SparseTagger().fit(sentences, labels)
    model = SparseTagger(choose_by="f1")
    with pytest.raises(ValueError, match="choose_by f1 needs labels that mark spans"):
        model.fit([["a", "b"]], [["x", "y"]])
    assert not hasattr(model, "network_")
