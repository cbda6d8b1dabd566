"""Data whose labels occur unevenly often: weights of classes and rows, and the measure to choose by."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_helpers import records

from truesparse.data.weights import read_class_weight
from truesparse.errors import TruesparseError
from truesparse.model.loading import load_model
from truesparse.tasks.classifier.settings import ClassifierConfig
from truesparse.tasks.run import train_model
from truesparse.tasks.sources import resolve
from truesparse.tasks.tagger.settings import TaggerConfig

pytestmark = pytest.mark.usefixtures("command")


def classifier(data: Path, **given: Any) -> ClassifierConfig:
    small = {"hidden_size": 40, "epochs": 3, "batch_size": 8, "lr": 0.02, "dropout": 0.1, **given}
    return resolve({"data": str(data), **small}, environment={}, task=ClassifierConfig)


def tagger(data: Path, **given: Any) -> TaggerConfig:
    return resolve({"data": str(data), "batch_size": 16, **given}, environment={}, task=TaggerConfig)


@pytest.fixture
def weighted_file(labelled_file: Path) -> Path:
    """The labelled texts with a column of weights: 0, 1, 2, 0, 1, 2 and so on."""
    rows = labelled_file.read_text().splitlines()
    rows[1:] = [f"{row},{number % 3}" for number, row in enumerate(rows[1:])]
    rows[0] += ",count"
    labelled_file.write_text("\n".join(rows) + "\n")
    return labelled_file


def test_balanced_labels_count_the_same_together(labelled_file: Path, tagged_file: Path) -> None:
    train = classifier(labelled_file, class_weight="balanced").make_task().train
    sums = np.bincount(train.targets, train.weights)
    np.testing.assert_allclose(sums, sums[0], rtol=1e-12)
    assert len(np.unique(np.bincount(train.targets))) > 1
    train = tagger(tagged_file, class_weight="balanced").make_task().train
    sums = np.bincount(train.targets.values, train.weights)
    np.testing.assert_allclose(sums, sums[0], rtol=1e-12)


def test_each_label_of_a_tagger_has_its_weight(tagged_file: Path) -> None:
    config = tagger(tagged_file, class_weight="O=0.5, B-PER=2")
    task = config.make_task()
    batch = task.train.batch(0, 3)
    factors = dict.fromkeys(("B-LOC", "I-LOC", "I-PER"), 0.5) | {"O": 0.25, "B-PER": 1.0}
    labels = task.reading["labels"]
    wanted = [0.0 if k < 0 else factors[labels[k]] for k in batch.targets.ravel()]
    assert batch.weights.ravel().tolist() == wanted
    assert batch.counted == pytest.approx(sum(wanted))


def test_rows_and_labels_are_weighted_together(weighted_file: Path) -> None:
    plain = classifier(weighted_file).make_task()
    config = classifier(weighted_file, weight_column="count", class_weight="fair=0.5")
    train = config.make_task().train
    assert len(train.sequences) < len(plain.train.sequences)  # a row of weight 0 is as if it were not there
    fair = train.targets == 1
    assert set(train.weights[fair]) == {0.25, 0.5}
    assert set(train.weights[~fair]) == {0.5, 1.0}
    assert config.make_task().crc32 == plain.crc32


def test_the_measure_to_choose_by(labelled_file: Path, tmp_path: Path, tagged_file: Path) -> None:
    task = classifier(labelled_file, choose_by="macro-f1").make_task()
    low, high = (
        {"macro_f1": 0.4, "accuracy": 0.9, "loss": 1.0},
        {"macro_f1": 0.5, "accuracy": 0.2, "loss": 2.0},
    )
    assert task.better(high, low)
    assert not classifier(labelled_file).make_task().better(high, low)
    assert classifier(labelled_file, choose_by="loss").make_task().better(low, high)
    assert tagger(tagged_file).make_task().chosen_by == ("f1", "loss")
    assert tagger(tagged_file, choose_by="macro-f1").make_task().chosen_by == ("macro_f1", "loss")


def test_a_run_with_all_of_it(run: Any, weighted_file: Path, tmp_path: Path) -> None:
    flags = "--hidden-size 40 --batch-size 8 --lr 0.02 --epochs 2 --out run --label-smoothing 0.2"
    flags += " --class-weight balanced --weight-column count --choose-by macro-f1"
    done = run("train", "classifier", "--data", weighted_file, *flags.split())
    assert done.exit_code == 0, done.output
    assert "validation macro-F1" in done.stdout
    assert load_model(tmp_path / "run" / "model.safetensors").model.chain.head.label_smoothing == 0.2
    measured = records(tmp_path / "run", "eval")
    assert {record["chosen_by"] for record in measured} == {"macro_f1"}
    # the smoothed loss cannot fall below the entropy of the smoothed labels
    share = 0.2 / 3
    floor = -(0.8 + share) * math.log(0.8 + share) - 2 * share * math.log(share)
    losses = [record["loss"] for record in records(tmp_path / "run", "train")]
    assert min(losses) > floor
    assert run("evaluate", "run").exit_code == 0  # which finds the rows of training again


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"class_weight": "bad"}, "--class-weight has 'bad'; it must be balanced or such as bad=2,good=1"),
        ({"class_weight": ""}, "--class-weight is empty"),
        ({"class_weight": "bad=-1"}, "--class-weight is -1.0 for 'bad'; it must be a number of 0 or more"),
        ({"class_weight": "bad=nan"}, "--class-weight is nan for 'bad'"),
        ({"class_weight": "ugly=2"}, "--class-weight has the class 'ugly', which no training example has"),
        ({"class_weight": "bad=2,bad=1"}, "--class-weight has the class 'bad' twice"),
        ({"class_weight": "bad=0,fair=0,good=0"}, "every weight in --class-weight is zero"),
        ({"weight_column": "counts"}, "has no column 'counts'; did you mean --weight-column count"),
        ({"weight_column": "text"}, "row 2 of .* has the weight .*; it must be a number of 0 or more"),
        ({"label_smoothing": 1.0}, "--label-smoothing is 1.0; it must be at least 0 and below 1"),
        ({"choose_by": "f1"}, "--choose-by is 'f1'; it must be accuracy, macro-f1 or loss"),
    ],
)
def test_bad_weights(weighted_file: Path, given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TruesparseError, match=sentence):
        classifier(weighted_file, **given).make_task()


def test_bad_weights_of_a_tagger(tagged_file: Path) -> None:
    with pytest.raises(TruesparseError, match="--class-weight is 0 for a label"):
        tagger(tagged_file, class_weight="O=0").make_task()
    plain = tagged_file.with_name("plain.conll")
    plain.write_text(tagged_file.read_text().replace("B-", "").replace("I-", ""))
    with pytest.raises(TruesparseError, match="--choose-by f1 needs labels that mark spans"):
        tagger(plain, choose_by="f1").make_task()


def test_all_rows_of_weight_zero(weighted_file: Path) -> None:
    rows = weighted_file.read_text().splitlines()
    weighted_file.write_text("\n".join([rows[0], *(f"{row[:-1]}0" for row in rows[1:])]))
    with pytest.raises(TruesparseError, match=r"every weight of .* is zero"):
        classifier(weighted_file, weight_column="count").make_task()


def test_names_with_commas_are_quoted() -> None:
    assert read_class_weight('a=1, "b,c=2",d = 3') == {"a": 1, "b,c": 2, "d": 3}
    assert read_class_weight(" balanced ") == "balanced"


def test_language_models_are_smoothed(config: Any, tmp_path: Path) -> None:
    train_model(replace(config, label_smoothing=0.1, max_steps=5), tmp_path / "run")
    assert load_model(tmp_path / "run" / "model.safetensors").model.chain.head.label_smoothing == 0.1
