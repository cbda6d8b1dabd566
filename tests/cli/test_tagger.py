from __future__ import annotations

import gzip
import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from command_helpers import OF_A_RUN

RESULTS = [
    *("valid_accuracy", "valid_f1", "test_accuracy", "test_f1", "test_precision", "test_recall"),
    *("majority_accuracy", "lookup_accuracy", "lookup_f1"),
    *OF_A_RUN,
]
TAGGED = "mr\tO\nw1\tB-PER\njr\tI-PER\n\nw2\tO\n\n"


@pytest.fixture
def trained(run, tiny_tagger: list[str]) -> dict[str, float]:
    """Results of a run in the folder `run`."""
    result = run("train", "tagger", *tiny_tagger, "--out", "run", "--quiet", "--json")
    return json.loads(result.stdout)


def test_lines_and_results(run, tiny_tagger: list[str], tmp_path: Path) -> None:
    result = run("train", "tagger", *tiny_tagger)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.endswith("-names")
    for part in (
        "324 / 36 / 40 sentences to train / validate / test, 5 labels, vocabulary 24",
        "126 steps, 21 an epoch",
        "step      21  validation F1 ",
        "topology update:",
        "; the most frequent label of each token ",
        f"truesparse predict {folder.relative_to(tmp_path)} FILE",
    ):
        assert part in result.stdout
    assert "perplexity" not in result.stdout


def test_results_as_json_and_another_run_of_the_same_seed(run, trained, tiny_tagger: list[str]) -> None:
    assert list(trained) == RESULTS
    assert trained["test_f1"] > 0.95
    again = run("train", "tagger", *tiny_tagger, "--out", "again", "--json")
    assert "validation F1" in again.stderr
    assert json.loads(again.stdout)["test_f1"] == trained["test_f1"]


def test_labels_without_spans(run, tagged_file: Path) -> None:
    tagged_file.write_text(tagged_file.read_text().replace("B-", "").replace("I-", ""))
    flags = ("--hidden-size", 12, "--max-steps", 21)
    result = run("train", "tagger", "--data", tagged_file, *flags, "--out", "run")
    assert "step      11  validation accuracy" in result.stdout
    assert "always the most frequent one" in result.stdout
    assert run("evaluate", "run").stdout.splitlines()[2].split()[0] == "label"


def test_it_resumes_and_prints_its_configuration(run, tiny_tagger: list[str]) -> None:
    run("train", "tagger", *tiny_tagger, "--max-steps", 5, "--out", "run", "--quiet")
    result = run("train", "tagger", "--resume", "run", "--max-steps", 8, "--quiet", "--json")
    assert json.loads(result.stdout)["steps"] == 8
    printed = run("train", "tagger", *tiny_tagger, "--print-config").stdout
    assert printed.startswith('task = "tagger"\n')
    Path("again.toml").write_text(printed)
    assert run("train", "tagger", "--config", "again.toml", "--print-config").stdout == printed
    other = run("train", "classifier", "--config", "again.toml")
    assert other.exit_code == 2
    assert "is for truesparse train tagger" in other.stderr


def test_evaluate(run, trained: dict[str, float], tagged_file: Path) -> None:
    result = json.loads(run("evaluate", "run", "--json").stdout)
    assert list(result) == [
        *("loss", "accuracy", "precision", "recall", "f1", "macro_f1", "tokens", "unknown", "types"),
    ]  # fmt: skip
    assert result["f1"] == trained["test_f1"]
    assert result["types"].keys() == {"LOC", "PER"}
    assert result["types"]["PER"].keys() == {"precision", "recall", "f1", "count"}
    shown = run("evaluate", "run", "--data", tagged_file).stdout
    assert shown.startswith("accuracy ")
    assert "0.0 % of them <unk>" in shown
    assert [line.split()[0] for line in shown.splitlines() if line.strip()][-2:] == ["LOC", "PER"]
    heading = next(line.split() for line in shown.splitlines() if line.startswith("type"))
    assert heading == ["type", "precision", "recall", "F1", "count"]


def test_predict_every_form_of_file(run, trained, tmp_path: Path) -> None:
    Path("lines.txt").write_text("mr  w1 jr\nw2\n")
    Path("tokens.conll").write_text("mr\nw1\njr\n\nw2\n")
    Path("labelled.tsv").write_text("mr\tX\nw1\tX\njr\tX\n\nw2\tX\n")
    Path("tokens.conllu").write_text("# text = mr\n1\tmr\t_\n2-3\tw1jr\t_\n2\tw1\t_\n3\tjr\t_\n\n1\tw2\t_\n")
    Path("tokens.jsonl").write_text('{"tokens": ["mr", "w1", "jr"]}\n{"tokens": ["w2"]}\n')
    Path("packed.conll.gz").write_bytes(gzip.compress(Path("tokens.conll").read_bytes()))
    for file in (
        "lines.txt",
        "tokens.conll",
        "labelled.tsv",
        "tokens.conllu",
        "tokens.jsonl",
        "packed.conll.gz",
    ):
        result = run("predict", "run", file)
        assert (result.stdout, result.stderr) == (TAGGED, ""), file
    assert run("predict", "run", "lines.txt", "--out", "out.conll").stdout == ""
    assert Path("out.conll").read_text() == TAGGED
    assert run("evaluate", "run", "--data", "out.conll", "--json").exit_code == 0  # what it wrote it reads
    lines = run("predict", "run", "lines.txt", "--json").stdout.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"tokens": ["mr", "w1", "jr"], "labels": ["O", "B-PER", "I-PER"]},
        {"tokens": ["w2"], "labels": ["O"]},
    ]
    Path("other.txt").write_text("1 mr\n2 w1\n3 jr\n\n1 w2\n")
    other = run("predict", "run", "other.txt", "--format", "conll", "--token-column", 2)
    assert other.stdout == TAGGED


