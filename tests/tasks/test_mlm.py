"""Masked language models: what is hidden of a text, and a run from its beginning to its use."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from training_helpers import StopAt, assert_same_end, records

from truesparse import runtime
from truesparse.cli import main
from truesparse.data import Vocabulary
from truesparse.data.masking import MaskedWindows, with_mask
from truesparse.errors import TruesparseError, UsageError
from truesparse.model.loading import load
from truesparse.tasks.mlm.settings import MaskedConfig
from truesparse.tasks.run import resume_run, train_model
from truesparse.tasks.sources import resolve
from truesparse.tasks.use import evaluate_file
from truesparse.topology.methods import METHODS
from truesparse.training.loop import TrainingStopped

pytestmark = pytest.mark.usefixtures("command")

STEPS = 30


def configured(data: Path, **given: Any) -> MaskedConfig:
    small = {"hidden_size": 6, "heads": 2, "feed_forward": 8, "layers": 1, "length": 7, "batch_size": 4}
    small |= {"max_steps": STEPS, "epochs": 9, "update_interval": 6, "eval_interval": 10, "log_interval": 10}
    return resolve({"data": str(data), "density": 0.5, **small, **given}, environment={}, task=MaskedConfig)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Words that follow one another in turn."""
    rng = np.random.default_rng(1)
    words = [f"{'abcdef'[number % 6]}{number % 6}" for start in rng.integers(0, 6, 60) for number in
             range(start, start + 9)]  # fmt: skip
    path = tmp_path_factory.mktemp("mlm") / "text.txt"
    path.write_text(" ".join(words) + "\n")
    return path


@pytest.fixture(scope="module")
def trained(text: Path) -> tuple[Path, dict[str, Any]]:
    """The folder of a run, and its results."""
    run = text.parent / "run"
    return run, train_model(configured(text), run)


def test_what_is_hidden() -> None:
    vocabulary = with_mask(Vocabulary(("a", "b", "c", "<unk>", "d")), 3)
    assert vocabulary.tokens == ("a", "b", "c", "<unk>", "<mask>")
    assert with_mask(Vocabulary(("a", "<unk>", "b")), 2).tokens == ("a", "<unk>", "<mask>")
    ids = np.random.default_rng(0).integers(0, 4, 20_003).astype(np.int32)
    windows = MaskedWindows(ids, 16, 50, vocabulary, 0.15, 3)
    assert (len(windows), windows.longest) == (26, 50)
    batches = [windows.batch(2, k) for k in range(len(windows))]
    assert sum(batch.tokens for batch in batches) == len(ids)
    inputs, targets = (np.concatenate([getattr(b, name) for b in batches], axis=1) for name in
                       ("inputs", "targets"))  # fmt: skip
    told = targets >= 0
    assert np.count_nonzero(told) / len(ids) == pytest.approx(0.15, abs=0.01)
    assert sum(batch.counted for batch in batches) == np.count_nonzero(told)
    assert np.mean(inputs[told] == 4) == pytest.approx(0.8, abs=0.03)
    # a word at random is the right one in one of four cases
    assert np.mean(inputs[told] == targets[told]) == pytest.approx(0.125, abs=0.03)
    assert (inputs[~told] != 4).all()
    whole = np.where(told, targets, inputs)
    assert sorted(whole[whole >= 0]) == sorted(ids)
    for name in ("inputs", "targets", "lengths"):
        again = MaskedWindows(ids, 16, 50, vocabulary, 0.15, 3).batch(2, 5)
        np.testing.assert_array_equal(getattr(again, name), getattr(batches[5], name))
    assert (windows.batch(3, 5).inputs != batches[5].inputs).any()
    plain = MaskedWindows(ids, 8, 50, vocabulary, 0.15, 3, shuffled=False)
    other = MaskedWindows(ids, 16, 50, vocabulary, 0.15, 3, shuffled=False)
    np.testing.assert_array_equal(plain.batch(0, 1).inputs, other.batch(0, 0).inputs[:, 8:])
    last = plain.batch(0, 50)
    np.testing.assert_array_equal(last.lengths, [3, *[0] * 7])
    with pytest.raises(TruesparseError, match="the text has 3 tokens, fewer than a window of --length 50"):
        MaskedWindows(ids[:3], 8, 50, vocabulary, 0.15, 3)


