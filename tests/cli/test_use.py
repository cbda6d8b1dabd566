from __future__ import annotations

import json
from pathlib import Path

import pytest

from truesparse.cli.info import _short
from truesparse.modelfile.container import Reader


@pytest.fixture
def trained(run, tiny: list[str]) -> dict[str, float]:
    """Results of a run in the folder `run`."""
    return json.loads(run("train", "lm", *tiny, "--out", "run", "--quiet", "--json").stdout)


@pytest.mark.parametrize("path", ["run", "run/model.safetensors"])
def test_evaluate_gives_what_training_gave(run, trained: dict[str, float], path: str) -> None:
    for split in ("valid", "test"):
        result = json.loads(run("evaluate", path, "--split", split, "--json").stdout)
        assert list(result) == ["loss", "perplexity", "tokens"]
        assert result["perplexity"] == trained[f"{split}_perplexity"]
    assert run("evaluate", path).stdout.startswith(f"test perplexity {trained['test_perplexity']:.2f} (loss ")


def test_evaluate_on_other_text(run, trained: dict[str, float], tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("w1 w3 w9 w27\n" * 300)
    result = json.loads(run("evaluate", "run", "--data", "other.txt", "--json").stdout)
    assert result["tokens"] < 75 * 5
    assert run("evaluate", "run", "--data", "none.txt").exit_code == 2


def test_evaluate_tells_how_much_of_the_text_is_unknown(
    run, tiny: list[str], text_file: Path, tmp_path: Path
) -> None:
    text_file.write_text("rare\n" + text_file.read_text())
    run("train", "lm", *tiny, "--out", "run", "--quiet")
    (tmp_path / "foreign.txt").write_text("w1 ich du er\n" * 300)
    assert "tokens, 60.0 % of them <unk>)" in run("evaluate", "run", "--data", "foreign.txt").stdout
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


def test_generate_refuses(run, trained: dict[str, float]) -> None:
    for flags, sentence in (
        (["--temperature", "-1"], "--temperature is -1.0; it must be 0 or more"),
        (["--prompt", "giraffe"], "the word 'giraffe' is not"),
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
    assert json.loads(run("evaluate", "run", "--json").stdout)["perplexity"] == trained["test_perplexity"]
    assert len(run("generate", "run", "--length", 20).stdout.split()) > 10
    text = run("info", "run").stdout
    assert all(part in text for part in ("rhn.0.weight_ih", "rhn.0.weight_hh.2", "24×12"))
    assert [line.split()[1:] for line in text.splitlines() if line.split()[-2:] == ["h", "t"]] == [
        ["density", "h", "t"]
    ]
    config = Path("run/config.toml").read_text()
    assert "transform_bias = -2.0\n" in config
    assert "dropout_input = 0.2\n" in config


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
