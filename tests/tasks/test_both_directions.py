"""Runs whose models read in both directions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_helpers import StopAt, assert_same_end

from truesparse import runtime
from truesparse.errors import TruesparseError, UsageError
from truesparse.model.loading import load_model
from truesparse.modelfile import find_model
from truesparse.tasks.lm.settings import LanguageModelConfig
from truesparse.tasks.run import resume_run, train_model
from truesparse.tasks.sources import resolve
from truesparse.tasks.steps import LONGEST, WINDOW
from truesparse.tasks.tagger.settings import TaggerConfig
from truesparse.tasks.tagger.use import SavedTagger
from truesparse.tasks.use import evaluate_file
from truesparse.training.loop import TrainingStopped

pytestmark = pytest.mark.usefixtures("command")


@pytest.fixture
def after_file(tmp_path: Path) -> Path:
    """Sentences whose labels follow from the token after: only what reads from the end can tell them."""
    rng = np.random.default_rng(1)
    lines = []
    for _ in range(300):
        tokens = [f"w{number}" for number in rng.integers(0, 12, rng.integers(2, 9))]
        labels = ["B-X" if next_one in ("w1", "w2", "w3") else "O" for next_one in (*tokens[1:], "")]
        lines += [f"{token}\t{label}" for token, label in zip(tokens, labels, strict=True)] + [""]
    (tmp_path / "after.conll").write_text("\n".join(lines))
    return tmp_path / "after.conll"


def configured(data: Path, **given: Any) -> TaggerConfig:
    small = {"hidden_size": 40, "epochs": 4, "batch_size": 16, "lr": 0.02, "dropout": 0.1, **given}
    values = {"data": str(data), "bidirectional": True, **small}
    return resolve(values, environment={}, task=TaggerConfig)


def test_it_learns_what_the_tokens_after_say(after_file: Path, tmp_path: Path) -> None:
    """And tags a sentence as a whole, of any length; in training what is longer than --length is cut."""
    config = configured(after_file, length=5)
    forward = train_model(replace(config, bidirectional=False), tmp_path / "forward")
    results = train_model(config, tmp_path / "run")
    assert results["test_f1"] > 0.95 > 0.5 > forward["test_f1"]
    assert evaluate_file(tmp_path / "run").values()["f1"] == results["test_f1"]
    model = SavedTagger(load_model(find_model(tmp_path / "run")))
    long = ["w5", "w7", "w1", "w8"] * WINDOW
    sentences = [["w5", "w1"], [], ["w5"], long, ["nobody", "w3", "w9"]] * 9
    together = model.predict(sentences)
    assert together[:3] == [["B-X", "O"], [], ["O"]]
    assert together[3] == ["O", "B-X", "O", "O"] * WINDOW
    for tokens, labels in zip(sentences[:5], together, strict=False):
        assert model.predict([tokens]) == [labels]
    assert runtime.load_tagger(tmp_path / "run").predict(sentences) == together
    with pytest.raises(
        TruesparseError, match="reads in both directions takes whole ones of at most 4,096; put an empty"
    ):
        model.predict([["w1"] * (LONGEST + 1)])


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "st-rnn", "gates": "separate", "pattern": "weight", "optimizer": "sgd", "lr": 0.5},
        {"method": "rigl", "pattern": "unit", "layers": 2, "output": "sparse"},
        {"method": "snfs"},
        {"method": "iss", "density": 0.6},
        {"method": "selfish", "cell": "rhn", "depth": 2, "optimizer": "snt-asgd", "lr": 1.0},
    ],
    ids=lambda changes: changes["method"],
)
def test_runs_resume_to_the_same_bits_on_another_number_of_threads(
    after_file: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    config = configured(after_file, **{"max_steps": 24, "epochs": 2, "update_interval": 7, **changes})
    train_model(replace(config, threads=1), tmp_path / "whole")
    stop = StopAt(13)
    with pytest.raises(TrainingStopped):
        train_model(replace(config, threads=2), tmp_path / "parts", stop, stop)
    resume_run(tmp_path / "parts", {}, kind=TaggerConfig)
    assert_same_end(tmp_path / "whole", tmp_path / "parts")


def test_a_language_model_reads_in_one_direction() -> None:
    with pytest.raises(UsageError, match="cannot read in both directions, as it would see the token"):
        LanguageModelConfig(bidirectional=True)


def test_a_file_without_empty_lines_is_refused_before_the_training(tmp_path: Path) -> None:
    for part, tokens in (("train", 9), ("valid", 9), ("test", LONGEST + 1)):
        (tmp_path / f"{part}.conll").write_text("\n".join(f"w{n % 5}\t{'AB'[n % 2]}" for n in range(tokens)))
    with pytest.raises(TruesparseError, match=r"a sentence has 4,097 steps.* put an empty line after each"):
        train_model(configured(tmp_path), tmp_path / "run")
