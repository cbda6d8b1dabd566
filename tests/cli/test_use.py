from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest
from oracles import loss_of_stream

from truesparse import runtime
from truesparse.cli.info import _short
from truesparse.data import load_evaluation_text
from truesparse.modelfile.container import Reader


@pytest.fixture
def trained(run, tiny: list[str]) -> dict[str, float]:
    """Results of a run in the folder `run`."""
    return json.loads(run("train", "lm", *tiny, "--out", "run", "--quiet", "--json").stdout)


@pytest.mark.parametrize("path", ["run", "run/model.safetensors"])
def test_evaluate_reads_one_stream(run, trained: dict[str, float], text_file: Path, path: str) -> None:
    """Training reads as many streams as a batch has, each of which begins with nothing before it."""
    vocabulary = runtime.load(path).vocabulary
    for split in ("valid", "test"):
        ids = load_evaluation_text(text_file, vocabulary, split)
        result = json.loads(run("evaluate", path, "--split", split, "--json").stdout)
        assert list(result) == ["loss", "perplexity", "tokens", "unknown"]
        assert result["perplexity"] == pytest.approx(
            math.exp(loss_of_stream(runtime.load(path), ids)), rel=1e-5
        )
        assert result["perplexity"] == pytest.approx(trained[f"{split}_perplexity"], rel=0.05)
        assert result["tokens"] == len(ids) - 1
    assert run("evaluate", path).stdout.startswith(f"test perplexity {result['perplexity']:.2f} (loss ")


def test_a_file_is_measured_whole(run, trained: dict[str, float], tmp_path: Path) -> None:
    (tmp_path / "two.txt").write_text("w1 w3")
    (tmp_path / "long.txt").write_text("w1 w3 w9 w27\n" * 600)
    for name, tokens in (("two.txt", 2), ("long.txt", 2999)):
        result = json.loads(run("evaluate", "run", "--data", name, "--json").stdout)
        assert result["tokens"] == tokens
        ids = load_evaluation_text(tmp_path / name, runtime.load("run").vocabulary, "all")
        assert result["perplexity"] == pytest.approx(
            math.exp(loss_of_stream(runtime.load("run"), ids)), rel=1e-5
        )
    assert run("evaluate", "run", "--data", "long.txt").stdout.startswith("perplexity ")
    part = run("evaluate", "run", "--data", "long.txt", "--split", "test").stdout
    assert part.startswith("test perplexity ")
    assert "over 149 tokens" in part


def test_a_folder_needs_only_the_part_that_is_measured(
    run, trained: dict[str, float], tmp_path: Path
) -> None:
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "test.txt").write_text("w1 w3 w9\n")
    result = json.loads(run("evaluate", "run", "--data", "some", "--json").stdout)
    assert result["tokens"] == 3
    refused = run("evaluate", "run", "--data", "some", "--split", "valid")
    assert "does not have the three files of a corpus" in refused.stderr


def test_the_data_of_a_run_are_found_from_any_folder(
    run, tiny: list[str], text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    relative = [word if word != str(text_file) else text_file.name for word in tiny]
    assert run("train", "lm", *relative, "--out", "run", "--quiet", "--max-steps", 20).exit_code == 0
    model = (tmp_path / "run" / "model.safetensors").read_bytes()
    assert str(tmp_path).encode() not in model  # which may be given to others
    here = run("evaluate", "run").stdout
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / text_file.name).write_text("w1 w2 w3\n" * 400)
    monkeypatch.chdir(elsewhere)
    assert run("evaluate", "../run").stdout == here
    assert run("train", "lm", "--resume", "../run", "--max-steps", 30, "--quiet").exit_code == 0
    text_file.write_text(text_file.read_text().replace("w7 ", "w8 "))
    changed = run("evaluate", "../run")
    assert changed.exit_code == 1
    assert f"{text_file} is not as it was when the model was trained on it" in changed.stderr
    assert run("evaluate", "../run", "--data", text_file, "--split", "test").exit_code == 0