def test_a_run(trained: tuple[Path, dict[str, Any]]) -> None:
    run, results = trained
    assert results["test_perplexity"] < results["unigram_perplexity"]
    again = evaluate_file(run)
    assert again.values()["perplexity"] == pytest.approx(results["test_perplexity"], rel=1e-6)
    assert "test perplexity of hidden words" in again.summary()
    losses = [record["loss"] for record in records(run, "eval")]
    assert losses[-1] < losses[0]
    assert sum(sum(record["replaced"].values()) for record in records(run, "rewire")) > 0
    assert results["net_seconds"] == pytest.approx(results["step_seconds"] * results["density"])
    assert records(run, "end")[0]["net_seconds"] == results["net_seconds"]
    methods = json.loads(CliRunner().invoke(main, ["info", str(run), "--json"]).stdout)["run"]["methods"]
    assert METHODS.keys() - methods.keys() == {"iss", "small-dense"}


def test_it_goes_on_exactly(trained: tuple[Path, dict[str, Any]], text: Path, tmp_path: Path) -> None:
    stop = StopAt(13)
    with pytest.raises(TrainingStopped):
        train_model(configured(text), tmp_path / "run", stop, stop)
    resume_run(tmp_path / "run", {}, kind=MaskedConfig)
    assert_same_end(trained[0], tmp_path / "run")


def test_its_use(trained: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    run, _ = trained
    model = runtime.load(run)
    assert isinstance(model, runtime.MaskedLanguageModel)
    (told,) = model.fill("a0 b1 <mask> d3", 3)
    assert len(told) == 3
    assert told[0][1] >= told[1][1] >= told[2][1] > 0
    assert model.fill("a0 b1") == []
    (tmp_path / "lines").write_text("a0 b1 <mask> d3\na0\n<mask> <mask>\n")
    found = CliRunner().invoke(main, ["predict", str(run), str(tmp_path / "lines"), "--json"])
    rows = [json.loads(line) for line in found.stdout.splitlines()]
    assert [row["line"] for row in rows] == [1, 3, 3]
    assert list(rows[0]["words"])[:3] == [word for word, _ in told]
    assert "1 of the lines have no <mask>" in found.stderr
    table = CliRunner().invoke(main, ["predict", str(run), str(tmp_path / "lines")]).stdout.splitlines()
    assert table[0].startswith("line,word 1,p 1")
    assert table[1].startswith(f"1,{told[0][0]},{told[0][1]:.6f}")
    (tmp_path / "lines").write_text("<mask>" * 8)
    assert "line 1 of" in CliRunner().invoke(main, ["predict", str(run), str(tmp_path / "lines")]).stderr
    refusals = {"c": "there is no C source for", "onnx": "ONNX has nothing for"}
    if find_spec("onnx") is None:
        del refusals["onnx"]
    for form, sentence in refusals.items():
        refused = CliRunner().invoke(main, ["export", str(run), "--to", form, "--out", str(tmp_path / form)])
        assert refused.exit_code
        assert sentence in refused.stderr


def test_the_last_token_is_the_mask(
    trained: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, file = load(trained[0]), tmp_path / "m"
    assert isinstance(model.vocabulary, Vocabulary)
    other = Vocabulary((*model.vocabulary.tokens[:-1], "xx"))
    with pytest.raises(UsageError, match="cannot be saved so: a masked language model needs <mask> as the"):
        model.save(file, other)
    monkeypatch.setattr("truesparse.model.saving.check_mask", lambda vocabulary: None)
    model.save(file, other)
    sentence = f"{file} cannot be used: a masked language model needs <mask> as the last token of its"
    for read in (runtime.load, evaluate_file):
        with pytest.raises(TruesparseError, match=re.escape(sentence)):
            read(file)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"heads": 4}, "--heads 4 does not divide --hidden-size 6"),
        ({"method": "small-dense", "update_interval": None}, "--method small-dense makes layers smaller"),
        ({"method": "iss"}, "--method iss takes whole units away, but all blocks of an encoder add to the"),
    ],
)
def test_what_there_cannot_be(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        configured(Path("text"), **given)
