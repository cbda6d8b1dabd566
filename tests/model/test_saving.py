"""A model saves itself; what the commands make of the file."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import truesparse as ts
from truesparse import runtime
from truesparse.cli import main

WORDS = ts.Vocabulary(("<unk>", "<eos>", "a", "b", "c"))
ENCODER = ts.TextEncoder(WORDS, length=9)
SPEAKER = ts.Chain(ts.Embedding(5, 4), ts.LSTM(6), ts.Softmax(5))
CLASSIFIER = ts.Chain(ts.Embedding(5, 4), ts.LSTM(6), ts.Pool(), ts.Softmax(2))
OF_FEATURES = ts.Chain(ts.Linear(4, "relu"), ts.LSTM(6), ts.Pool(), ts.Softmax(2), features=3)
OF_NUMBERS = ts.Chain(ts.Embedding(5, 4), ts.LSTM(6), ts.Pool(), ts.SquaredError(2))
CHAINS = {"speaker": SPEAKER, "classifier": CLASSIFIER, "features": OF_FEATURES, "numbers": OF_NUMBERS}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def same(model: ts.Model, other: ts.Model) -> bool:
    mine, theirs = (
        (m.vocabulary, m.encoder, m.labels, m.chain, m.arena.values.tobytes()) for m in (model, other)
    )
    return mine == theirs


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
def test_what_is_saved_is_loaded(tmp_path: Path, chain: ts.Chain) -> None:
    model = chain.init(density=0.6, seed=3)
    model.save(tmp_path / "m")
    assert same(ts.load(tmp_path / "m"), model)
    for name, matrix in ts.load(str(tmp_path / "m")).matrices.items():
        assert matrix.indices.tobytes() == model.matrices[name].indices.tobytes()


def test_the_meaning_of_tokens_and_outputs_is_kept(tmp_path: Path) -> None:
    model = CLASSIFIER.init(0.6)
    model.save(tmp_path / "m", ENCODER, labels=["good", "bad"])
    assert model.vocabulary is None
    again = ts.load(tmp_path / "m")
    assert (again.vocabulary, again.encoder, again.labels) == (WORDS, ENCODER, ("good", "bad"))
    again.save(tmp_path / "again")
    assert same(ts.load(tmp_path / "again"), again)
    assert same(copy.deepcopy(again), again)
    assert same(pickle.loads(pickle.dumps(again)), again)
    OF_FEATURES.init(0.6).save(tmp_path / "f", labels=("x", "y"))
    assert ts.load(tmp_path / "f").labels == ("x", "y")


def test_the_same_chain_and_seed_make_the_same_model() -> None:
    assert same(SPEAKER.init(0.5, 1), SPEAKER.init(0.5, 1))
    assert not same(SPEAKER.init(0.5, 1), SPEAKER.init(0.5, 2))
    assert SPEAKER.init(0.5, scale=2.0).matrices["output.weight"].data.max() > 2.0
    with pytest.raises(ts.UsageError, match="gates is 'x'; it must be"):
        SPEAKER.init(0.5, gates="x")
    with pytest.raises(ts.UsageError, match="density"):
        SPEAKER.init(1.5)


def test_commands_on_a_language_model(tmp_path: Path) -> None:
    file, text = tmp_path / "m", tmp_path / "text.txt"
    text.write_text("a b c\n" * 20)
    SPEAKER.init(0.6).save(file, WORDS)
    shown = run("evaluate", file, "--data", text)
    assert "over 79 tokens" in shown.output
    assert run("generate", file, "--prompt", "a b", "--length", 3).output.startswith("a b")
    assert "lstm.0.weight_hh" in run("info", file).output
    assert run("export", file, "--to", "c", "--out", tmp_path / "c").exit_code == 0
    assert "use truesparse generate" in run("predict", file, text).output


def test_commands_on_a_classifier(tmp_path: Path) -> None:
    file, text = tmp_path / "m", tmp_path / "text.txt"
    text.write_text("a b c\nb\n")
    CLASSIFIER.init(0.6).save(file, ENCODER, ("good", "bad"))
    lines = run("predict", file, text).output.splitlines()
    assert lines[0] == "label,p(good),p(bad)"
    assert len(lines) == 3
    assert run("export", file, "--to", "c", "--out", tmp_path / "c").exit_code == 0
    text.rename(tmp_path / "t.csv").write_text("label,text\ngood,a b\nbad,c\n")
    assert "over 2 texts" in run("evaluate", file, "--data", tmp_path / "t.csv").output


NO_VOCABULARY = "has no vocabulary, so it reads numbers, not text"


@pytest.mark.parametrize(
    ("name", "command", "message"),
    [
        ("speaker", ["evaluate", "--data", "t.csv"], NO_VOCABULARY),
        ("speaker", ["generate"], NO_VOCABULARY),
        ("classifier", ["evaluate", "--data", "t.csv"], NO_VOCABULARY),
        ("classifier", ["predict", "t.csv"], NO_VOCABULARY),
        ("classifier", ["generate"], "is a classifier, not a language model"),
        ("features", ["evaluate", "--data", "t.csv"], "is a model of no task that has a command"),
        ("features", ["generate"], "is a model of numbers, not a language model; use truesparse predict"),
        (
            "numbers",
            ["export", "--to", "c", "--out", "out"],
            "there is no C source for numbers that are said of tokens",
        ),
        ("numbers", ["generate"], "is a model of numbers, not a language model; use truesparse predict"),
    ],
)
def test_commands_on_what_reads_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, command: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("label,text\ngood,a b\n")
    CHAINS[name].init(0.6).save("m")
    result = run(command[0], "m", *command[1:])
    assert message in result.output
    assert result.exit_code in (1, 2)
    assert "\n" not in result.output.strip()
    assert run("info", "m").exit_code == 0
    assert run("export", "m", "--to", "scipy", "--out", "arrays").exit_code == 0


def test_a_classifier_of_numbers_runs_without_a_vocabulary(tmp_path: Path) -> None:
    model = CLASSIFIER.init(0.6)
    model.save(tmp_path / "m")
    tokens = np.array([2, 3, 4], np.int32)
    told = runtime.load_classifier(tmp_path / "m").log_probabilities([tokens])
    np.testing.assert_allclose(told, ts.predict(model, ts.Sequences.of([tokens])), rtol=1e-5)
    assert run("export", tmp_path / "m", "--to", "c", "--out", tmp_path / "c").exit_code == 0
    assert "classifier of 2 classes" in (tmp_path / "c" / "model.c").read_text()


@pytest.mark.parametrize(
    ("chain", "given", "message"),
    [
        (SPEAKER, (ts.Vocabulary(("a", "b")),), "the vocabulary has 2 tokens, but the model reads 5"),
        (SPEAKER, (ENCODER,), "needs a Vocabulary, or a TokenEncoder and labels, not a TextEncoder"),
        (SPEAKER, (WORDS, ["x"] * 5), "labels for each step take a TokenEncoder; give one"),
        (CLASSIFIER, (WORDS, ["x", "y"]), r"give TextEncoder\(vocabulary, length\)"),
        (CLASSIFIER, (ENCODER,), "needs the names of its outputs; give labels"),
        (CLASSIFIER, (ENCODER, ["x", "x"]), "there are 1 different labels, but the model has 2 outputs"),
        (OF_FEATURES, (WORDS,), "a model of features has no vocabulary"),
    ],
)
def test_what_does_not_fit_is_not_saved(tmp_path: Path, chain: ts.Chain, given: tuple, message: str) -> None:
    with pytest.raises(ts.UsageError, match=message):
        chain.init(0.6).save(tmp_path / "m", *given)
    assert not (tmp_path / "m").exists()
