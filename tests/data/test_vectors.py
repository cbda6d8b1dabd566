from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from truesparse.data import vectors
from truesparse.data.vectors import read_vectors, vector_size
from truesparse.errors import TruesparseError, UsageError

TOKENS = ("the", "<unk>", "a b", "x", "é")
ROWS = {"the": [0.5, -2, 0.25], "a b": [3, 0, -0.125], "é": [-0.75, 1e-3, 8], "other": [100, 100, 100]}
NUMBERS = {word: np.array(row, np.float32) for word, row in ROWS.items()}


def write(path: Path, header: str = "", end: str = "", separator: str = " ", bom: str = "") -> Path:
    lines = [separator.join([word, *map(str, row)]) + end for word, row in ROWS.items()]
    data = (bom + "\n".join([*([header] if header else []), *lines, ""])).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def dense(found: vectors.WordVectors) -> np.ndarray:
    table = np.zeros((len(TOKENS), 3), np.float32)
    table.reshape(-1)[found.places] = found.values
    return table


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("word2vec.txt", {"header": "4 3"}),
        ("glove.txt", {}),
        ("glove.txt.gz", {}),
        ("fasttext.vec", {"header": "4 3", "end": " "}),
        ("tabs.txt", {"separator": "\t", "bom": "\ufeff"}),
        ("header.txt.gz", {"header": "4 3", "bom": "\ufeff", "end": "\r"}),
    ],
)
def test_every_form_is_read(tmp_path: Path, name: str, how: dict[str, str]) -> None:
    file = write(tmp_path / name, **how)
    assert vector_size(file) == 3
    found = read_vectors(file, TOKENS, 3, 100)
    assert found.found.tolist() == [True, False, True, False, True]
    expected = np.zeros((5, 3), np.float32)
    for row, token in enumerate(TOKENS):
        expected[row] = NUMBERS.get(token, 0)
    np.testing.assert_array_equal(dense(found), expected)
    assert (np.diff(found.places) > 0).all()


@pytest.mark.parametrize("waiting", [1, 1 << 18])
def test_only_the_largest_numbers_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waiting: int
) -> None:
    monkeypatch.setattr(vectors, "_WAITING", waiting)
    found = read_vectors(write(tmp_path / "v"), TOKENS, 3, 4)
    assert sorted(found.values.tolist()) == [-2, -0.75, 3, 8]
    assert sorted(found.largest(2).values.tolist()) == [3, 8]
    assert found.largest(9) is found


def test_the_first_of_two_lines_of_a_word_counts(tmp_path: Path) -> None:
    (tmp_path / "v").write_text("x 1\nx 2\nthe 3\n")
    assert read_vectors(tmp_path / "v", TOKENS, 1, 9).values.tolist() == [3, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "the 1 2 3\nx 1 2\n",
            "line 2 of .* is not a word and 3 numbers; mend it, or save the vectors as",
        ),
        ("4 3\nthe 1 2 3\n\nx 1 2 3\n", "line 3 of .* is not a word and 3 numbers"),
        ("the 1 2 3\nx 1 2 3 4\n", "line 2 of .* is not a word and 3 numbers"),
        ("the 1 2 3\nx 1 two 3\n", "line 2 of .* is not a word and 3 numbers"),
        ("the 1 2 3\nx 1 nan 3\n", "line 2 of .* is not finite numbers"),
        ("the 1 2 3\nx 1 1e39 3\n", "line 2 of .* is not finite numbers"),
        ("the\n", "line 1 of .* is not a word and numbers"),
        ("", "none of the 5 tokens of the vocabulary has a vector in"),
        ("The 1 2 3\n", "none of the 5 tokens .* capitals as the text has them"),
        ("the 1 2\n", "have 2 numbers, but embedding_size is 3; make it 2, or leave it out"),
        ("3000000 3\nthe \x00\x01\x02\x80abc\n", "line 2 of .* is not a word and 3 numbers"),
        ("x" * (1 << 20), "line 1 of .* is not a word and numbers"),
    ],
)
def test_files_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "v").write_text(text, encoding="latin-1")
    with pytest.raises(TruesparseError, match=message):
        read_vectors(tmp_path / "v", TOKENS, 3, 9)


def test_no_file_no_vectors_and_another_encoding(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        vector_size(tmp_path / "none")
    (tmp_path / "empty").write_text("")
    with pytest.raises(TruesparseError, match="has no vectors"):
        vector_size(tmp_path / "empty")
    (tmp_path / "wide").write_text("the 1 2", encoding="utf-16")
    with pytest.raises(TruesparseError, match=r"is not UTF-8 text: it is UTF-16"):
        vector_size(tmp_path / "wide")
