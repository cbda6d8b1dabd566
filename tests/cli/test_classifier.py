from __future__ import annotations

import csv
import gzip
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from command_helpers import OF_A_RUN

RESULTS = ["valid_accuracy", "test_accuracy", "test_macro_f1", "majority_accuracy", *OF_A_RUN]


@pytest.fixture
def trained(run, tiny_classifier: list[str]) -> dict[str, float]:
    """Results of a run in the folder `run`."""
    result = run("train", "classifier", *tiny_classifier, "--out", "run", "--quiet", "--json")
    return json.loads(result.stdout)


def table(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def test_lines_and_results(run, tiny_classifier: list[str], tmp_path: Path) -> None:
    result = run("train", "classifier", *tiny_classifier)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.endswith("-reviews")
    for part in (
        "243 / 27 / 30 texts to train / validate / test, 3 labels, vocabulary ",
        "93 steps, 31 an epoch",
        "step      31  validation accuracy",
        "topology update:",
        "; always the most frequent label ",
        f"truesparse predict {folder.relative_to(tmp_path)} FILE",
    ):
        assert part in result.stdout
    assert "perplexity" not in result.stdout


def test_results_as_json_and_another_run_of_the_same_seed(run, trained, tiny_classifier: list[str]) -> None:
    assert list(trained) == RESULTS
    again = run("train", "classifier", *tiny_classifier, "--out", "again", "--json")
    assert "validation accuracy" in again.stderr
    assert json.loads(again.stdout)["test_accuracy"] == trained["test_accuracy"]


def test_it_resumes(run, tiny_classifier: list[str]) -> None:
    run("train", "classifier", *tiny_classifier, "--max-steps", 5, "--out", "run", "--quiet")
    result = run("train", "classifier", "--resume", "run", "--max-steps", 8, "--quiet", "--json")
    assert json.loads(result.stdout)["steps"] == 8
    other = run("train", "lm", "--resume", "run")
    assert other.exit_code == 2
    assert "is for truesparse train classifier" in other.stderr


def test_evaluate(run, trained: dict[str, float], labelled_file: Path) -> None:
    result = json.loads(run("evaluate", "run", "--json").stdout)
    assert list(result) == ["loss", "accuracy", "macro_f1", "texts", "labels", "confusion"]
    assert result["accuracy"] == trained["test_accuracy"]
    assert result["labels"] == ["bad", "fair", "good"]
    matrix = result["confusion"]
    assert sum(map(sum, matrix)) == result["texts"] == 30
    assert sum(matrix[k][k] for k in range(3)) / 30 == result["accuracy"]
    shown = run("evaluate", "run", "--data", labelled_file).stdout
    assert shown.startswith("accuracy ")
    assert "over 300 texts)" in shown
    assert [line.split()[0] for line in shown.splitlines()[-3:]] == ["bad", "fair", "good"]


def test_predict_lines_and_columns(run, trained, tmp_path: Path) -> None:
    texts = ["w1 great w2", "AWFUL, w3!", "so-so"]
    (tmp_path / "texts.txt").write_text("\n".join(texts))
    rows = "".join(f'{k},"{text}"\n' for k, text in enumerate(texts))
    (tmp_path / "texts.csv").write_text(f"number,text\n{rows}")
    (tmp_path / "other.csv.gz").write_bytes(gzip.compress(f"number,body\n{rows}".encode()))
    header, *lines = table(run("predict", "run", "texts.txt").stdout)
    assert header == ["label", "p(bad)", "p(fair)", "p(good)"]
    assert [line[0] for line in lines] == ["good", "bad", "fair"]
    assert [float(sum(map(float, line[1:]))) for line in lines] == pytest.approx([1, 1, 1], abs=1e-5)
    assert table(run("predict", "run", "texts.csv").stdout) == [header, *lines]
    assert run("predict", "run", "other.csv.gz", "--text-column", "body", "--out", "out.csv").stdout == ""
    assert table((tmp_path / "out.csv").read_text()) == [header, *lines]
    first = json.loads(run("predict", "run", "texts.txt", "--json").stdout.splitlines()[0])
    assert first["label"] == "good"
    assert max(first["probabilities"], key=first["probabilities"].get) == "good"


def test_predictions_come_as_soon_as_the_texts_have(run, trained) -> None:
    program = [sys.executable, "-c", "from truesparse.cli import main; main()", "predict", "run", "-"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"label,")
        for text, label in ((b"great\n", b"good"), (b"awful\n", b"bad")):
            process.stdin.write(text)
            process.stdin.flush()
            assert process.stdout.readline().startswith(label)
        process.stdin.close()
        assert process.stdout.read() == b""


def test_predict_leaves_no_partial_file(run, trained, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_bytes(b"great\n" * 100 + b"\xff\n")
    before = set(tmp_path.iterdir())
    result = run("predict", "run", "texts.txt", "--out", "out.csv")
    assert result.exit_code == 1
    assert result.stderr.startswith("truesparse: line 101 of texts.txt is not UTF-8 text: the byte 0xff ")
    assert set(tmp_path.iterdir()) == before
    printed = run("predict", "run", "texts.txt")
    assert printed.exit_code == 1
    assert len(table(printed.stdout)) == 1 + 100


def test_predict_gives_a_text_without_words_an_empty_row(run, trained, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("great\n\n<br>\nawful\n")
    result = run("predict", "run", "texts.txt")
    assert result.exit_code == 0
    assert [line[0] for line in table(result.stdout)] == ["label", "good", "", "", "bad"]
    assert table(result.stdout)[2] == ["", "", "", ""]
    assert "2 of the texts have no words, the first in line 2" in result.stderr
    lines = run("predict", "run", "texts.txt", "--json").stdout.splitlines()
    assert json.loads(lines[1]) == {"label": None, "probabilities": None}
    assert json.loads(lines[3])["label"] == "bad"


def test_predict_reads_other_line_ends_endings_and_encodings(run, trained, tmp_path: Path) -> None:
    (tmp_path / "lf.txt").write_bytes(b"great\nawful\n")
    (tmp_path / "cr.txt").write_bytes(b"great\rawful\r")
    (tmp_path / "utf16.txt").write_bytes("great\r\nawful\r\n".encode("utf-16"))
    (tmp_path / "NEW.CSV").write_bytes(b"label;text\nbad;great\ngood;awful\n")
    expected = run("predict", "run", "lf.txt").stdout
    for name in ("cr.txt", "utf16.txt", "NEW.CSV"):
        assert run("predict", "run", name).stdout == expected


@pytest.fixture
def bad_files(tmp_path: Path) -> None:
    good = "label,text\n" + "good,fine words\nbad,other words\n" * 20
    files = {
        "columns.csv": "class,review\na,b\n",
        "header.csv": "label,text\n",
        "void.csv": "",
        "empty.csv": good + "good,\n",
        "marks.csv": good + "good,<br />\n",
        "unlabelled.csv": good + ",words\n",
        "one.csv": "label,text\n" + "good,fine words\n" * 20,
        "single.csv": good + "fair,words\n",
        "wide.csv": good + "good,fine, words\n",
        "quote.csv": good + '"good,fine words\n',
        "small.csv": "label,text\n" + "good,fine words\nbad,other words\n" * 2,
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "latin.csv").write_bytes(good.encode() + "good,caf\xe9\n".encode("latin-1"))
    (tmp_path / "sheet.csv").write_bytes(b"PK\x03\x04" + bytes(60))
    (tmp_path / "plain.csv.gz").write_text(good)
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(good.encode())[:-9])
    (tmp_path / "folder").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "train.csv").write_text(good)
    (tmp_path / "other" / "test.csv").write_text("label,text\ngood,words\nugly,words\n")


@pytest.mark.parametrize(
    ("data", "code", "sentence"),
    [
        ("none.csv", 2, "there is no file none.csv"),
        ("columns.csv", 2, "columns.csv has no column 'label'; its first row has class, review"),
        ("header.csv", 1, "header.csv has no rows but the names of its columns"),
        ("void.csv", 1, "void.csv is empty"),
        ("empty.csv", 1, "row 42 of empty.csv has an empty text; take the row out"),
        ("marks.csv", 1, "row 42 of marks.csv has no words in its text"),
        ("unlabelled.csv", 1, "row 42 of unlabelled.csv has no label"),
        ("one.csv", 1, "all 16 training rows of one.csv have the label 'good'; a classifier needs two"),
        ("single.csv", 1, "the label 'fair' has only one training row, row 42 of single.csv"),
        ("wide.csv", 1, "row 42 of wide.csv has 3 columns, but its first row has 2"),
        ("quote.csv", 1, "row 42 of quote.csv is not CSV"),
        ("small.csv", 1, "small.csv has too few rows of each label"),
        ("latin.csv", 1, "row 42 of latin.csv is not UTF-8 text: the byte 0xe9 does not fit"),
        ("sheet.csv", 1, "sheet.csv is a zip archive or a spreadsheet"),
        ("plain.csv.gz", 1, "plain.csv.gz is not a gzip file"),
        ("cut.csv.gz", 1, "cut.csv.gz is cut short or damaged"),
        ("folder", 2, "the folder folder has no train.csv"),
        ("other", 1, "row 3 of other/test.csv has the label 'ugly', which no training row has"),
    ],
)
def test_bad_data(run, bad_files: None, tmp_path: Path, data: str, code: int, sentence: str) -> None:
    before = set(tmp_path.iterdir())
    result = run("train", "classifier", "--data", data, "--out", "run")
    assert result.exit_code == code
    assert result.stderr.startswith("truesparse: ")
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1
    assert set(tmp_path.iterdir()) == before


def test_a_file_without_labels_is_only_classified(run, trained, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for file in ("test.csv", "folder/test.csv"):
        (tmp_path / file).write_text("id,text\n1," + "fine words " * 5 + "\n")
    for arguments in (("train", "classifier", "--data", "test.csv"), ("evaluate", "run", "--data", "folder")):
        result = run(*arguments)
        assert result.exit_code == 2
        assert "test.csv has no column 'label'; its first row has id, text" in result.stderr
        assert "or if it has none" in result.stderr
        assert "classify it, with truesparse predict" in result.stderr
    assert run("evaluate", "run", "--data", "test.csv").stderr.endswith("truesparse predict\n")
    assert run("predict", "run", "test.csv").exit_code == 0


def test_commands_for_the_other_task(run, tiny: list[str], trained, labelled_file: Path) -> None:
    run("train", "lm", *tiny, "--max-steps", 3, "--out", "lm", "--quiet")
    for arguments, sentence in (
        (("predict", "lm", labelled_file), "is a language model, not a classifier"),
        (("evaluate", "lm", "--text-column", "x"), "is a language model, whose text has no columns"),
        (("generate", "run"), "is a classifier"),
        (("train", "classifier"), "--data is missing"),
        (("train", "classifier", "--bptt", "3"), "--bptt is for truesparse train lm, not for classifier"),
    ):
        result = run(*arguments)
        assert result.exit_code in (1, 2)
        assert sentence in result.stderr


def test_patience_is_said(run, tiny_classifier: list[str]) -> None:
    flags = ["--patience", "1", "--lr", "1e-9", "--log", "csv", "--calibrate"]
    result = run("train", "classifier", *tiny_classifier, *flags, "--out", "run")
    assert result.exit_code == 0, result.output
    assert "ended at step 62 by --patience" in result.stdout
    assert "not calibrated: the scores say almost nothing about the labels of the validation" in result.stdout
    assert "metrics.csv" in {path.name for path in Path("run").iterdir()}
    again = run("train", "classifier", "--resume", "run", "--patience", "2", "--quiet", "--json")
    assert json.loads(again.stdout)["steps"] == 93
