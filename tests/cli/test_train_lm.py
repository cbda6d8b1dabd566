from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_helpers import OF_A_RUN

from truesparse.modelfile import container
from truesparse.modelfile.container import Reader

RESULTS = [
    *("valid_perplexity", "test_perplexity", "unigram_perplexity", "valid_unigram_perplexity"),
    *OF_A_RUN,
]
PROGRAM = [sys.executable, "-m", "truesparse"]


def test_lines_and_results(run, tiny: list[str], tmp_path: Path) -> None:
    result = run("train", "lm", *tiny)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.endswith("-text")
    assert {path.name for path in folder.iterdir()} == {
        "config.toml",
        "environment.json",
        "metrics.jsonl",
        "checkpoint.safetensors",
        "model.safetensors",
    }
    for part in (
        "100 steps, 50 an epoch",
        "step     100  epoch   2.00  loss",
        "step      50  validation perplexity",
        "topology update:",
        "(unigram model ",
        f"truesparse generate {folder.relative_to(tmp_path)}",
    ):
        assert part in result.stdout


def test_json_has_stdout_to_itself(run, tiny: list[str]) -> None:
    result = run("train", "lm", *tiny, "--json", "--out", "here")
    assert list(json.loads(result.stdout)) == RESULTS
    assert "validation perplexity" in result.stderr
    assert json.loads(result.stdout)["run_dir"] == "here"


def test_json_has_null_where_a_number_is_too_large(run, tiny: list[str]) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    flags = ["--lr", "1e10", "--max-steps", 5, "--out", "run", "--json", "--quiet"]
    results = json.loads(run("train", "lm", *tiny, *flags).stdout, parse_constant=refuse)
    assert results["valid_perplexity"] is None
    result = json.loads(run("evaluate", "run", "--json").stdout, parse_constant=refuse)
    assert result["perplexity"] is None
    assert result["loss"] > 1000


def test_quiet(run, tiny: list[str]) -> None:
    assert len(run("train", "lm", *tiny, "--quiet").stdout.splitlines()) == 2
    result = run("train", "lm", *tiny, "--quiet", "--json", "--out", "other")
    assert json.loads(result.stdout)["steps"] == 100
    assert result.stderr == ""


