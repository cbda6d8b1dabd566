"""Reading corpora: layouts, splits, the built-in text, bad input."""

import bz2
import gzip
import lzma
import os
import sys

import numpy as np
import pytest

from truesparse.data import Vocabulary, load_corpus, load_evaluation_text, unigram_perplexity
from truesparse.errors import TruesparseError, UsageError

pytestmark = pytest.mark.usefixtures("command")

PARTS = {
    "train": "the cat sat on the mat\n\n the dog sat\n",
    "valid": "the cat\n",
    "test": "the dog on\nthe mat\n",
}

LAYOUTS = [
    {"train": "ptb.train.txt", "valid": "ptb.valid.txt", "test": "ptb.test.txt"},
    {"train": "wiki.train.tokens", "valid": "wiki.valid.tokens", "test": "wiki.test.tokens"},
    {"train": "wiki.train.shuffled.tokens", "valid": "wiki.valid.tokens", "test": "wiki.test.tokens"},
    {"train": "train.txt", "valid": "valid.txt", "test": "test.txt"},
    {"train": "train.txt", "valid": "val.txt", "test": "test.txt"},
    {"train": "train.txt", "valid": "dev.txt", "test": "test.txt"},
]


@pytest.fixture
def write(tmp_path):
    """Write files, given as name to text or bytes, into a folder; give back the folder."""

    def write_files(files, folder=tmp_path):
        for name, content in files.items():
            (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return folder

    return write_files


def a_text(lines=400):
    """Lines of seven words from a small vocabulary, each line different."""
    rng = np.random.default_rng(0)
    return "".join(" ".join(f"w{n}" for n in rng.integers(0, 30, 7)) + f" line{k}.\n" for k in range(lines))


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout["train"] + "+" + layout["valid"])
def test_folder_layouts(write, layout):
    folder = write({layout[part]: text for part, text in PARTS.items()})
    corpus = load_corpus(folder)
    assert corpus.vocabulary.tokens[:3] == ("the", "<eos>", "sat")
    assert [len(part) for part in (corpus.train, corpus.valid, corpus.test)] == [12, 3, 7]
    assert corpus.train.dtype == np.int32
    assert corpus.vocabulary.decode(corpus.test) == PARTS["test"]
    assert corpus.name == folder.name
    assert "12 / 3 / 7 words" in corpus.description


def test_words_that_training_lacks_become_unknown(write):
    corpus = load_corpus(write({"train.txt": "a a b\n", "valid.txt": "a zebra\n", "test.txt": "b\n"}))
    assert corpus.vocabulary.tokens == ("a", "b", "<eos>", "<unk>")
    assert corpus.valid.tolist() == [0, 3, 2]


def test_no_unknown_token_without_need(write):
    corpus = load_corpus(write({"train.txt": "a a b\n", "valid.txt": "a\n", "test.txt": "b\n"}))
    assert "<unk>" not in corpus.vocabulary


def test_characters_of_a_folder(write):
    corpus = load_corpus(write({f"{part}.txt": text for part, text in PARTS.items()}), "char")
    assert corpus.vocabulary.decode(corpus.train) == PARTS["train"]
    assert corpus.vocabulary.level == "char"


def test_one_file_is_split_at_line_ends(write):
    text = a_text()
    corpus = load_corpus(write({"book.txt": text}) / "book.txt", "char")
    parts = [corpus.vocabulary.decode(part) for part in (corpus.train, corpus.valid, corpus.test)]
    assert "".join(parts) == text
    assert all(part.endswith("\n") for part in parts)
    np.testing.assert_allclose([len(part) / len(text) for part in parts], [0.9, 0.05, 0.05], atol=0.005)
    assert corpus.name == "book"


def test_words_of_one_file_are_plain_text(write):
    corpus = load_corpus(write({"book.txt": a_text()}) / "book.txt")
    assert "." in corpus.vocabulary
    assert "line7" not in corpus.vocabulary
    first = corpus.vocabulary.decode(corpus.train).split("\n")[0]
    assert first.endswith(" <unk> .")
    assert len(corpus.train) + len(corpus.valid) + len(corpus.test) == 400 * 10


@pytest.mark.parametrize("text", ["a b c", "a b c d e f g h i j" * 30, "\n\n".join("abc"), "a" + "\nb" * 3])
@pytest.mark.parametrize("level", ["word", "char"])
def test_no_part_is_empty(write, text, level):
    corpus = load_corpus(write({"short.txt": text}) / "short.txt", level)
    assert min(len(corpus.train), len(corpus.valid), len(corpus.test)) >= 1


def test_line_ends_of_other_systems_and_byte_order_mark(write):
    folder = write(
        {"unix.txt": a_text(), "other.txt": b"\xef\xbb\xbf" + a_text().replace("\n", "\r\n").encode()}
    )
    unix, other = (load_corpus(folder / name, "char") for name in ("unix.txt", "other.txt"))
    assert unix.vocabulary == other.vocabulary
    np.testing.assert_array_equal(unix.train, other.train)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_other_encodings_packed_or_not(write, pack):
    folder = write({"unix.txt": a_text(), "OTHER.TXT": pack(a_text().replace("\n", "\r").encode("utf-16"))})
    unix, other = (load_corpus(folder / name, "char") for name in ("unix.txt", "OTHER.TXT"))
    np.testing.assert_array_equal(unix.train, other.train)


def test_files_that_are_no_text_are_named(write):
    for content, what in (
        (b"PK\x03\x04", "spreadsheet"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"PAR1", "Parquet"),
    ):
        file = write({"book.txt": content + bytes(99)}) / "book.txt"
        with pytest.raises(TruesparseError, match=what):
            load_corpus(file)