def test_a_relative_path_of_an_earlier_run(run, trained: dict[str, float], text_file: Path) -> None:
    here = run("evaluate", "run").stdout
    config = Path("run/config.toml")
    config.write_text(config.read_text().replace(str(text_file), text_file.name))
    assert run("evaluate", "run").stdout == here


def test_the_path_in_a_model_file_is_not_opened(run, trained: dict[str, float], tmp_path: Path) -> None:
    shutil.copy("run/model.safetensors", "alone.safetensors")
    result = run("evaluate", "alone.safetensors")
    assert result.exit_code == 2
    assert "alone.safetensors is not in the folder of its run" in result.stderr
    assert result.stderr.endswith("; give --data\n")


def test_evaluate_on_no_text(run, trained: dict[str, float], tmp_path: Path) -> None:
    assert run("evaluate", "run", "--data", "none.txt").exit_code == 2


def test_evaluate_tells_how_much_of_the_text_is_unknown(
    run, tiny: list[str], text_file: Path, tmp_path: Path
) -> None:
    text_file.write_text("rare\n" + text_file.read_text())
    run("train", "lm", *tiny, "--out", "run", "--quiet")
    (tmp_path / "foreign.txt").write_text("w1 ich du er\n" * 300)
    assert "tokens, 60.0 % of them <unk>)" in run("evaluate", "run", "--data", "foreign.txt").stdout
    result = json.loads(run("evaluate", "run", "--data", "foreign.txt", "--json").stdout)
    assert result["unknown"] == 0.6
    assert "tokens, 0.0 % of them <unk>)" in run("evaluate", "run").stdout


def test_generate(run, trained: dict[str, float]) -> None:
    result = run("generate", "run", "--prompt", "w1 w3", "--length", 20, "--seed", 3)
    assert result.exit_code == 0
    assert result.stdout.startswith("w1 w3")
    words = result.stdout.replace("\n", " <eos> ").split()
    assert len(words) == 2 + 20 + 1
    assert run("generate", "run", "--prompt", "w1 w3", "--length", 20, "--seed", 3).stdout == result.stdout
    assert run("generate", "run", "--prompt", "w1 w3", "--length", 20, "--seed", 4).stdout != result.stdout
    assert len(run("generate", "run", "--length", 5, "--temperature", 0, "--top-k", 2).stdout.split()) <= 5
    nucleus = run("generate", "run", "--prompt", "w1 w3", "--length", 20, "--seed", 3, "--top-p", 1e-6).stdout
    assert nucleus == run("generate", "run", "--prompt", "w1 w3", "--length", 20, "--temperature", 0).stdout
    prefixed = run("generate", "run", "--prompt", "w1", "--length", 1, "--prefix", "w3").stdout.split()
    assert prefixed[1].startswith("w3")
    beam = run("generate", "run", "--prompt", "w1 w3", "--beam", 4, "--length", 3, "--length-penalty", 0)
    assert beam.stdout.startswith("w1 w3")
    assert beam.stdout.count("\n") == 1
    lines = run("generate", "run", "--prompt", "w1 w1", "--suggest", 3).stdout.splitlines()
    assert [line[6:9] for line in lines] == [" w1"] * 3
    shown = [line[:6] for line in lines]
    assert shown == sorted(shown, reverse=True)


def test_generate_refuses(run, trained: dict[str, float]) -> None:
    for flags, sentence in (
        (["--temperature", "-1"], "--temperature is -1.0; it must be 0 or more"),
        (["--prompt", "giraffe"], "the word 'giraffe' is not"),
        (["--top-p", "0"], "--top-p is 0.0; it must be above 0 and at most 1"),
        (["--prefix", "x"], "no token of the vocabulary begins with 'x', as --prefix asks"),
        (["--beam", "-1"], "--beam is -1; it must be 1 or more"),
        (["--beam", "2", "--top-k", "3"], "--beam takes what is likeliest and draws nothing; leave"),
        (["--suggest", "2", "--beam", "3"], "--suggest does not go with --beam; leave one of the two out"),
        (["--suggest", "-2"], "--suggest is -2; it must be 1 or more"),
    ):
        result = run("generate", "run", *flags)
        assert result.exit_code in (1, 2)
        assert sentence in result.stderr
        assert result.stderr.count("\n") == 1


