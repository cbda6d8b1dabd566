from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from truesparse.data.vectors import read_vectors
from truesparse.layers.models import language_model
from truesparse.model import random_model
from truesparse.model.loading import load_model
from truesparse.modelfile import Reader, read_model
from truesparse.training.vectors import use_vectors

Run = Callable[..., Result]
SIZE = 12


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Vectors of some words of the tests' texts, and of others."""
    rng = random.Random(4)
    words = [*(f"w{number}" for number in range(15)), "great", "mr", "elsewhere"]
    lines = [f"{word} {' '.join(f'{rng.gauss(0, 1):.4f}' for _ in range(SIZE))}" for word in words]
    path = tmp_path / "words.vec"
    path.write_text("\n".join([f"{len(words)} {SIZE}", *lines, ""]))
    return path


def embedding(path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """The embedding of a file with zeros where there is no connection, and its words."""
    with Reader(path) as reader:
        stored = read_model(reader)
    indptr, indices, data, shape = stored.matrices["embedding.weight"]
    table = np.zeros(shape, np.float32)
    table[np.repeat(np.arange(shape[0]), np.diff(indptr)), indices] = data
    assert stored.vocabulary is not None
    return table, stored.vocabulary.tokens


def test_the_largest_numbers_become_the_connections(file: Path) -> None:
    tokens = ("<unk>", *(f"w{number}" for number in range(0, 30, 2)))
    model = random_model(language_model(len(tokens), SIZE, 12, 1), 0.3, np.random.default_rng(1))
    matrix = model.arena.matrices["embedding.weight"]
    before, nnz = matrix.to_scipy().toarray(), model.arena.nnz
    others = [array.copy() for name, array in model.arena.biases.items()]
    assert str(use_vectors(model, file, tokens)) == "8 of 16 tokens have a vector"
    after = matrix.to_scipy().toarray()
    known = np.array([token in ("w0", "w2", "w4", "w6", "w8", "w10", "w12", "w14") for token in tokens])
    np.testing.assert_array_equal(after[~known], before[~known])
    assert model.arena.nnz == nnz
    every = np.zeros((16, SIZE), np.float32)
    found = read_vectors(file, tokens, SIZE, every.size)
    every.reshape(-1)[found.places] = found.values
    count = np.count_nonzero(before[known])
    least = np.sort(np.abs(every[known]), axis=None)[-count]
    np.testing.assert_array_equal(after[known], np.where(np.abs(every) >= least, every, 0)[known])
    assert all(np.array_equal(*pair) for pair in zip(others, model.arena.biases.values(), strict=True))


@pytest.mark.parametrize("method", ["st-rnn", "rigl", "dense"])
def test_frozen_vectors_stay_as_they_are(run: Run, tiny: list[str], file: Path, method: str) -> None:
    flags = [*tiny[:4], *tiny[6:], "--method", method, "--vectors", file, "--freeze-vectors", "--quiet"]
    flags += ["--weight-decay", 0.01, "--max-steps", 60, "--eval-interval", 20, "--out", "run"]
    flags += [] if method == "dense" else ["--update-interval", 20]
    result = run("train", "lm", *flags)
    assert result.exit_code == 0, result.output
    table, words = embedding(Path("run/checkpoint.safetensors"))
    count = np.count_nonzero(table)
    known = [words.index(f"w{number}") for number in range(15)]
    given = np.array([line.split()[1:] for line in file.read_text().splitlines()[1:16]], np.float32)
    kept = table[known] != 0
    np.testing.assert_array_equal(table[known][kept], given[kept])
    assert kept.all() if method == "dense" else 0.1 < kept.mean() < 0.4
    assert run("train", "lm", "--resume", "run", "--max-steps", 80, "--quiet").exit_code == 0
    again, _ = embedding(Path("run/checkpoint.safetensors"))
    np.testing.assert_array_equal(again, table)
    assert np.count_nonzero(again) == count
    records = map(json.loads, Path("run/metrics.jsonl").read_text().splitlines())
    changed = [record["dropped"] for record in records if "dropped" in record]
    assert not any("embedding.weight" in one for one in changed)
    assert bool(changed) == (method != "dense")


def test_vectors_that_are_not_frozen_learn(run: Run, tiny: list[str], file: Path) -> None:
    result = run("train", "lm", *tiny, "--vectors", file, "--max-steps", 60, "--out", "run")
    assert "vocabulary 41, 15 of 41 tokens have a vector" in result.stdout
    table, words = embedding(Path("run/model.safetensors"))
    given = np.array([float(number) for number in file.read_text().splitlines()[1].split()[1:]])
    assert not np.isin(table[words.index("w0")][:], given.astype(np.float32))[table[0] != 0].all()


def test_the_size_is_that_of_the_vectors(
    run: Run, tiny_classifier: list[str], tiny_tagger: list[str], file: Path
) -> None:
    for task, flags in ("classifier", tiny_classifier), ("tagger", tiny_tagger):
        given = ["--hidden-size", 40, "--vectors", file, "--max-steps", 5, "--quiet", "--out", task]
        result = run("train", task, *flags, *given)
        assert result.exit_code == 0, result.output
        assert load_model(Path(task) / "model.safetensors").model.chain.layers[0].size == SIZE


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--freeze-vectors", "--freeze-vectors needs --vectors, a file of word vectors; give it too"),
        ("--vectors {} --level char", "--vectors are of words, but --level is char"),
        ("--vectors {} --embedding-size 7", "have 12 numbers, but --embedding-size is 7; make it 12, or"),
        ("--vectors {} --output-group 41", "--vectors does not go with --output-group"),
        ("--vectors {} --start-topology run", "--vectors does not go with --start-topology"),
        ("--vectors {} --method snip", "--vectors does not go with --method snip, which draws its weights"),
        ("--vectors {} --freeze-vectors --method gmp", "--freeze-vectors does not go with --method gmp"),
        ("--vectors none.vec", "there is no file none.vec"),
        ("--vectors text.txt", "text.txt is not a word and 9 numbers"),
    ],
)
def test_what_does_not_go_together(
    run: Run, tiny: list[str], file: Path, flags: str, message: str, tmp_path: Path
) -> None:
    result = run("train", "lm", *tiny, "--out", "new", *flags.format(file).split())
    assert result.exit_code != 0
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "new").exists()