def test_sentences_without_tokens_and_tokens_that_fit_no_column(run, trained) -> None:
    Path("lines.txt").write_text("w1\n\nw2\n")
    assert run("predict", "run", "lines.txt").stdout == "w1\tO\n\n\nw2\tO\n\n"
    lines = run("predict", "run", "lines.txt", "--json").stdout.splitlines()
    assert json.loads(lines[1]) == {"tokens": [], "labels": []}
    Path("x.jsonl").write_text('{"tokens": ["w1"]}\n{"tokens": ["New York", "a\\tb"]}\n')
    refused = run("predict", "run", "x.jsonl")
    assert refused.exit_code == 1
    assert (
        "line 2 of x.jsonl has the token 'a\\tb', which does not fit into a line of columns" in refused.stderr
    )
    lines = run("predict", "run", "x.jsonl", "--json").stdout.splitlines()
    assert json.loads(lines[1])["tokens"] == ["New York", "a\tb"]


def test_predictions_come_as_soon_as_the_sentences_have(run, trained) -> None:
    program = [sys.executable, "-c", "from truesparse.cli import main; main()", "predict", "run", "-"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for text, label in ((b"mr w1\n", b"w1\tB-PER\n"), (b"in w1\n", b"w1\tB-LOC\n")):
            process.stdin.write(text)
            process.stdin.flush()
            process.stdout.readline()
            assert process.stdout.readline() == label
            assert process.stdout.readline() == b"\n"
        process.stdin.close()
        assert process.stdout.read() == b""


def test_predict_leaves_no_partial_file(run, trained, tmp_path: Path) -> None:
    Path("x.conll").write_bytes(b"w1\n\n" * 50 + b"\xff\n")
    before = set(tmp_path.iterdir())
    result = run("predict", "run", "x.conll", "--out", "out.conll")
    assert result.exit_code == 1
    assert result.stderr.startswith("truesparse: line 101 of x.conll is not UTF-8 text: the byte 0xff ")
    assert set(tmp_path.iterdir()) == before
    assert run("predict", "run", "x.conll").stdout == "w1\tO\n\n" * 50


def test_commands_for_other_tasks(run, trained, tiny: list[str], tiny_classifier: list[str]) -> None:
    run("train", "classifier", *tiny_classifier, "--max-steps", 3, "--out", "classifier", "--quiet")
    run("train", "lm", *tiny, "--max-steps", 3, "--out", "lm", "--quiet")
    Path("x.txt").write_text("w1\n")
    for arguments, sentence in (
        (("generate", "run"), "is a tagger, not a language model; use truesparse predict"),
        (("predict", "run", "x.txt", "--format", "csv"), "; use lines, conll, conllu or jsonl"),
        (("predict", "run", "x.txt", "--text-column", "x"), "is a tagger; its data have --token-column and"),
        (("evaluate", "run", "--label-column", "x"), "is a tagger; its data have --token-column and"),
        (("predict", "classifier", "x.txt", "--format", "conll"), "; use lines or csv"),
        (("evaluate", "classifier", "--tag-column", "2"), "is a classifier; its data have --label-column"),
        (("distance", "run", "lm"), "cannot be compared: one is a tagger, the other a language model"),
        (("distance", "classifier", "run"), "cannot be compared: one is a classifier, the other a tagger"),
        (("train", "tagger"), "--data is missing"),
    ):
        result = run(*arguments)
        assert result.exit_code in (1, 2), arguments
        assert sentence in result.stderr
    if find_spec("matplotlib"):
        assert run("plot", "run").exit_code == 0
        assert run("plot", "run", "classifier").exit_code == 0  # by the accuracy that both have
        assert "have no measure in common" in run("plot", "run", "lm").stderr


def test_info_and_export(run, trained) -> None:
    described = json.loads(run("info", "run", "--json").stdout)
    assert described["matrices"][0]["name"] == "embedding.weight"
    result = json.loads(run("export", "run", "--to", "c", "--dtype", "int8", "--out", "c", "--json").stdout)
    assert {"loss", "loss_int8", "accuracy", "accuracy_int8"} < result.keys()
    assert result["accuracy"] == trained["test_accuracy"]
    header = Path("c/model.h").read_text()
    assert "LSTM tagger of 5 labels, 24 tokens" in header
    assert "scores of the labels of the last token" in header
    assert "trained on the tokens of sentences; those that it does not know" in header
    assert run("export", "run", "--to", "scipy", "--out", "scipy").exit_code == 0
    described = json.loads(Path("scipy/model.json").read_text())
    assert described["text"] == {"lower_case": False}
    assert described["labels"] == ["B-LOC", "B-PER", "I-LOC", "I-PER", "O"]
