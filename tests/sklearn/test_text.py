from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn.base", reason="scikit-learn is not installed")

from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV

from truesparse.data import Columns
from truesparse.data.labelled import read_table
from truesparse.model.loading import load_model
from truesparse.sklearn import SparseTextClassifier
from truesparse.tasks.classifier.use import SavedClassifier

SMALL = {"hidden_size": 24, "epochs": 6, "batch_size": 8, "lr": 0.02, "dropout": 0.1, "random_state": 0}


@pytest.fixture
def reviews(labelled_file: Path) -> tuple[list[str], list[str]]:
    table = read_table(labelled_file, Columns())
    return table.texts, table.labels


def test_it_learns(reviews) -> None:
    texts, labels = reviews
    model = SparseTextClassifier(**SMALL).fit(texts[:250], labels[:250])
    assert model.score(texts[250:], labels[250:]) > 0.9
    assert model.predict(np.array(["w3 GREAT!", "w1, awful"], object)).tolist() == ["good", "bad"]
    assert "awful" in model.encoder_.vocabulary.tokens
    np.testing.assert_allclose(model.predict_proba(texts).sum(axis=1), 1, rtol=1e-5)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(texts), model.predict_proba(texts))
    before = model.loss_curve_[-1]
    assert model.partial_fit(texts, labels).loss_curve_[-1] < before + 0.1


def test_held_out_texts_and_searches(reviews) -> None:
    texts, labels = reviews
    model = SparseTextClassifier(**SMALL, validation_fraction=0.2).fit(texts, labels)
    assert max(model.validation_scores_) > 0.9
    grid = {"density": [0.3, 0.5], "method": ["set", "rigl"]}
    assert GridSearchCV(SparseTextClassifier(**SMALL), grid, cv=2).fit(texts, labels).best_score_ > 0.7


def test_the_paper_s_count_of_parameters(reviews) -> None:
    model = SparseTextClassifier(hidden_size=32, epochs=1, random_state=0).fit(*reviews)
    words = len(model.encoder_.vocabulary)
    gates = 8 * min(10 * 64, 32 * 32)
    assert model.nnz_ == min(10 * (words + 32), words * 32) + gates


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_saved_model_is_one_for_the_command_line(reviews, tmp_path: Path, bidirectional: bool) -> None:
    texts, labels = reviews
    model = SparseTextClassifier(**SMALL, bidirectional=bidirectional).fit(
        texts, [len(label) for label in labels]
    )
    model.save(tmp_path / "model.safetensors")
    saved = SavedClassifier(load_model(tmp_path / "model.safetensors"))
    assert saved.labels == ("3", "4")
    probabilities = saved.predict(texts)
    np.testing.assert_allclose(probabilities, model.predict_proba(texts), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda X, y: ([*X[:4], " ", *X[5:]], y), "row 4 of X has an empty text; take the row out"),
        (lambda X, y: ([*X[:4], "<br />", *X[5:]], y), "row 4 of X has no words; take the row out"),
        (lambda X, y: ([*X[:4], None, *X[5:]], y), "row 4 of X is None, which is no text"),
        (lambda X, y: ("a text", y), "X must be a list or column of texts"),
        (lambda X, y: (np.array(X)[:, None], y), "X must be a list or column of texts"),
        (lambda X, y: ([], []), "X has no texts"),
        (lambda X, y: (X, ["good"] * len(X)), "y has only one class, 'good'"),
        (lambda X, y: (X, y[:-1]), "inconsistent numbers of samples"),
    ],
)
def test_texts_that_cannot_be(reviews, change: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        SparseTextClassifier(**SMALL).fit(*change(*reviews))


def test_what_needs_a_fit_before(reviews) -> None:
    texts, labels = reviews
    with pytest.raises(NotFittedError):
        SparseTextClassifier().predict(texts)
    with pytest.raises(NotFittedError):
        SparseTextClassifier().partial_fit(texts, labels)
    model = SparseTextClassifier(**SMALL).fit(texts[:50], labels[:50])
    with pytest.raises(ValueError, match="row 0 of y has the class 'odd'"):
        model.partial_fit(["great"], ["odd"])


def test_pieces_of_words(reviews, tmp_path: Path) -> None:
    pytest.importorskip("tokenizers")
    texts, labels = reviews
    model = SparseTextClassifier(**SMALL, level="subword", vocabulary=270).fit(texts, labels)
    assert len(model.encoder_.vocabulary) == 270
    assert model.predict(["greatest", "AWFULLY"]).tolist() == ["good", "bad"]
    model.save(tmp_path / "m")
    again = load_model(tmp_path / "m").encoder
    assert again is not None
    assert again == model.encoder_
    with pytest.raises(ValueError, match="vocabulary is 255; of subwords it must be at least 256"):
        SparseTextClassifier(level="subword", vocabulary=255).fit(texts, labels)


def test_word_vectors(reviews, tmp_path: Path) -> None:
    numbers = np.random.default_rng(1).normal(size=24).astype(np.float32)
    (tmp_path / "words.vec").write_text(f"w0 {' '.join(map(str, numbers))}\nelsewhere {'1 ' * 24}\n")
    whole = {"method": "dense", "density": 1.0, "distribution": "uniform"}
    file = {"vectors": str(tmp_path / "words.vec"), "freeze_vectors": True}
    model = SparseTextClassifier(**SMALL | {"epochs": 1}, **whole, **file).fit(*reviews)
    table = model.network_.model.arena.matrices["embedding.weight"].to_scipy().toarray()
    np.testing.assert_array_equal(table[model.encoder_.vocabulary.tokens.index("w0")], numbers)
    with pytest.raises(ValueError, match="there is no file elsewhere"):
        SparseTextClassifier(vectors="elsewhere").fit(*reviews)
