from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_helpers import StopAt, assert_same_end, records, without_times

from truesparse.errors import TruesparseError, UsageError
from truesparse.model.loading import load_model
from truesparse.modelfile import find_model
from truesparse.tasks.classifier.settings import ClassifierConfig
from truesparse.tasks.classifier.task import Classified
from truesparse.tasks.classifier.use import ClassifierEvaluation, SavedClassifier
from truesparse.tasks.lm.settings import LanguageModelConfig
from truesparse.tasks.run import resume_run, train_model
from truesparse.tasks.sources import resolve
from truesparse.tasks.use import evaluate_file
from truesparse.training.loop import TrainingStopped
from truesparse.training.toml import read_toml

pytestmark = pytest.mark.usefixtures("command")


@pytest.fixture
def config(labelled_file: Path) -> ClassifierConfig:
    """A run of 3 epochs of 31 steps each, in well under a second."""
    given = {"hidden_size": 40, "epochs": 3, "batch_size": 8, "lr": 0.02, "dropout": 0.1, "log_interval": 7}
    return resolve({"data": str(labelled_file), **given}, environment={}, task=ClassifierConfig)


def test_it_learns_and_reports(config: ClassifierConfig, tmp_path: Path) -> None:
    results = train_model(config, tmp_path / "run")
    assert results["valid_accuracy"] > 0.9
    assert results["test_accuracy"] > 0.9
    assert 0.2 < results["majority_accuracy"] < 0.5
    assert results["steps"] == 3 * 31
    evaluations = records(tmp_path / "run", "eval")
    assert [record["step"] for record in evaluations] == [31, 62, 93]
    assert max(record["accuracy"] for record in evaluations) == results["valid_accuracy"]
    assert {"loss", "accuracy", "macro_f1", "texts"} < evaluations[0].keys()
    best = [record for record in evaluations if record["best"]][-1]
    assert best["accuracy"] == results["valid_accuracy"]
    saved = load_model(tmp_path / "run" / "model.safetensors")
    assert saved.labels == ("bad", "fair", "good")
    assert saved.encoder is not None
    assert {"<unk>", "awful", "great", "w7"} < set(saved.encoder.vocabulary.tokens)
    assert read_toml(tmp_path / "run" / "config.toml")["task"] == "classifier"


@pytest.mark.parametrize("steps", [(0,), (20,), (31,), (30.5,), (32, 61.5, 62), (92.5,)])
def test_a_run_that_was_interrupted_ends_with_the_same_bits(
    config: ClassifierConfig, tmp_path: Path, steps: tuple[float, ...]
) -> None:
    results = train_model(config, tmp_path / "whole")
    first, *more = [StopAt(step) for step in steps]
    parts = tmp_path / "parts"
    with pytest.raises(TrainingStopped, match=f"truesparse train classifier --resume {parts}"):
        train_model(config, parts, first, first)
    for stop in more:
        with pytest.raises(TrainingStopped):
            resume_run(parts, {}, stop, stop, ClassifierConfig)
    again = resume_run(parts, {}, kind=ClassifierConfig)
    assert_same_end(tmp_path / "whole", parts)
    assert without_times([again]) == without_times([results])