def test_a_given_vocabulary_decides(write):
    folder = write({"book.txt": a_text(), "other.txt": "W1 w2, zebra\n" * 40})
    vocabulary = load_corpus(folder / "book.txt").vocabulary
    corpus = load_corpus(folder / "other.txt", "char", vocabulary)
    assert corpus.vocabulary is vocabulary
    assert vocabulary.decode(corpus.valid).startswith("w1 w2 <unk> <unk>\n")


def test_a_vocabulary_of_plain_text_reads_folders_as_plain_text(write):
    folder = write({"book.txt": a_text(), "train.txt": "W1.", "valid.txt": "W2.", "test.txt": "W3."})
    vocabulary = load_corpus(folder / "book.txt").vocabulary
    assert vocabulary.decode(load_corpus(folder, vocabulary=vocabulary).train) == "w1 .\n"


def test_evaluation_text_is_the_part_that_training_kept_apart(write):
    file = write({"book.txt": a_text()}) / "book.txt"
    corpus = load_corpus(file)
    for split in ("train", "valid", "test"):
        np.testing.assert_array_equal(
            load_evaluation_text(file, corpus.vocabulary, split), getattr(corpus, split)
        )
    everything = load_evaluation_text(file, corpus.vocabulary, "all")
    np.testing.assert_array_equal(everything, np.concatenate([corpus.train, corpus.valid, corpus.test]))


@pytest.mark.parametrize(("name", "pack"), [("TEST.TXT", bytes), ("test.txt.gz", gzip.compress)])
def test_evaluation_text_of_a_folder_without_the_other_parts(tmp_path, name, pack):
    (tmp_path / name).write_bytes(pack(b"a b\n"))
    ids = load_evaluation_text(tmp_path, Vocabulary(("a", "b", "<eos>")))
    assert ids.tolist() == [0, 1, 2]


def test_unknown_split_is_refused():
    with pytest.raises(UsageError, match="dev"):
        load_evaluation_text(None, load_corpus().vocabulary, "dev")


@pytest.mark.parametrize("level", ["word", "char"])
def test_built_in_text(level):
    corpus = load_corpus(level=level)
    sizes = [len(corpus.train), len(corpus.valid), len(corpus.test)]
    assert min(sizes) > 2000
    assert sizes[0] > 50_000
    assert corpus.name == "python-docs"
    assert max(corpus.train.max(), corpus.valid.max(), corpus.test.max()) < len(corpus.vocabulary)


def test_built_in_validation_is_not_in_training():
    corpus = load_corpus()

    def passages(ids, n=12):
        return {tuple(ids[k : k + n].tolist()) for k in range(len(ids) - n)}

    held_out = passages(corpus.valid) | passages(corpus.test)
    assert len(held_out & passages(corpus.train)) < 0.02 * len(held_out)


def test_unigram_perplexity_of_hand_made_counts():
    train, ids = np.array([0, 0, 0, 1], np.int32), np.array([0, 1, 2], np.int32)
    expected = (4 / 7 * 2 / 7 * 1 / 7) ** (-1 / 3)
    assert unigram_perplexity(train, ids, 3) == pytest.approx(expected)


def test_unigram_perplexity_of_uniform_text_is_its_vocabulary():
    ids = np.tile(np.arange(50, dtype=np.int32), 20)
    assert unigram_perplexity(ids, ids, 50) == pytest.approx(50)


def test_missing_path(tmp_path):
    with pytest.raises(UsageError, match=r"no file or folder .*nowhere.*--data"):
        load_corpus(tmp_path / "nowhere")


def test_folder_without_the_files_lists_what_was_looked_for(write):
    folder = write({"train.txt": "a\n", "readme.md": "b\n"})
    with pytest.raises(
        UsageError, match=r"ptb\.train\.txt.*wiki\.train\.tokens.*valid\.txt \| val\.txt \| dev\.txt"
    ):
        load_corpus(folder)


@pytest.mark.parametrize("content", ["", "\n\n \n"])
@pytest.mark.parametrize("level", ["word", "char"])
def test_empty_file(write, content, level):
    folder = write({"train.txt": "a b\n", "valid.txt": content, "test.txt": "a\n"})
    with pytest.raises(TruesparseError, match=r"valid\.txt has no text"):
        load_corpus(folder, level)
    with pytest.raises(TruesparseError, match=r"valid\.txt has no text"):
        load_corpus(folder / "valid.txt", level)


def test_text_too_short_to_split(write):
    with pytest.raises(TruesparseError, match="has 2 tokens"):
        load_corpus(write({"short.txt": "a"}) / "short.txt")


def test_text_that_is_not_utf8_names_file_and_byte(write):
    file = write({"latin.txt": b"caf\xe9 au lait\n"}) / "latin.txt"
    with pytest.raises(TruesparseError, match=r"latin\.txt is not UTF-8 text: byte 3 \(0xe9\)"):
        load_corpus(file)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may read everything")
def test_unreadable_file(write):
    file = write({"secret.txt": "a b c\n"}) / "secret.txt"
    file.chmod(0)
    with pytest.raises(TruesparseError, match=r"cannot read .*secret\.txt"):
        load_corpus(file)


def test_unknown_level():
    with pytest.raises(UsageError, match="syllable"):
        load_corpus(level="syllable")


def test_python_without_the_built_in_text(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(TruesparseError, match="--data"):
        load_corpus()
