from __future__ import annotations

import gzip
import io
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from truesparse.data.files import open_text
from truesparse.errors import TruesparseError
from truesparse.tasks.steps import pieces
from truesparse.tasks.tagger.data import SENTENCES, Sentences, lookup, read
from truesparse.tasks.tagger.data import load_data as load
from truesparse.tasks.tagger.reading import TokenColumns, layout_of, read_sentences

pytestmark = pytest.mark.usefixtures("command")

AUTOMATIC = TokenColumns()
LINE = '{"tokens": ["a"], "labels": ["O"]}'


def sentences(text: str, name: str = "x.conll", columns: TokenColumns = AUTOMATIC, labelled: bool = True):
    """Tokens and labels of each sentence."""
    with open_text(io.BytesIO(text.encode()), name) as file:
        chunks = list(read_sentences(file, layout_of(name, "conll"), columns, labelled))
    return [(sentence.tokens, sentence.labels) for chunk in chunks for sentence in chunk]


DOG = [(["the", "dog"], ["DET", "NOUN"]), (["barks"], ["VERB"])]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tabs.conll", "the\tDET\ndog\tNOUN\n\nbarks\tVERB\n"),
        ("spaces.txt", "the DET\ndog  NOUN \n   \n\nbarks VERB"),
        ("crlf.iob", "the\tDET\r\ndog\tNOUN\r\n\r\nbarks\tVERB\r\n"),
        ("more.conll", "the x y DET\ndog x y NOUN\n\nbarks x y VERB\n"),
        ("documents.conll", "-DOCSTART- -X- O O\n\nthe DET\ndog NOUN\n-DOCSTART- -X- O O\nbarks VERB\n"),
        (
            "universal.conllu",
            "# sent_id = 1\n# text = the dog\n1\tthe\tthe\tDET\t_\n1.1\tnone\t_\tX\t_\n2\tdog\tdog\tNOUN\n\n"
            "# newpar\n1-2\tbarks\t_\t_\t_\n1\tbarks\tbark\tVERB\t_\n\n",
        ),
        ("comments.conll", "# newdoc\n# a b c\nthe DET\ndog NOUN\n\n# text = barks\nbarks VERB\n"),
        ("json.jsonl", '{"tokens": ["the", "dog"], "labels": ["DET", "NOUN"]}\n'
         '\n{"tokens": ["barks"], "tags": ["VERB"], "id": 3}\n'),
        ("hub.json", '{"tokens": ["the", "dog"], "ner_tags": ["DET", "NOUN"]}\n'
         '{"ner_tags": ["VERB"], "tokens": ["barks"]}'),
    ],
)  # fmt: skip
def test_forms_of_files(name: str, text: str) -> None:
    assert sentences(text, name) == DOG
    if not name.endswith("json"):
        return
    assert sentences('{"tokens": ["a", "b"], "labels": [0, 12]}', "x.jsonl") == [(["a", "b"], ["0", "12"])]


def test_a_token_that_looks_like_a_comment() -> None:
    """Within a sentence always; before one if it has as many columns as the others, and is not of CoNLL-U."""
    text = "#ff O\nBob B-PER\n# O\n\n# SYM\n9 NUM\n"
    assert sentences(text) == [
        (["#ff", "Bob", "#"], ["O", "B-PER", "O"]),
        (["#", "9"], ["SYM", "NUM"]),
    ]
    four = "# sent_id = 3\n# # B-NP x\n9 CD I-NP y\n\n#begin document (a); part 000\n1 CD B-NP z\n"
    assert sentences(four) == [(["#", "9"], ["x", "y"]), (["1"], ["z"])]
    tabs = "#\tO\n\n# text = #\n#\tO\nx\tB\n"
    assert sentences(tabs) == [(["#"], ["O"]), (["#", "x"], ["O", "B"])]


def test_spaces_belong_to_tokens_where_tabs_part_columns() -> None:
    assert sentences("New York\tLOC\nx\tO\n") == [(["New York", "x"], ["LOC", "O"])]
    assert sentences("10\u00a0000 NUM\n") == [(["10\u00a0000"], ["NUM"])]