@pytest.mark.parametrize(
    "changes",
    [
        {"pooling": "max", "output": "sparse", "method": "rigl", "update_interval": 10},
        {"pooling": "mean", "padding": "before", "length": 5, "method": "set"},
        {"cell": "rhn", "depth": 2, "padding": "after", "truncation": "after", "length": 5},
        {"cell": "gru", "reset_gate": "before", "pooling": "mean", "batch_size": 4},
        {"method": "snip", "density": 0.2, "saliency_windows": 3},
        {"method": "snfs", "update_interval": 13, "output": "sparse", "density": 0.2},
        {"method": "gmp", "update_interval": 10, "density": 0.2},
        {"method": "dense"},
        {"method": "small-dense"},
        {"method": "selfish"},
        {
            "optimizer": "sgd",
            "lr": 0.5,
            "layers": 2,
            "lower_case": False,
            "punctuation": True,
            "min_count": 2,
        },
    ],
    ids=lambda changes: changes.get("method", changes.get("cell", "other")),
)
def test_every_kind_of_run_resumes_to_the_same_bits(
    labelled_file: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    given = {"hidden_size": 40, "epochs": 2, "batch_size": 8, "lr": 0.02, "max_steps": 50, **changes}
    config = resolve({"data": str(labelled_file), **given}, environment={}, task=ClassifierConfig)
    train_model(config, tmp_path / "whole")
    stop = StopAt(25)
    with pytest.raises(TrainingStopped):
        train_model(config, tmp_path / "parts", stop, stop)
    resume_run(tmp_path / "parts", {}, kind=ClassifierConfig)
    assert_same_end(tmp_path / "whole", tmp_path / "parts")


def test_threads_do_not_change_the_bits(config: ClassifierConfig, tmp_path: Path) -> None:
    train_model(replace(config, threads=1), tmp_path / "one")
    train_model(replace(config, threads=2), tmp_path / "two")
    assert_same_end(tmp_path / "one", tmp_path / "two")


def test_other_data_or_another_task_are_refused(
    config: ClassifierConfig, tmp_path: Path, labelled_file: Path
) -> None:
    run = tmp_path / "run"
    train_model(replace(config, max_steps=3), run)
    with pytest.raises(UsageError, match="is for truesparse train classifier, not for truesparse train lm"):
        resume_run(run, {}, kind=LanguageModelConfig)
    with pytest.raises(UsageError, match="--pooling is 'max' but was 'last'"):
        resume_run(run, {"pooling": "max"}, kind=ClassifierConfig)
    text = labelled_file.read_text()
    labelled_file.write_text(text.replace("w3", "w4"))
    with pytest.raises(TruesparseError, match="the text is not the one this run was trained on"):
        resume_run(run, {"max_steps": 5}, kind=ClassifierConfig)
    labelled_file.write_text(text)
    assert resume_run(run, {"max_steps": 5}, kind=ClassifierConfig)["steps"] == 5


def test_nothing_is_made_for_data_that_cannot_be_learned_from(
    config: ClassifierConfig, tmp_path: Path, labelled_file: Path
) -> None:
    labelled_file.write_text(labelled_file.read_text() + "good, \n")
    with pytest.raises(TruesparseError, match=r"row 302 of .*reviews\.csv has an empty text"):
        train_model(config, tmp_path / "run")
    with pytest.raises(UsageError, match="--data is missing"):
        train_model(replace(config, data=None), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_evaluating_gives_what_training_gave(
    config: ClassifierConfig, tmp_path: Path, labelled_file: Path
) -> None:
    results = train_model(config, tmp_path / "run")
    for split in ("valid", "test"):
        result = evaluate_file(tmp_path / "run", split=split)
        assert isinstance(result, ClassifierEvaluation)
        assert result.classified.accuracy == results[f"{split}_accuracy"]
    whole = evaluate_file(tmp_path / "run", labelled_file)
    assert isinstance(whole, ClassifierEvaluation)
    assert whole.classified.confusion.sum() == 300
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "dev.csv").write_text("topic,body\ngood,a great day\n")
    other = evaluate_file(tmp_path / "run", folder, "valid", "topic", "body")
    assert isinstance(other, ClassifierEvaluation)
    assert other.classified.confusion.sum() == 1
    with pytest.raises(UsageError, match=r"has no test\.csv"):
        evaluate_file(tmp_path / "run", folder)
    (folder / "test.csv").write_text("label,text\ngood,a great day\nugly,x\n")
    with pytest.raises(TruesparseError, match=r"row 3 of .*test\.csv has the label 'ugly'"):
        evaluate_file(tmp_path / "run", folder)


def test_predictions_do_not_depend_on_who_else_is_in_the_batch(
    config: ClassifierConfig, tmp_path: Path
) -> None:
    train_model(config, tmp_path / "run")
    model = SavedClassifier(load_model(find_model(tmp_path / "run")))
    texts = ["so awful", "great " * 300, "w3 w4 so-so w5", "great", "nobody knows these"] * 7
    together = model.predict(texts)
    np.testing.assert_allclose(together.sum(axis=1), 1, rtol=1e-5)
    for text, probabilities in zip(texts, together, strict=True):
        np.testing.assert_array_equal(model.predict([text])[0], probabilities)
    assert [model.labels[number] for number in together[:4].argmax(axis=1)] == ["bad", "good", "fair", "good"]
    some = model.predict(["great", " ", "so awful"])  # in the batch of one that has no words
    np.testing.assert_array_equal(some[::2], together[[3, 0]])
    assert np.isnan(some[1]).all()


def test_measures() -> None:
    confusion = np.array([[3, 1, 0, 0], [0, 2, 2, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    classified = Classified(0.5, confusion)
    assert classified.accuracy == 5 / 8
    assert classified.macro_f1 == pytest.approx(np.mean([6 / 7, 4 / 7, 0]))
    assert json.dumps(classified.measures)


def test_configurations() -> None:
    default = resolve({}, environment={}, task=ClassifierConfig).filled()
    assert (default.optimizer, default.er_epsilon, default.gates) == ("adam", 10.0, "separate")
    for method in ("selfish", "dsr", "snip", "dense", "rigl", "small-dense"):
        config = resolve({"method": method}, environment={}, task=ClassifierConfig).filled()
        assert config.method == method
    uniform = resolve({"distribution": "uniform"}, environment={}, task=ClassifierConfig).filled()
    assert uniform.er_epsilon is None
    by_density = resolve({"density": 0.1}, environment={}, task=ClassifierConfig).filled()
    assert (by_density.density, by_density.er_epsilon) == (0.1, None)
    environment = {"TRUESPARSE_BPTT": "7", "TRUESPARSE_LENGTH": "9"}  # one of them is of the other task
    assert resolve({}, environment=environment, task=ClassifierConfig).length == 9
    for values, sentence in (
        ({"preset": "demo"}, "--preset is 'demo'; it must be text"),
        ({"pooling": "first"}, "--pooling is 'first'; it must be last, mean or max"),
        ({"bptt": 3}, "unknown key 'bptt'"),
        ({"test_fraction": 0}, "--test-fraction is 0.0; it must be above 0 and below 1"),
    ):
        with pytest.raises(UsageError, match=sentence):
            ClassifierConfig.from_dict(values)


def test_the_most_words_of_a_text_cost_nothing_where_texts_are_short(tmp_path: Path) -> None:
    """What is asked for is more than memory has; the longest texts are those that are tested."""
    rows = [
        f"{label},{word} film number {k}" for k in range(20) for label, word in (("+", "fine"), ("-", "dull"))
    ]
    for part in ("train", "valid"):
        (tmp_path / f"{part}.csv").write_text("\n".join(["label,text", *rows]))
    longer = [f"{row} {'and on ' * 40}" for row in rows]
    (tmp_path / "test.csv").write_text("\n".join(["label,text", *longer]))
    given = {"data": str(tmp_path), "length": 1 << 20, "hidden_size": 16, "epochs": 1}
    config = resolve(given, environment={}, task=ClassifierConfig)
    results = train_model(config, tmp_path / "run")
    evaluated = evaluate_file(tmp_path / "run", None, "test")
    assert isinstance(evaluated, ClassifierEvaluation)
    assert evaluated.classified.accuracy == results["test_accuracy"]
    texts = [row.partition(",")[2] for row in [*rows, *longer]]
    together = SavedClassifier(load_model(find_model(tmp_path / "run"))).predict(texts)
    alone = SavedClassifier(load_model(find_model(tmp_path / "run"))).predict(texts[len(rows) :])
    np.testing.assert_array_equal(together[len(rows) :], alone)
