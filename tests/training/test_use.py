"""What a model file says decides neither whether its weights are used nor how much memory it takes."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest

from truesparse import runtime
from truesparse.data import TextEncoder, Vocabulary
from truesparse.errors import TruesparseError
from truesparse.layers.models import language_model, sequence_model
from truesparse.model import random_model
from truesparse.model.loading import load_model
from truesparse.model.saving import save_model
from truesparse.tasks.classifier.use import SavedClassifier
from truesparse.tasks.use import evaluate_file

WORDS = Vocabulary(("<unk>", "a", "b", "c"))


def classifier(path: Path, **history: int) -> Path:
    model = random_model(sequence_model(4, 6, 8, 1, outputs=2), 0.5, np.random.default_rng(1))
    save_model(path, model, WORDS, TextEncoder(WORDS, 9), ("x", "y"), history)
    return path


def save_language_model(path: Path) -> Path:
    model = random_model(language_model(4, 6, 8, 1), 0.5, np.random.default_rng(1))
    save_model(path, model, WORDS, history={"batch_size": 2, "bptt": 5})
    return path


def test_memory_follows_the_files(tmp_path: Path) -> None:
    """Not the size of a batch that a file of a few kB names."""
    (tmp_path / "texts.csv").write_text("label,text\n" + "x,a b\ny,b c\n" * 9)
    results = []
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for batch_size in (64, 2_000_000):
        path = classifier(tmp_path / "m", batch_size=batch_size)
        assert path.stat().st_size < 10_000
        SavedClassifier(load_model(path))
        evaluation = evaluate_file(path, tmp_path / "texts.csv").classified
        results.append((evaluation.loss, evaluation.confusion.tolist()))
    assert results[0] == results[1]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10  # kilobytes


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("part", ["lstm.0.weight_hh", "output.bias", "output.weight"])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, value: float, part: str) -> None:
    for path in (classifier(tmp_path / "c"), save_language_model(tmp_path / "l")):
        saved = load_model(path)
        arena = saved.model.arena
        weights = arena.matrices[part].data if part in arena.matrices else arena.biases[part]
        weights[-1] = value
        save_model(path, saved.model, saved.vocabulary, saved.encoder, saved.labels)
    message = rf"{part} in .* has values that are not finite: its training went astray; use another model"
    (tmp_path / "texts.csv").write_text("label,text\nx,a b\ny,b c\n")
    (tmp_path / "text.txt").write_text("a b c a\n" * 30)
    for use in (
        lambda: SavedClassifier(load_model(tmp_path / "c")),
        lambda: evaluate_file(tmp_path / "c", tmp_path / "texts.csv"),
        lambda: evaluate_file(tmp_path / "l", tmp_path / "text.txt"),
        lambda: runtime.load_language_model(tmp_path / "l"),
        lambda: runtime.load_classifier(tmp_path / "c"),
    ):
        with pytest.raises(TruesparseError, match=message):
            use()


@pytest.mark.filterwarnings("error")  # an overflow on the way is no news
def test_scores_that_overflow_are_refused(tmp_path: Path) -> None:
    """Not shown as words of chance, as a perplexity that is none, or as texts without words."""
    for path in (classifier(tmp_path / "c"), save_language_model(tmp_path / "l")):
        saved = load_model(path)
        arena = saved.model.arena
        for weights in [matrix.data for matrix in arena.matrices.values()] + list(arena.biases.values()):
            weights[...] = 3e38
        arena.touch()
        save_model(path, saved.model, saved.vocabulary, saved.encoder, saved.labels)
    (tmp_path / "texts.csv").write_text("label,text\nx,a b\ny,b c\n")
    (tmp_path / "text.txt").write_text("a b c a\n" * 30)
    for use in (
        lambda: SavedClassifier(load_model(tmp_path / "c")).predict(["a b"]),
        lambda: evaluate_file(tmp_path / "c", tmp_path / "texts.csv"),
        lambda: evaluate_file(tmp_path / "l", tmp_path / "text.txt"),
        lambda: runtime.load_classifier(tmp_path / "c").predict(["a b"]),
        lambda: list(runtime.load_language_model(tmp_path / "l").generate("a", 3, temperature=0)),
        lambda: list(runtime.load_language_model(tmp_path / "l").generate("a", 3)),
    ):
        with pytest.raises(
            TruesparseError, match=r"^the scores of .* are not finite, so large are its weigh"
        ):
            use()