def test_columns_that_are_given() -> None:
    text = "1\tthe\tDET\tO\n2\tdog\tNOUN\tB\n"
    for columns in (TokenColumns("2", "3"), TokenColumns("-3", "-2"), TokenColumns("2", "-2")):
        assert sentences(text, columns=columns) == [(["the", "dog"], ["DET", "NOUN"])]
    line = '{"words": ["a"], "pos": ["X"], "labels": ["Y"]}'
    assert sentences(line, "x.jsonl", TokenColumns("words", "pos")) == [(["a"], ["X"])]
    assert sentences("the\n\ndog\tNOUN\n", labelled=False) == [(["the"], []), (["dog\tNOUN"], [])]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.conll", "a O\nb\n", "line 2 of x.conll has no label, but 1 column; part columns by spaces"),
        ("x.conll", "a\nb\n", "line 1 of x.conll has no label, but 1 column; .* which has the labels"),
        ("x.conll", "a\tO\nb O\n", "line 2 of x.conll has no label, but 1 column; part columns by a tab, as"),
        ("x.conll", "a\tO\n\nb\t \n", "line 3 of x.conll has no label, but 2 columns"),
        ("x.conll", "a\tO\n\tO\n", "line 2 of x.conll has no token, but 2 columns"),
        ("x.conllu", "1\ta\tb\n", "line 1 of x.conllu has no label, but 3 columns; .*--tag-column"),
        ("x.conll", "a O\n\n\udcff O\n", "line 3 of x.conll is not UTF-8 text: the byte 0xff"),
        ("x.jsonl", '{"tokens": ["a"]}', "has no labels or tags or ner_tags, but tokens; say"),
        ("x.jsonl", '{"words": ["a"]}', "has no tokens, but words; say with --token-column"),
        ("x.jsonl", "{}", "line 1 of x.jsonl has no tokens, but nothing;"),
        (
            "x.jsonl",
            '{"tokens": ["a"], "labels": ["O"]}\n{"tokens": ["a", "b"], "labels": ["O"]}',
            "line 2 of x.jsonl differs in its numbers of tokens, 2, and labels, 1;",
        ),
        ("x.jsonl", '{"tokens": "a", "labels": ["O"]}', "has 'a' as tokens; it must be a list"),
        ("x.jsonl", '{"tokens": [3], "labels": ["O"]}', "has 3 among its tokens, which is no"),
        ("x.jsonl", '{"tokens": [""], "labels": ["O"]}', "line 1 of x.jsonl has '' among its tokens"),
        ("x.jsonl", '{"tokens": ["a"], "labels": [null]}', "has the label None, which is none"),
        ("x.jsonl", '{"tokens": ["a"], "labels": [true]}', "has the label True, which is none"),
        ("x.jsonl", '{"tokens": ["\\ud800"], "labels": ["O"]}', "has half a pair of surrogates"),
        ("x.jsonl", "[1]", "line 1 of x.jsonl is no JSON object; write one in each line, such as"),
        ("x.jsonl", "[" * 100_000, "line 1 of x.jsonl is no JSON object"),
        ("x.json", "{\n", "line 1 of x.json is no JSON object"),
    ],
)  # fmt: skip
def test_lines_that_cannot_be(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(TruesparseError, match=message.replace("x.", r".*x\.")) as raised:
        read(tmp_path / name, TokenColumns())
    assert "\n" not in str(raised.value)


def test_what_was_before_a_mistake_comes_before_its_error() -> None:
    for name, text in (("x.conll", "a O\n\nb O\n\nc\n"), ("x.jsonl", f"{LINE}\n{LINE}\n[")):
        with open_text(io.BytesIO(text.encode()), name) as file:
            chunks = read_sentences(file, layout_of(name, ""), TokenColumns(), True)
            assert len(next(chunks)) == 2
            with pytest.raises(TruesparseError, match="line"):
                next(chunks)


@pytest.mark.parametrize("column", ["0", "name", "1.5"])
def test_columns_that_cannot_be(tmp_path: Path, column: str) -> None:
    (tmp_path / "x.conll").write_text("a O\n")
    for columns, flag in ((TokenColumns(token=column), "token"), (TokenColumns(tag=column), "tag")):
        with pytest.raises(TruesparseError, match=f"--{flag}-column is '{column}'; .* it must be a number"):
            read(tmp_path / "x.conll", columns)
    with pytest.raises(TruesparseError, match=r"line 1 of .* has no label, but 2 columns"):
        read(tmp_path / "x.conll", TokenColumns(tag="3"))


def write(path: Path, count: int, labels: str = "XY") -> Path:
    """Sentences whose tokens tell which they are."""
    lines = [f"w{number}.{n} {labels[n % len(labels)]}" + "\n" * (1 + (n == 2))
             for number in range(count) for n in range(3)]  # fmt: skip
    (gzip.open if path.suffix == ".gz" else open)(path, "wt").write("".join(lines))
    return path


@pytest.mark.parametrize("ending", [".conll", ".conll.gz", ".txt", "", ".TSV"])
def test_a_folder(tmp_path: Path, ending: str) -> None:
    for stem, count in (("train", 20), ("dev", 3), ("test", 2)):
        write(tmp_path / f"{stem}{ending}", count)
    parts = SENTENCES.read_parts(tmp_path, TokenColumns(), 0.5, 0.5, 1)
    assert [len(parts[part]) for part in ("train", "valid", "test")] == [20, 3, 2]


def test_what_a_folder_lacks_is_taken_out_by_the_seed(tmp_path: Path) -> None:
    file = write(tmp_path / "train.conll", 50)
    write(tmp_path / "test.conll", 2)
    one, two = (SENTENCES.read_parts(path, TokenColumns(), 0.2, 0.1, 3) for path in (file, tmp_path))
    assert [len(part) for part in one.values()] == [36, 9, 5]
    assert [len(part) for part in two.values()] == [40, 10, 2]
    tokens = Counter(token for part in one.values() for token in part.tokens())
    assert tokens == Counter(read(file, TokenColumns()).tokens())
    again, other = (SENTENCES.read_parts(file, TokenColumns(), 0.2, 0.1, seed) for seed in (3, 4))
    assert [s.tokens for s in again["test"].sentences] == [s.tokens for s in one["test"].sentences]
    assert [s.tokens for s in other["test"].sentences] != [s.tokens for s in one["test"].sentences]


def test_the_last_sentence_with_a_label_is_not_taken_out(tmp_path: Path) -> None:
    text = "".join(f"a{number} L{number % 6}\nb O\n\n" for number in range(12))
    (tmp_path / "x.conll").write_text(text)
    for seed in range(20):
        parts = SENTENCES.read_parts(tmp_path / "x.conll", TokenColumns(), 0.45, 0.45, seed)
        assert len(set(parts["train"].labels())) == 7


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"train.conll": ""}, r"train\.conll has no sentences; write a token and its label in each line"),
        ({"train.conll": "# a\n\n-DOCSTART- O\n"}, "has no sentences"),
        (
            {"test.conll": "a O\n"},
            r"has no train\.conll or train\.conll\.gz; give --data another, or one file",
        ),
        (
            {"train.conll": "a O\n" * 9},
            r"too few sentences \(empty lines part them\) to take 0.1 of them",
        ),
        ({"train.conll": "a O\n\n" * 30}, "all training tokens of .* have the label 'O'; a tagger needs two"),
        (
            {"train.conll": "a O\nb X\n\n" * 20, "valid.conll": "a X\n\nb O\nc Z\n"},
            r"begins in line 3 of .*valid\.conll, 'c' has the label 'Z', which no training"
            r" token has \(they have O, X\); mend the label, or add training sentences with it",
        ),
        (
            {"train.conll": "".join(f"a l{n}\n\n" for n in range(40))},
            "the labels of .* have 40 different values for 40 tokens, so they are no labels; .* --tag-column",
        ),
    ],
)
def test_data_that_cannot_be_learned_from(tmp_path: Path, files: dict[str, str], message: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(TruesparseError, match=message):
        load(tmp_path, TokenColumns(), {"size": 10}, 0.1, 0.1, 1)


def test_numbers_labels_and_words_that_are_not_known(tmp_path: Path) -> None:
    train = "The X\ndog Y\n\nThe X\nCAT Y\n\n"
    for name, text in (("train", train), ("valid", "the X\n"), ("test", "cat Y\n\nbird Y\nThe X\n")):
        (tmp_path / f"{name}.conll").write_text(text)
    data = load(tmp_path, TokenColumns(), {"size": 10}, 0.1, 0.1, 1)
    assert data.labels == ("X", "Y")
    assert data.encoder.vocabulary.tokens == ("<unk>", "The", "dog", "CAT")
    assert data.parts["test"].inputs.values.tolist() == [0, 0, 1]
    assert data.parts["test"].inputs.starts.tolist() == data.parts["test"].labels.starts.tolist() == [0, 1, 3]
    assert data.parts["test"].labels.values.tolist() == [1, 1, 0]
    assert data.description.endswith("2 / 1 / 2 sentences to train / validate / test, 2 labels, vocabulary 4")
    folded = load(tmp_path, TokenColumns(), {"size": 10, "lower_case": True, "min_count": 2}, 0.1, 0.1, 1)
    assert folded.encoder.vocabulary.tokens == ("<unk>", "the")
    assert folded.parts["valid"].inputs.values.tolist() == [1]
    few = load(tmp_path, TokenColumns(), {"size": 2}, 0.1, 0.1, 1)
    assert few.encoder.vocabulary.tokens == ("<unk>", "The")


def test_long_sentences_are_learned_in_pieces() -> None:
    from truesparse.data import Sequences

    whole = Sequences.of([np.arange(n, dtype=np.int32) for n in (3, 7, 4, 1)])
    cut = pieces(whole, 3)
    assert cut.lengths.tolist() == [3, 3, 3, 1, 3, 1, 1]
    assert cut.values is whole.values
    assert pieces(whole, 7).starts.tolist() == whole.starts.tolist()


def test_the_most_frequent_label_of_each_token() -> None:
    def made(text: str) -> Sentences:
        with open_text(io.BytesIO(text.encode()), "x") as file:
            return Sentences("x", [s for c in read_sentences(file, "conll", TokenColumns(), True) for s in c])

    train = made("a X\na Y\na Y\nb X\n\nb Z\nc Z\nd Z\n")
    told = lookup(train, made("a X\nb X\n\nc X\nnever X\n"), ("X", "Y", "Z"))
    assert told.tolist() == [1, 0, 2, 2]  # of X and Z the first; of all labels there are most Z


def test_json_lines_of_predictions_can_be_read_again(tmp_path: Path) -> None:
    line = json.dumps({"tokens": ["a b", "é"], "labels": ["X", "Y"]}, ensure_ascii=False)
    (tmp_path / "x.jsonl").write_text(line)
    assert read(tmp_path / "x.jsonl", TokenColumns()).sentences[0].tokens == ["a b", "é"]
