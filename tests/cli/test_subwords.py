from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from truesparse.data import Subwords
from truesparse.modelfile import Reader, container
from truesparse.runtime import load_classifier, load_language_model

Run = Callable[..., Result]


@pytest.fixture
def folder(run: Run, tiny: list[str]) -> str:
    """A run of a language model of subwords."""
    pytest.importorskip("tokenizers")
    flags = ["--level", "subword", "--vocabulary", 270, "--max-steps", 40, "--out", "run", "--quiet"]
    result = run("train", "lm", *tiny, *flags)
    assert result.exit_code == 0, result.output
    assert " bits per character, " in result.stdout
    return "run"


def test_a_language_model_of_subwords(
    run: Run, folder: str, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)  # which only training needs
    measured = json.loads(run("evaluate", folder, "--data", text_file, "--json").stdout)
    text, table = text_file.read_text(), load_language_model(folder).vocabulary
    assert isinstance(table, Subwords)
    assert len(table) == 270
    ids = table.encode(text)
    bits, scored = measured["loss"] * (len(ids) - 1) / math.log(2), table.decode(ids[1:])
    assert measured["tokens"] == len(ids) - 1
    assert measured["bits_per_byte"] == pytest.approx(bits / len(scored.encode()))
    assert measured["bits_per_character"] == pytest.approx(bits / len(scored))
    assert math.log2(measured["word_perplexity"]) == pytest.approx(bits / (200 * 10 + 200))
    assert measured["unknown"] is None
    generated = run("generate", folder, "--prompt", "w3 é漢", "--length", 30)
    assert generated.exit_code == 0, generated.output
    assert generated.stdout.startswith("w3 é漢")
    assert run("train", "lm", "--resume", folder, "--max-steps", 41, "--quiet").exit_code == 0
    refused = run("train", "lm", "--data", text_file, "--level", "subword")
    assert refused.exit_code == 2
    assert 'needs tokenizers; install it with: pip install "truesparse[subword]"' in refused.stderr


def test_earlier_versions_say_that_they_are_too_old(
    run: Run, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Reader(Path(folder, "model.safetensors")) as reader:
        assert reader.document["format_version"] == 3
    monkeypatch.setattr(container, "FORMAT_VERSION", 2)
    assert "has format version 3, but this truesparse reads up to 2; upgrade" in run("info", folder).stderr


def test_the_table_of_another_model(run: Run, folder: str, tiny: list[str]) -> None:
    flags = ["--level", "subword", "--vocabulary", 269, "--start-topology", folder]
    result = run("train", "lm", *tiny[2:], "--data", tiny[1], *flags)
    assert result.exit_code != 0
    assert result.stderr.count("\n") == 1
    assert "vocabulary" in result.stderr


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--vocabulary", 300], "--vocabulary is for --level subword, not word; leave it out"),
        (["--level", "subword", "--vocabulary", 255], "vocabulary is 255; it must be at least 256"),
    ],
)
def test_flags_that_cannot_be(run: Run, tiny: list[str], flags: list[object], message: str) -> None:
    result = run("train", "lm", *tiny, *flags)
    assert result.exit_code == 2
    assert message in result.stderr


def test_characters_are_measured_in_bits_too(run: Run, tiny: list[str]) -> None:
    flags = ["--level", "char", "--max-steps", 5, "--json", "--quiet"]
    measured = json.loads(run("train", "lm", *tiny, *flags).stdout)
    bits = math.log2(measured["test_perplexity"])
    assert measured["test_bits_per_character"] == pytest.approx(bits)
    assert measured["test_bits_per_byte"] == pytest.approx(bits)


def test_a_classifier_of_subwords(
    run: Run, tiny_classifier: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tokenizers")
    flags = ["--level", "subword", "--vocabulary", 280, "--out", "run", "--json", "--quiet"]
    result = run("train", "classifier", *tiny_classifier, *flags)
    assert json.loads(result.stdout)["test_accuracy"] > 0.9
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    Path("texts.txt").write_text("w3, greatest!\n\nawfully\n")
    lines = run("predict", "run", "texts.txt").stdout.splitlines()
    assert [line.partition(",")[0] for line in lines] == ["label", "good", "", "bad"]
    assert load_classifier("run").predict(["GREAT"]) == ["good"]
