from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_helpers import StopAt, assert_same_end, records, without_times

from truesparse import runtime
from truesparse.data import Sequences, TokenEncoder, Vocabulary
from truesparse.errors import TruesparseError, UsageError
from truesparse.layers.models import language_model, sequence_model
from truesparse.model import Model, random_model
from truesparse.model.loading import SavedModel, load_model
from truesparse.model.saving import save_model
from truesparse.modelfile import Reader, find_model
from truesparse.modelfile.data_settings import DataSettings
from truesparse.tasks.registry import TASKS, task_of
from truesparse.tasks.run import resume_run, train_model
from truesparse.tasks.sources import resolve
from truesparse.tasks.steps import WINDOW, step_outputs
from truesparse.tasks.tagger.settings import TaggerConfig
from truesparse.tasks.tagger.use import SavedTagger, TaggerEvaluation
from truesparse.tasks.use import evaluate_file
from truesparse.training.loop import TrainingStopped

pytestmark = pytest.mark.usefixtures("command")

LABELS = ("B-LOC", "B-PER", "I-LOC", "I-PER", "O")


def configured(data: Path, **given: Any) -> TaggerConfig:
    small = {"hidden_size": 40, "epochs": 6, "batch_size": 16, "lr": 0.02, "dropout": 0.1, **given}
    return resolve({"data": str(data), **small}, environment={}, task=TaggerConfig)


@pytest.fixture
def config(tagged_file: Path) -> TaggerConfig:
    """A run of 6 epochs of 21 steps each, in well under a second."""
    return configured(tagged_file)


def saved(run: Path) -> SavedModel:
    return load_model(find_model(run))


@pytest.mark.parametrize("pattern", ["weight", "unit"])
def test_it_learns_what_the_tokens_before_say(config: TaggerConfig, tmp_path: Path, pattern: str) -> None:
    """With a fifth of the weights, and st-rnn; no label of a token follows from the token alone."""
    config = replace(config, pattern=pattern)
    assert (config.filled().method, config.filled().density) == ("st-rnn", 0.2)
    results = train_model(config, tmp_path / "run")
    assert results["test_accuracy"] > 0.95
    assert results["test_f1"] > 0.95
    assert results["valid_f1"] > 0.95
    assert results["lookup_f1"] < 0.2
    assert results["majority_accuracy"] <= results["lookup_accuracy"] < 0.8
    assert results["density"] < 0.21
    evaluations = records(tmp_path / "run", "eval")
    assert [record["step"] for record in evaluations] == [21 * epoch for epoch in range(1, 7)]
    assert {"loss", "accuracy", "precision", "recall", "f1", "tokens"} < evaluations[0].keys()
    best = [record for record in evaluations if record["best"]][-1]
    assert best["f1"] == max(record["f1"] for record in evaluations) == results["valid_f1"]
    model = saved(tmp_path / "run")
    assert model.labels == LABELS
    assert model.encoder == TokenEncoder(model.vocabulary)


def test_labels_that_mark_no_spans_are_chosen_by_accuracy(tagged_file: Path, tmp_path: Path) -> None:
    tagged_file.write_text(tagged_file.read_text().replace("B-", "first-").replace("I-", "more-"))
    results = train_model(configured(tagged_file), tmp_path / "run")
    assert results["test_accuracy"] > 0.95
    assert {"lookup_accuracy", "majority_accuracy"} < results.keys()
    assert not {"test_f1", "valid_f1", "lookup_f1"} & results.keys()
    evaluations = records(tmp_path / "run", "eval")
    assert "f1" not in evaluations[0]
    assert results["valid_accuracy"] == max(record["accuracy"] for record in evaluations)
    values = evaluate_file(tmp_path / "run").values()
    assert values["accuracy"] == results["test_accuracy"]
    assert values["labels"].keys() == {"O", "first-PER", "first-LOC", "more-PER", "more-LOC"}
    assert sum(label["count"] for label in values["labels"].values()) == values["tokens"]


