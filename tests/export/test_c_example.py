from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
from export.conftest import (
    WORDS,
    compile_and_run,
    needs_compiler,
    read,
    run,
    save,
)

from truesparse.data import Subwords
from truesparse.export import export_model
from truesparse.layers.models import language_model
from truesparse.model import random_model
from truesparse.model.saving import save_model
from truesparse.runtime import Classifier, LanguageModel, Tagger


@needs_compiler
def test_the_example_reads_and_prints_words(tmp_path: Path) -> None:
    file = save(tmp_path / "m")
    export_model(file, "c", tmp_path / "out")
    result = compile_and_run(tmp_path / "out", *WORDS)
    assert result.returncode == 0
    model = LanguageModel(read(file))
    log_probabilities = model.stream().read(np.arange(len(WORDS)))
    likeliest = np.argsort(-log_probabilities)[:5]
    expected = [
        f"{np.exp(log_probabilities[token]):.4f} {model.vocabulary.tokens[token]}" for token in likeliest
    ]
    assert result.stdout == "\n".join(expected) + "\n"
    assert run(tmp_path / "out", "giraffe").stdout == run(tmp_path / "out", "<unk>").stdout
    assert run(tmp_path / "out", "--help").returncode == 2
    assert run(tmp_path / "out", "--time", "9").stdout.endswith(" microseconds a token\n")


@needs_compiler
def test_words_that_nobody_knows(tmp_path: Path) -> None:
    export_model(save(tmp_path / "m", first=1), "c", tmp_path / "out")
    result = compile_and_run(tmp_path / "out", "1", "giraffe")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "./program: 'giraffe' is not in the vocabulary\n"


@needs_compiler
def test_the_example_of_a_classifier_prints_labels(tmp_path: Path) -> None:
    file = save(tmp_path / "m", "max")
    export_model(file, "c", tmp_path / "out", "reviews")
    result = compile_and_run(tmp_path / "out", "w3", "w1", "1")
    assert result.returncode == 0
    model = Classifier(read(file))
    (log_probabilities,) = model.log_probabilities(
        [model.encoder.vocabulary.encode_tokens(["w3", "w1", "1"])]
    )
    order = np.argsort(-log_probabilities)
    expected = [f"{np.exp(log_probabilities[place]):.4f} {model.labels[place]}" for place in order]
    assert result.stdout == "\n".join(expected) + "\n"
    # a word that is not known is <unk>
    assert run(tmp_path / "out", "giraffe").stdout == run(tmp_path / "out", "<unk>").stdout
    header = (tmp_path / "out" / "reviews.h").read_text()
    assert "extern const char *const reviews_labels[REVIEWS_OUTPUTS];" in header
    assert "scores of the classes" in header
    assert "the last 9 words of a text, in lower case" in header


@needs_compiler
def test_the_example_of_a_tagger_prints_the_labels_of_the_last_token(tmp_path: Path) -> None:
    file = save(tmp_path / "m", "tagger")
    export_model(file, "c", tmp_path / "out")
    result = compile_and_run(tmp_path / "out", "w3", "w1", "1")
    model = Tagger(read(file))
    (scores,) = model.log_probabilities([model.encoder.encode(["w3", "w1", "1"])])
    order = np.argsort(-scores[-1])
    expected = [f"{np.exp(scores[-1, place]):.4f} {model.labels[place]}" for place in order]
    assert (result.returncode, result.stdout) == (0, "\n".join(expected) + "\n")
    header = (tmp_path / "out" / "model.h").read_text()
    assert "LSTM tagger of 5 labels, 70 tokens" in header
    assert "scores of the labels of the last token" in header
    assert "trained on the tokens of sentences; those that it does not know are <unk>" in header


@needs_compiler
def test_without_a_vocabulary_the_example_reads_numbers(tmp_path: Path) -> None:
    export_model(save(tmp_path / "m", vocabulary=False), "c", tmp_path / "out")
    result = compile_and_run(tmp_path / "out", "3", "69")
    assert result.returncode == 0
    assert re.match(r"0\.\d{4} \d+\n", result.stdout)
    for word in ("70", "-1", "w", "", "99999999999999999999"):
        result = subprocess.run(
            ["./program", "3", word], cwd=tmp_path / "out", capture_output=True, text=True
        )
        assert result.returncode == 1


@needs_compiler
def test_subwords_are_bytes_in_c(tmp_path: Path) -> None:
    characters = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = Subwords((*map(chr, characters), *(chr(256 + place) for place in range(68))))
    model = random_model(language_model(256, 4, 6, 1), 0.9, np.random.default_rng(1))
    for token in (0, 0xFF, ord("a"), ord('"'), ord("0")):
        number = table.token_bytes.index(bytes([token]))
        model.arena.biases["output.bias"][number] = 20 + token / 100
    save_model(tmp_path / "m.safetensors", model, table)
    export_model(tmp_path / "m.safetensors", "c", tmp_path / "out")
    assert compile_and_run(tmp_path / "out", "--self-test").returncode == 0
    said = subprocess.run(["./program", "a"], cwd=tmp_path / "out", capture_output=True, check=True).stdout
    assert [line[7:] for line in said.splitlines()] == [b"\xff", b"a", b"0", b'"', b"\0"]