def test_info_of_the_machine(run) -> None:
    values = json.loads(run("info", "--json").stdout)
    assert values["threads"] >= 1
    text = run("info").stdout
    assert all(name in text for name in values)


def test_info_of_a_model(run, trained: dict[str, float]) -> None:
    description = json.loads(run("info", "run", "--json").stdout)
    assert description["file"] == "run/model.safetensors"
    assert description["total"]["nnz"] == trained["nnz"]
    assert description["total"]["dense_parameters"] == trained["dense_parameters"]
    with Reader(Path("run/model.safetensors")) as reader:
        for row in description["matrices"]:
            assert row["nnz"] == reader.get(f"{row['name']}.data").size
    text = run("info", "run").stdout
    assert all(row["name"] in text for row in description["matrices"])
    assert f"{trained['nnz']:,}" in text


def test_a_narrow_terminal_does_not_cut_numbers_off(
    run, trained: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = run("info", "run").stdout
    monkeypatch.setenv("COLUMNS", "30")
    assert run("info", "run").stdout == text
    assert "…" not in text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 "), (999, "999 "), (1000, "1.0 k"), (26_214, "26.2 k"), (21_780_000, "21.8 M")],
)
def test_short_numbers(number: int, text: str) -> None:
    assert _short(number) == text


def test_a_recurrent_highway_network(run, tiny: list[str]) -> None:
    cell = "--cell rhn --depth 3 --tied --dropout 0.2 --dropout-hidden 0.1"
    trained = json.loads(run("train", "lm", *tiny, *cell.split(), "--out", "run", "--quiet", "--json").stdout)
    perplexity = json.loads(run("evaluate", "run", "--json").stdout)["perplexity"]
    assert perplexity == pytest.approx(trained["test_perplexity"], rel=0.05)
    assert len(run("generate", "run", "--length", 20).stdout.split()) > 10
    text = run("info", "run").stdout
    assert all(part in text for part in ("rhn.0.weight_ih", "rhn.0.weight_hh.2", "24×12"))
    assert [line.split()[1:] for line in text.splitlines() if line.split()[-2:] == ["h", "t"]] == [
        ["density", "h", "t"]
    ]
    config = Path("run/config.toml").read_text()
    assert "transform_bias = -2.0\n" in config
    assert "dropout_input = 0.2\n" in config


def test_gated_recurrent_units(run, tiny: list[str]) -> None:
    cell = "--cell gru --reset-gate before --pattern unit"
    trained = json.loads(run("train", "lm", *tiny, *cell.split(), "--out", "run", "--quiet", "--json").stdout)
    perplexity = json.loads(run("evaluate", "run", "--json").stdout)["perplexity"]
    assert perplexity == pytest.approx(trained["test_perplexity"], rel=0.05)
    assert len(run("generate", "run", "--length", 20).stdout.split()) > 10
    text = run("info", "run").stdout
    assert all(part in text for part in ("gru.0.weight_ih", "36×12", " r      z      n"))
    assert 'reset_gate = "before"\n' in Path("run/config.toml").read_text()
    assert run("distance", "run", "run").exit_code == 0


@pytest.mark.parametrize("command", ["evaluate", "generate", "info"])
def test_files_that_are_no_model(run, tmp_path: Path, command: str) -> None:
    (tmp_path / "text.txt").write_text("no model")
    for path, code, sentence in (
        ("none", 2, "there is no file or folder none"),
        (".", 2, "has no model.safetensors"),
        ("text.txt", 1, "cut short, corrupt or no model file"),
    ):
        result = run(command, path)
        assert result.exit_code == code
        assert result.stderr.startswith("truesparse: ")
        assert sentence in result.stderr