@pytest.mark.parametrize("steps", [(0,), (10,), (21,), (20.5,), (22, 41.5, 42), (125.5,)])
def test_a_run_that_was_interrupted_ends_with_the_same_bits(
    config: TaggerConfig, tmp_path: Path, steps: tuple[float, ...]
) -> None:
    results = train_model(config, tmp_path / "whole")
    first, *more = [StopAt(step) for step in steps]
    parts = tmp_path / "parts"
    with pytest.raises(TrainingStopped, match=f"truesparse train tagger --resume {parts}"):
        train_model(config, parts, first, first)
    for stop in more:
        with pytest.raises(TrainingStopped):
            resume_run(parts, {}, stop, stop, TaggerConfig)
    again = resume_run(parts, {}, kind=TaggerConfig)
    assert_same_end(tmp_path / "whole", parts)
    assert without_times([again]) == without_times([results])


@pytest.mark.parametrize(
    "changes",
    [
        {"output": "sparse", "method": "rigl", "update_interval": 10},
        {"method": "snip", "output": "sparse"},
        {"method": "snfs", "update_interval": 13, "output": "sparse"},
        {"method": "dense", "lower_case": True, "min_count": 1},
        {"method": "small-dense"},
        {"cell": "rhn", "depth": 2, "length": 4},
        {"optimizer": "sgd", "lr": 0.5, "layers": 2, "vocabulary": 10, "length": 3},
    ],
    ids=lambda changes: changes.get("method", changes.get("cell", "other")),
)
def test_every_kind_of_run_resumes_to_the_same_bits(
    tagged_file: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    config = configured(tagged_file, **{"max_steps": 40, "epochs": 2, **changes})
    train_model(config, tmp_path / "whole")
    stop = StopAt(19)
    with pytest.raises(TrainingStopped):
        train_model(config, tmp_path / "parts", stop, stop)
    resume_run(tmp_path / "parts", {}, kind=TaggerConfig)
    assert_same_end(tmp_path / "whole", tmp_path / "parts")


def test_threads_do_not_change_the_bits(config: TaggerConfig, tmp_path: Path) -> None:
    train_model(replace(config, threads=1, epochs=2), tmp_path / "one")
    train_model(replace(config, threads=2, epochs=2), tmp_path / "two")
    assert_same_end(tmp_path / "one", tmp_path / "two")


def test_other_data_are_refused(config: TaggerConfig, tmp_path: Path, tagged_file: Path) -> None:
    run = tmp_path / "run"
    train_model(replace(config, max_steps=3), run)
    text = tagged_file.read_text()
    for other in (text.replace("w3\tO", "w4\tO"), text.replace("w3\tO", "w3\tB-LOC")):
        tagged_file.write_text(other)
        with pytest.raises(TruesparseError, match="the text is not the one this run was trained on"):
            resume_run(run, {"max_steps": 5}, kind=TaggerConfig)
        with pytest.raises(TruesparseError, match="is not as it was when the model was trained on it"):
            evaluate_file(run)
    tagged_file.write_text(text)
    assert resume_run(run, {"max_steps": 5}, kind=TaggerConfig)["steps"] == 5
    with pytest.raises(UsageError, match="--data is missing; give a CoNLL or JSON lines file"):
        train_model(replace(config, data=None), tmp_path / "none")


def test_evaluating_gives_what_training_gave(config: TaggerConfig, tmp_path: Path, tagged_file: Path) -> None:
    results = train_model(config, tmp_path / "run")
    for split in ("valid", "test"):
        result = evaluate_file(tmp_path / "run", split=split)
        assert isinstance(result, TaggerEvaluation)
        values = result.values()
        assert (values["f1"], values["accuracy"]) == (results[f"{split}_f1"], results[f"{split}_accuracy"])
        assert values["unknown"] == 0
        assert sum(each["count"] for each in values["types"].values()) > 50
    text = tagged_file.read_text()
    whole = evaluate_file(tmp_path / "run", tagged_file).values()
    assert whole["tokens"] == sum(bool(line) for line in text.splitlines())
    (tmp_path / "other.conll").write_text("1\tmr\tx\tO\n2\tnobody\tx\tB-PER\n")
    given = {"token_column": "2", "tag_column": "-1"}
    other = evaluate_file(tmp_path / "run", tmp_path / "other.conll", **given).values()
    assert (other["tokens"], other["unknown"]) == (2, 0.5)
    (tmp_path / "other.jsonl").write_text('{"tokens": ["mr", "w3"], "labels": ["O", "B-ORG"]}')
    with pytest.raises(TruesparseError, match=r"line 1 of .*other\.jsonl, 'w3' has the label 'B-ORG', which"):
        evaluate_file(tmp_path / "run", tmp_path / "other.jsonl")
    with pytest.raises(UsageError, match="is a tagger; its data have --token-column and --tag-column; leave"):
        evaluate_file(tmp_path / "run", tagged_file, text_column="x")


def test_all_tokens_of_all_sentences_are_tagged_whatever_else_is_there(
    config: TaggerConfig, tmp_path: Path
) -> None:
    """Those of sentences beyond `length` too, from the state before: the last token tells that."""
    train_model(replace(config, length=9), tmp_path / "run")
    model = SavedTagger(saved(tmp_path / "run"))
    long = ["w1", "in", "w3", "w4"] * (WINDOW // 2) + ["w5", "mr", "w2", "jr"]
    sentences = [["mr", "w1", "jr", "jr"], [], ["w5"], long, ["nobody", "mr", "knows"], ["in", "w9"]] * 9
    together = model.predict(sentences)
    assert [len(labels) for labels in together] == [len(tokens) for tokens in sentences]
    for tokens, labels in zip(sentences, together, strict=True):
        assert model.predict([tokens]) == [labels]
    assert together[0][:3] == ["O", "B-PER", "I-PER"]
    assert together[3][-3:] == ["O", "B-PER", "I-PER"]
    assert together[4] == ["O", "O", "B-PER"]  # a token that it does not know
    assert together[5] == ["O", "B-LOC"]
    assert runtime.load_tagger(tmp_path / "run").predict(sentences) == together


def small_model(path: Path, **data: Any) -> Model:
    """Write a tagger that nobody has trained."""
    words = Vocabulary(("<unk>", *"abcd"))
    model = random_model(
        sequence_model(5, 6, 8, 1, outputs=3, pooling=""), 0.5, np.random.default_rng(1), scale=0.6
    )
    save_model(path, model, words, TokenEncoder(words, True), ("B-X", "I-X", "O"), data)
    return model


def test_what_batches_and_windows_cut_changes_no_bit(tmp_path: Path) -> None:
    model = small_model(tmp_path / "m")
    rng = np.random.default_rng(2)
    lengths = (1, 5, WINDOW, WINDOW + 1, 3 * WINDOW, 7, 2)
    sentences = Sequences.of([rng.integers(0, 5, n).astype(np.int32) for n in lengths])
    results = []
    for steps, batch in ((WINDOW, 4), (3 * WINDOW, 4), (WINDOW, 1), (WINDOW, 16), (WINDOW, 40)):
        scores = np.zeros((sentences.values.size, 3), np.float32)
        for where, said in step_outputs(model, sentences, model.workspace(steps, batch)):
            assert not scores[where].any()
            scores[where] = said
        results.append(scores)
    np.testing.assert_allclose(np.exp(results[0]).sum(axis=1), 1, rtol=1e-5)
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


def test_a_file_says_what_the_model_is(tmp_path: Path) -> None:
    history = {"batch_size": 7, "token_column": "2", "tag_column": "-2", "valid_fraction": 0.2, "seed": 4}
    small_model(tmp_path / "tagger", **history, test_fraction=0.3, label_column=3, data=None, lr=0.1)
    tagger = load_model(tmp_path / "tagger")
    assert tagger.data == DataSettings(**history, test_fraction=0.3)
    assert tagger.encoder == TokenEncoder(tagger.vocabulary, lower_case=True)
    assert tagger.encoder.encode(["B", "a", "z"]).tolist() == [2, 1, 0]
    with Reader(tmp_path / "tagger") as reader:
        assert reader.document["text"] == {"lower_case": True}
        assert reader.document["labels"] == ["B-X", "I-X", "O"]
    plain = random_model(language_model(5, 4, 4, 1), 0.5, np.random.default_rng(1))
    save_model(tmp_path / "lm", plain, tagger.vocabulary)
    for path, name in (("tagger", "tagger"), ("lm", "lm")):
        made = [task.TASK for task in TASKS.values() if task.made(load_model(tmp_path / path))]
        assert made == [name] == [task_of(load_model(tmp_path / path)).TASK]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ["x", "y"]}, "is of another model: it has 2 labels, its matrices 3"),
        ({"labels": ["x", "y", "y"]}, "is of another model: it has 2 labels, its matrices 3"),
        ({"labels": [1, 2, 3]}, "is a tagger without labels"),
        ({"labels": None}, "is a tagger without labels"),
        ({"text": None}, "is no text tagger: the settings of the text have no valid lower_case"),
        ({"text": {"lower_case": 1}}, "is no text tagger: the settings of the text have no valid lower_case"),
        ({"vocabulary": None}, "is a tagger without a vocabulary"),
        (
            {"vocabulary": {"level": "word", "plain_text": False, "tokens": list("abcde")}},
            "is no text tagger: the vocabulary lacks <unk>",
        ),
    ],
)
def test_files_that_are_of_no_tagger(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    from truesparse.modelfile import container

    small_model(tmp_path / "m")
    with Reader(tmp_path / "m") as reader:
        tensors = {name: reader.get(name) for name in reader.names}
        document = {**reader.document, **changes}
    container.write(tmp_path / "m", tensors, document)
    for load in (load_model, runtime.load):
        with pytest.raises(TruesparseError, match=message):
            load(tmp_path / "m")


@pytest.mark.parametrize("value", [np.nan, 3e38])
def test_models_that_cannot_be_used(tmp_path: Path, value: float) -> None:
    model = small_model(tmp_path / "m")
    for weights in [matrix.data for matrix in model.arena.matrices.values()] + list(
        model.arena.biases.values()
    ):
        weights[...] = value
    model.arena.touch()
    words = Vocabulary(("<unk>", *"abcd"))
    save_model(tmp_path / "m", model, words, TokenEncoder(words), ("B-X", "I-X", "O"))
    (tmp_path / "x.conll").write_text("a O\n")
    for use in (
        lambda: SavedTagger(load_model(tmp_path / "m")).predict([["a", "b"]]),
        lambda: evaluate_file(tmp_path / "m", tmp_path / "x.conll"),
        lambda: runtime.load_tagger(tmp_path / "m").predict([["a", "b"]]),
    ):
        with pytest.raises(TruesparseError, match="not finite"):
            use()


def test_a_checkpoint_without_the_measure_that_models_are_chosen_by(
    config: TaggerConfig, tmp_path: Path
) -> None:
    from truesparse.modelfile import container

    stop = StopAt(22)
    with pytest.raises(TrainingStopped):
        train_model(config, tmp_path / "run", stop, stop)
    path = tmp_path / "run" / "checkpoint.safetensors"
    with Reader(path) as reader:
        tensors = {name: reader.get(name) for name in reader.names}
        document = reader.document
    del document["training"]["best"]["f1"]
    container.write(path, tensors, document)
    with pytest.raises(TruesparseError, match="is no checkpoint to go on from: best has no f1"):
        resume_run(tmp_path / "run", {}, kind=TaggerConfig)


def test_configurations() -> None:
    default = resolve({}, environment={}, task=TaggerConfig).filled()
    assert (default.optimizer, default.method, default.lower_case, default.min_count) == (
        "adam",
        "st-rnn",
        False,
        2,
    )
    environment = {"TRUESPARSE_TAG_COLUMN": "2", "TRUESPARSE_LABEL_COLUMN": "stars"}
    assert resolve({}, environment=environment, task=TaggerConfig).tag_column == "2"
    for values, sentence in (
        ({"pooling": "max"}, "unknown key 'pooling'"),
        ({"length": 0}, "--length is 0; it must be at least 1"),
        ({"valid_fraction": 1.0}, "--valid-fraction is 1.0; it must be above 0 and below 1"),
    ):
        with pytest.raises(UsageError, match=sentence):
            TaggerConfig.from_dict(values)