def test_the_environment_does_not_meddle_with_a_resumed_run(
    run, tiny: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run("train", "lm", *tiny, "--max-steps", 5, "--out", "run", "--quiet")
    monkeypatch.setenv("TRUESPARSE_OUT", "other")
    monkeypatch.setenv("TRUESPARSE_LR", "9")
    result = run("train", "lm", "--resume", "run", "--max-steps", 8, "--quiet", "--json")
    assert json.loads(result.stdout)["steps"] == 8


def test_print_config(run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("hidden_size = 3\nlayers = 3\nseed = 3\n")
    monkeypatch.setenv("TRUESPARSE_LAYERS", "2")
    monkeypatch.setenv("TRUESPARSE_SEED", "2")
    result = run("train", "lm", "--config", "c.toml", "--seed", 1, "--tied", "--print-config")
    lines = result.stdout.splitlines()
    assert {"hidden_size = 3", "layers = 2", "seed = 1", "tied = true", 'preset = "demo"'} <= set(lines)
    assert not (tmp_path / "runs").exists()
    (tmp_path / "again.toml").write_text(result.stdout)
    assert run("train", "lm", "--config", "again.toml", "--print-config").stdout == result.stdout.replace(
        "seed = 1", "seed = 2"
    )


def test_the_run_has_the_resolved_configuration(run, tiny: list[str], tmp_path: Path) -> None:
    printed = run("train", "lm", *tiny, "--preset", "ptb-small", "--print-config").stdout
    run("train", "lm", *tiny, "--preset", "ptb-small", "--out", "run", "--quiet")
    assert (tmp_path / "run" / "config.toml").read_text() == printed


@pytest.fixture
def bad_files(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").touch()
    (tmp_path / "utf16.txt").write_bytes(("word " * 1000).encode("utf-16-le"))
    (tmp_path / "latin.txt").write_bytes("caf\xe9 ".encode("latin-1") * 1000)
    (tmp_path / "short.txt").write_text("a b c d e f g h i j\n" * 5)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "train.txt").write_text("a b c\n")
    (tmp_path / "key.toml").write_text("densty = 0.1\n")


@pytest.mark.usefixtures("bad_files")
@pytest.mark.parametrize(
    ("flags", "code", "sentence"),
    [
        ("--data none.txt", 2, "there is no file or folder none.txt"),
        ("--data empty.txt", 1, "empty.txt has no text"),
        ("--data folder", 2, "does not have the three files"),
        ("--data latin.txt", 1, "is not UTF-8"),
        ("--data utf16.txt", 1, "is not UTF-8 text: it has zero bytes"),
        ("--data short.txt", 1, "needs"),
        ("--density 0", 2, "--density is 0.0; it must be above 0 and at most 1"),
        ("--density 1.1", 2, "--density is 1.1"),
        ("--density 0.00001", 2, "density"),
        ("--batch-size 0", 2, "--batch-size is 0"),
        ("--bptt 0", 2, "--bptt is 0"),
        ("--config key.toml", 2, "did you mean density?"),
        ("--config none.toml", 2, "cannot read the configuration none.toml"),
        ("--method st-rn", 2, "st-rnn"),
        ("--preset dem", 2, "it must be demo, ptb-small"),
        ("--lr 1e38 --clip 0", 1, "try a lower --lr"),
        ("--out folder", 2, "choose another --out"),
        ("--out empty.txt", 2, "choose another --out"),
        ("--out empty.txt/x", 1, "cannot make the folder empty.txt/x: Not a directory"),
        ("--resume none", 2, "not the folder of a run"),
        ("--resume folder --out x", 2, "--out does not go with --resume"),
    ],
)
def test_bad_input_is_one_sentence(run, tiny: list[str], flags: str, code: int, sentence: str) -> None:
    result = run("train", "lm", *tiny, *flags.split(), "--quiet")
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("truesparse: ")
    assert result.stderr.count("\n") == 1
    assert sentence in result.stderr
    assert isinstance(result.exception, SystemExit)


def test_bad_checkpoints(run, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("train", "lm", *tiny, "--max-steps", 5, "--out", "run", "--quiet").exit_code == 0
    assert run("train", "lm", *tiny, "--hidden-size", 5, "--max-steps", 5, "--out", "other").exit_code == 0
    file = tmp_path / "run" / "checkpoint.safetensors"
    good = file.read_bytes()
    with Reader(file) as reader:
        tensors, document = {name: reader.get(name) for name in reader.names}, reader.document

    def check(sentence: str) -> None:
        result = run("train", "lm", "--resume", "run", "--quiet")
        assert result.exit_code == 1
        assert sentence in result.stderr
        assert result.stderr.count("\n") == 1

    file.write_bytes(good[:-10])
    check("is cut short, corrupt or no model file; use another")
    file.write_bytes(good[:-10] + bytes(10))
    check("is corrupt; use another")
    file.write_bytes((tmp_path / "other" / "checkpoint.safetensors").read_bytes())
    check("is of another model")
    monkeypatch.setattr(container, "FORMAT_VERSION", 9)
    container.write(file, tensors, document | {"format_version": 9})
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    check("has format version 9")
    file.write_bytes(good)
    assert run("train", "lm", "--resume", "run", "--quiet").exit_code == 0
    result = run("train", "lm", "--resume", "run", "--lr", 3, "--quiet")
    assert result.exit_code == 2
    assert "--lr is 3.0 but was 2.0 when the run began, and that cannot change" in result.stderr


@pytest.mark.parametrize(
    ("number", "cell"),
    [
        (signal.SIGKILL, ""),
        (signal.SIGINT, ""),
        (signal.SIGTERM, ""),
        (signal.SIGINT, "--cell rhn --depth 2 --dropout 0.1"),
    ],
)
def test_a_process_that_is_stopped_goes_on_to_the_same_end(
    run, tiny: list[str], tmp_path: Path, number: signal.Signals, cell: str
) -> None:
    flags = [*tiny, "--hidden-size", "100", "--epochs", "15", "--eval-interval", "20", *cell.split()]
    command = [*PROGRAM, "train", "lm", *flags, "--out", str(tmp_path / "run")]
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # where these tests run ignored
    )
    deadline = time.monotonic() + 300  # kernels may have to be compiled
    while not (tmp_path / "run" / "checkpoint.safetensors").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(process.pid, number)
    _, errors = process.communicate()
    if number == signal.SIGKILL:
        assert process.returncode == -number
    else:
        assert process.returncode == 130
        assert f"truesparse train lm --resume {tmp_path / 'run'}" in errors
        assert "Traceback" not in errors
    assert '"end"' not in (tmp_path / "run" / "metrics.jsonl").read_text()
    assert run("train", "lm", "--resume", "run", "--quiet").exit_code == 0
    assert run("train", "lm", *flags, "--out", "whole", "--quiet").exit_code == 0
    for name in ("checkpoint.safetensors", "model.safetensors"):
        with Reader(tmp_path / "run" / name) as resumed, Reader(tmp_path / "whole" / name) as whole:
            assert resumed.names == whole.names
            for tensor in whole.names:
                assert resumed.get(tensor).tobytes() == whole.get(tensor).tobytes()


def test_positions_used_are_shown_if_they_are_counted(run, tiny: list[str]) -> None:
    lines = run("train", "lm", *tiny, "--track-positions", "--out", "run").stdout.splitlines()
    updates = [line for line in lines if "topology update:" in line]
    assert updates
    assert all(line.endswith(" % of positions used so far") for line in updates)
    used = json.loads(Path("run/metrics.jsonl").read_text().splitlines()[-1])["positions_used"]
    assert f", {100 * used:.1f} % of" in updates[-1]
    assert "positions used" not in run("train", "lm", *tiny, "--out", "other").stdout
