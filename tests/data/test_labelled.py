import bz2
import csv
import gzip
import lzma
import random
from collections import Counter

import numpy as np
import pytest

from truesparse.data import Columns, load_classification_data
from truesparse.data.labelled import CSV, numbers_of_labels, read_table
from truesparse.errors import TruesparseError, UsageError

pytestmark = pytest.mark.usefixtures("command")

SETTINGS = {"length": 10, "size": 50}


def write(path, rows, header=("label", "text")):
    with (gzip.open if path.suffix == ".gz" else open)(path, "wt", encoding="utf-8", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows([header, *rows])
    return path


def rows(n, seed=0):
    rng = random.Random(seed)
    return [
        (label, f"word{rng.randrange(9)} is {label}") for label in rng.choices(["bad", "good"], [1, 3], k=n)
    ]


def load(path, **more):
    return load_classification_data(path, Columns(), SETTINGS, **more)


@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
def test_a_folder_with_three_files(tmp_path, ending):
    for part, n in (("train", 40), ("dev", 20), ("test", 10)):
        write(tmp_path / f"{part}{ending}", rows(n, n))
    data = load(tmp_path)
    assert [len(part.labels) for part in data.parts.values()] == [40, 20, 10]
    assert data.labels == ("bad", "good")
    assert "40 / 20 / 10 texts to train / validate / test, 2 labels, vocabulary " in data.description
    written = rows(10, 10)
    assert [data.labels[number] for number in data.parts["test"].labels] == [label for label, _ in written]
    starts = data.parts["test"].inputs.starts
    for number, (_, text) in enumerate(written):
        ids = data.parts["test"].inputs.values[starts[number] : starts[number + 1]]
        assert data.encoder.vocabulary.decode(ids).replace("<unk>", text.split()[0]) == text


def test_what_has_no_file_is_taken_from_the_training_rows_the_same_share_of_each_label(tmp_path):
    file = write(tmp_path / "all.csv", rows(200))
    parts = CSV.read_parts(file, Columns(), 0.2, 0.1, seed=5)
    everything = Counter(label for label, _ in rows(200))
    assert sorted(np.concatenate([part.rows for part in parts.values()])) == list(range(2, 202))
    for part, share in (("test", 0.1), ("valid", 0.2)):
        counts = Counter(parts[part].labels)
        for label, count in counts.items():
            left = everything[label] if part == "test" else everything[label] - round(0.1 * everything[label])
            assert count == round(share * left)
    again = CSV.read_parts(file, Columns(), 0.2, 0.1, seed=5)
    assert again["valid"].texts == parts["valid"].texts
    assert CSV.read_parts(file, Columns(), 0.2, 0.1, seed=6)["valid"].texts != parts["valid"].texts
    (tmp_path / "folder").mkdir()
    file.rename(tmp_path / "folder" / "train.csv")
    write(tmp_path / "folder" / "test.csv", rows(30))
    parts = CSV.read_parts(tmp_path / "folder", Columns(), 0.2, 0.1, seed=5)
    assert [len(part) for part in parts.values()] == [160, 40, 30]


def test_labels_that_are_numbers_are_in_the_order_of_numbers(tmp_path):
    file = write(tmp_path / "all.csv", [(str(k % 11), "a text") for k in range(110)])
    assert load(file).labels == tuple(str(k) for k in range(11))


def test_columns_by_name_and_texts_with_lines_and_marks(tmp_path):
    texts = ["one\ntwo", 'quoted "word", comma', "a\u0085b"]
    file = write(tmp_path / "x.csv", [(k, texts[k], str(k % 2)) for k in range(3)], ("id", "body", "class"))
    table = read_table(file, Columns("class", "body"))
    assert table.texts == texts
    assert table.labels == ["0", "1", "0"]
    assert table.rows.tolist() == [2, 3, 4]


def test_a_byte_order_mark_and_other_line_ends(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"\xef\xbb\xbflabel,text\r\na,one\r\n\r\nb,two\r\n")
    table = read_table(tmp_path / "x.csv", Columns())
    assert (table.labels, table.rows.tolist()) == (["a", "b"], [2, 4])


GOOD = "label,text\na,one\nb,two\n"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "all.csv is empty; its first row must have the names of its columns"),
        (b"label,text\n", "all.csv has no rows but the names of its columns"),
        (b"label,body\na,b\n", "has no column 'text'; its first row has label, body; say which one has the"),
        (b"Label,text\na,b\n", "has no column 'label'; did you mean --label-column Label?"),
        (b"label,text\na,one\nb,two,three\n", "row 3 of .*all.csv has 3 columns, but its first row has 2"),
        (b'label,text\na,"one\nb,two\n', "row 2 of .*all.csv is not CSV: unexpected end of data; mend"),
        (b"label,text\na,one\n,two\n", "row 3 of .*all.csv has no label"),
        (b"label,text\na,one\nb,caf\xe9\n", "row 3 of .*all.csv is not UTF-8 text: the byte 0xe9 does"),
        ("label,text\na,one\n".encode("utf-16-le"), "row 1 of .*all.csv is not UTF-8 text"),
        (b"PK\x03\x04xl/worksheets", "is a zip archive or a spreadsheet .*, not text; unpack it, or save"),
        (b"%PDF-1.7", "is a PDF document, not text"),
        (b"label,text,text\na,b,c\n", "has 2 columns 'text'; give those that do not have the texts another"),
        (b"lable;text\na;b\n", "did you mean --label-column lable?"),
        (b"LABEL,text\na,b\n", "did you mean --label-column LABEL?"),
        (b"label:text\na:b\n", "its first row has label:text; part its columns with commas, semicolons, tab"),
        (b"label;text\na;b;c\n", 'put texts with semicolons into "quotes"'),
        (b"label,text\na,o\0ne\n", "row 2 of .*all.csv is not UTF-8 text: it has a zero byte"),
        (GOOD.encode() + b"b, \na,x\n", "row 4 of .*all.csv has an empty text; take the row out"),
        (b"label,text\na,one\na,two\n", "all 2 training rows of .*all.csv have the label 'a'"),
        (GOOD.encode() + b"a,three\n", "the label 'b' has only one training row, row 3 of .*all.csv"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_learned_from(tmp_path, content, sentence):
    (tmp_path / "train.csv").write_bytes(content)
    for part in ("valid", "test"):
        (tmp_path / f"{part}.csv").write_text(GOOD)
    with pytest.raises(TruesparseError, match=sentence.replace("all.csv", "train.csv")):
        load(tmp_path)


def test_marks_alone_are_no_words(tmp_path):
    write(tmp_path / "all.csv", [*rows(40), ("good", "<br />")])
    with pytest.raises(TruesparseError, match=r"row 42 of .*all\.csv has no words in its text"):
        load(tmp_path / "all.csv")


@pytest.mark.parametrize("part", ["valid", "test"])
def test_a_label_that_no_training_row_has(tmp_path, part):
    write(tmp_path / "train.csv", rows(40))
    for name in ("valid", "test"):
        write(tmp_path / f"{name}.csv", [*rows(5), *([("ugly", "x")] if name == part else [])])
    with pytest.raises(
        TruesparseError, match=rf"row 7 of .*{part}\.csv has the label 'ugly', which no training row"
    ):
        load(tmp_path)


def test_files_that_are_not_there_or_not_gzipped(tmp_path):
    with pytest.raises(UsageError, match="there is no file"):
        load(tmp_path / "none.csv")
    with pytest.raises(UsageError, match=r"the folder .* has no train\.csv or train\.csv\.gz"):
        load(tmp_path)
    (tmp_path / "x.csv.gz").write_text(GOOD)
    with pytest.raises(TruesparseError, match="is not a gzip file, as its name says"):
        load(tmp_path / "x.csv.gz")
    whole = gzip.compress((GOOD * 1000).encode())
    (tmp_path / "x.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(TruesparseError, match="is cut short or damaged"):
        load(tmp_path / "x.csv.gz")
    with pytest.raises(TruesparseError, match=r"too few rows of each label to take 0\.1 of them for"):
        load(write(tmp_path / "few.csv", rows(5)))


def test_a_very_long_text(tmp_path):
    write(tmp_path / "x.csv", [("a", "word " * 50_000), ("b", "short")])
    assert len(read_table(tmp_path / "x.csv", Columns()).texts[0]) == 250_000
    assert csv.field_size_limit() == 131_072


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("header", ["label{}text", " label {} text", '"label"{}"text"'])
def test_separators_line_ends_and_spaces_around_names(tmp_path, separator, end, header):
    text = f"{header.format(separator)}{end}a{separator}one{end}b{separator}two{end}"
    (tmp_path / "x.csv").write_bytes(text.encode())
    table = read_table(tmp_path / "x.csv", Columns())
    assert (table.labels, table.texts) == (["a", "b"], ["one", "two"])


@pytest.mark.parametrize("name", ["x.csv", "X.CSV.GZ"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_files_are_told_by_their_first_bytes(tmp_path, name, encoding, pack):
    if name.endswith("GZ") and pack is not gzip.compress:
        name = "x.csv"
    (tmp_path / name).write_bytes(pack("label,text\na,caf\u00e9\n".encode(encoding)))
    assert read_table(tmp_path / name, Columns()).texts == ["caf\u00e9"]


def test_parts_in_capitals_and_with_tabs(tmp_path):
    write(tmp_path / "TRAIN.CSV", rows(40))
    (tmp_path / "Test.tsv").write_text("label\ttext\ngood\tfine\n")
    assert len(load(tmp_path).parts["test"].labels) == 1


def test_a_part_without_labels_is_told_as_such(tmp_path):
    write(tmp_path / "train.csv", rows(40))
    write(tmp_path / "test.csv", [("1", "fine")], ("id", "text"))
    with pytest.raises(UsageError, match=r"test\.csv has no column 'label', so nothing can be measured"):
        load(tmp_path)
    with pytest.raises(UsageError, match=r"or if it has none, .* only classify it, with truesparse predict"):
        load(tmp_path / "test.csv")


def test_what_unpacks_to_far_more_is_refused_early(tmp_path):
    (tmp_path / "x.csv").write_bytes(bz2.compress(b"label,text\na," + bytes([97]) * (1 << 26)))
    with pytest.raises(TruesparseError, match="unpacks to more than 250 times its size"):
        read_table(tmp_path / "x.csv", Columns())


def test_a_column_of_texts_is_no_column_of_labels(tmp_path):
    file = write(tmp_path / "x.csv", [(f"label {k}", "text") for k in range(30)])
    with pytest.raises(TruesparseError, match="has 30 different values in 30 rows, so they are no labels"):
        load(file)


def test_spaces_around_labels_do_not_count(tmp_path):
    table = read_table(write(tmp_path / "x.csv", [("a ", "x"), (" b", "y")]), Columns())
    assert numbers_of_labels(table, (" b", "a ")).tolist() == [1, 0]
    with pytest.raises(TruesparseError, match="differ only in spaces"):
        numbers_of_labels(table, ("a", "a ", "b"))


@pytest.mark.parametrize("fraction", [0.7, 0.99])
def test_parts_that_leave_nothing_to_train_on(tmp_path, fraction):
    (tmp_path / "x.csv").write_text("label,text\n" + "a,some words\nb,other words\n" * 3)
    with pytest.raises(TruesparseError, match=r"leave no rows of .*x\.csv to train on; give a smaller"):
        load(tmp_path / "x.csv", valid_fraction=0.9, test_fraction=fraction)
