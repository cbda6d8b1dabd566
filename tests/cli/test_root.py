from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import click
import numpy as np
import pytest

import truesparse
from truesparse.cli import main
from truesparse.cli.root import COMMANDS
from truesparse.data import Vocabulary
from truesparse.errors import TruesparseError, UsageError
from truesparse.layers.models import language_model
from truesparse.model import random_model
from truesparse.model.saving import save_model
from truesparse.modelfile import container


def test_help_and_version(run) -> None:
    commands = (
        ("train",),
        ("train", "lm"),
        ("train", "classifier"),
        ("methods",),
        ("evaluate",),
        ("generate",),
    )
    more = ("predict",), ("info",), ("bench",)
    for arguments in ((), *commands, *more):
        result = run(*arguments, "--help")
        assert result.exit_code == 0
        assert result.stdout.startswith("Usage: truesparse")
    assert run("--version").stdout == f"truesparse, version {truesparse.__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["train", "lm", "--help"],
        ["train", "classifier", "--help"],
        ["predict", "--help"],
        ["methods", "--help"],
        ["info", "--help"],
        ["evaluate", "--help"],
        ["bench", "step", "--help"],
    ],
)
def test_help_imports_neither_numba_nor_numpy(arguments: list[str]) -> None:
    program = (
        "import sys; from truesparse.cli import main\n"
        "try: main()\n"
        "finally: print(sorted({'numba', 'numpy', 'scipy', 'rich'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stderr == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["trian"], "no such command 'trian'"),
        (["train", "lm", "--densty", "1"], "no such option"),
        (["train", "lm", "--layers", "two"], "invalid value for '--layers': 'two' is not a valid integer;"),
        (["train", "lm", "--level", "x"], "'x' is not one of 'word', 'char', 'subword';"),
        (["evaluate"], "missing argument 'MODEL_OR_RUN';"),
    ],
)
def test_usage(run, arguments: list[str], problem: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("truesparse: ")
    assert problem in result.stderr
    assert result.stderr.endswith(" --help\n")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_no_command_shows_the_help(run) -> None:
    for arguments in ((), ("train",)):
        result = run(*arguments)
        assert result.exit_code == 2
        assert "Commands:" in result.stderr


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (TruesparseError("the loss is nan"), 1, "truesparse: the loss is nan\n"),
        (OSError(28, "No space left on device", "x/y"), 1, "truesparse: x/y: No space left on device; check"),
        (MemoryError(), 1, "truesparse: not enough memory; use a smaller"),
        (KeyboardInterrupt(), 130, "truesparse: stopped\n"),
        (
            ZeroDivisionError("division by zero"),
            1,
            "internal error: ZeroDivisionError: division by zero",
        ),
        (EOFError("end of data"), 1, "internal error: EOFError: end of data; --debug"),
    ],
)
def test_every_error_is_a_sentence(
    run, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, sentence: str
) -> None:
    @click.command()
    def fail() -> None:
        raise error

    monkeypatch.setitem(main.commands, "fail", fail)
    result = run("fail")
    assert result.exit_code == code
    assert sentence in result.stderr
    assert "Traceback" not in result.output
    assert isinstance(result.exception, SystemExit)


@pytest.mark.parametrize("arguments", [("--debug", "fail"), ("fail", "--debug")])
def test_debug_also_shows_where(run, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]) -> None:
    @click.command()
    def fail() -> None:
        raise UsageError("the density is 3")

    monkeypatch.setitem(main.commands, "fail", fail)
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("Traceback")
    assert "in fail\n" in result.stderr
    assert result.stderr.endswith("\ntruesparse: the density is 3\n")


def test_a_reader_that_leaves_is_no_error() -> None:
    program = f"{sys.executable} -c 'from truesparse.cli import main; main()' train lm --help | true"
    done = subprocess.run(program, shell=True, capture_output=True, text=True, check=True)
    assert done.stderr == ""


def run_program(
    arguments: list[str], folder: Path, closed: str = "", before: str = "", **variables: str
) -> subprocess.CompletedProcess[bytes]:
    """Run the command line in a process of its own: `closed` as in "1>&- 2>&-", `before` is Python."""
    program = f"{before}\nfrom truesparse.cli import main; main()"
    return subprocess.run(
        ["sh", "-c", f'exec "$0" "$@" {closed}', sys.executable, "-c", program, *arguments],
        capture_output=True,
        cwd=folder,
        env={**os.environ, **variables},
    )


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A language model that knows a letter that few encodings have."""
    path = tmp_path / "model.safetensors"
    spec = language_model(vocab_size=4, embedding_size=6, hidden_size=6, layers=1)
    built = random_model(spec, 0.5, np.random.default_rng(1))
    save_model(path, built, Vocabulary(["<eos>", "<unk>", "\u0436", "\u20ac"]))
    return path


FLAGS = "--hidden-size 8 --batch-size 4 --bptt 10 --max-steps 2 --threads 1 --out run"
TRAINING = ["train", "lm", *FLAGS.split()]


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_training_goes_on_where_standard_streams_are_closed(
    text_file: Path, tmp_path: Path, closed: str
) -> None:
    arguments = [*TRAINING, "--data", str(text_file)]
    done = run_program(arguments, tmp_path, closed)
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert records[-1]["kind"] == "end"


def test_training_outside_of_the_main_thread(run, tiny: list[str], tmp_path: Path) -> None:
    results = []
    thread = threading.Thread(
        target=lambda: results.append(run("train", "lm", *tiny, "--max-steps", "2", "--out", "run"))
    )
    thread.start()
    thread.join()
    assert results[0].exit_code == 0, results[0].output


@pytest.mark.parametrize("encoding", ["latin1", "koi8-r"])
def test_what_a_terminal_cannot_show_is_replaced(model: Path, tmp_path: Path, encoding: str) -> None:
    arguments = ["generate", model.name, "--length", "20"]
    done = run_program(arguments, tmp_path, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    assert b"?" in done.stdout
    assert done.stderr == b""


def test_a_name_of_any_bytes_is_read_written_and_shown(text_file: Path, tmp_path: Path) -> None:
    data, out = os.fsdecode(b'caf\xe9\x7f\t"%E9\n.txt'), os.fsdecode(b"ru\xef")
    text_file.rename(tmp_path / data)
    done = run_program([*TRAINING, "--data", data, "--out", out], tmp_path, PYTHONIOENCODING="utf-8")
    assert done.returncode == 0, done.stderr
    assert b"the run is in ru\xef;" in done.stdout
    with container.Reader(tmp_path / out / "model.safetensors") as reader:
        assert reader.document["config"]["data"] == data
    for arguments in (["evaluate", out], ["train", "lm", "--resume", out, "--max-steps", "3"]):
        done = run_program(arguments, tmp_path)  # which read where the data are from the run's configuration
        assert done.returncode == 0, done.stderr
    done = run_program(["evaluate", "caf\udce8"], tmp_path, PYTHONIOENCODING="ascii")
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("NUMBA_DISABLE_JIT", "1"),
        ("NUMBA_NUM_THREADS", "0"),
        ("NUMBA_NUM_THREADS", "100000"),
        ("NUMBA_THREADING_LAYER", "foo"),
        ("NUMBA_THREADING_LAYER_PRIORITY", "foo"),
        ("NUMBA_CPU_FEATURES", "foo"),
    ],
)
def test_a_variable_that_numba_cannot_run_with_is_named(
    text_file: Path, tmp_path: Path, variable: str, value: str
) -> None:
    done = run_program([*TRAINING, "--data", str(text_file)], tmp_path, **{variable: value})
    assert done.returncode == 2
    assert done.stderr.startswith(b"truesparse: ")
    assert done.stderr.count(b"\n") == 1
    assert variable.encode() in done.stderr
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_a_warning_is_a_line(model: Path, tmp_path: Path) -> None:
    before = """
import warnings
from truesparse import runtime
load = runtime.load_language_model
def warn(path):
    warnings.warn("the first line\\nand a second")
    return load(path)
runtime.load_language_model = warn
"""
    done = run_program(["generate", model.name], tmp_path, before=before)
    assert done.stderr == b"truesparse: the first line\n"


@pytest.mark.parametrize(
    "arguments",
    [
        "info model.safetensors",
        "distance model.safetensors model.safetensors",
        "export model.safetensors --to c --out c",
        "export model.safetensors --to scipy --out scipy",
    ],
)
def test_commands_that_need_no_kernels(model: Path, tmp_path: Path, arguments: str) -> None:
    before = "import sys; sys.modules['numba'] = None"  # importing it is an error now
    done = run_program(arguments.split(), tmp_path, before=before)
    assert done.returncode == 0, done.stderr


def test_ctrl_c_while_the_commands_load() -> None:
    """`click` is interrupted, as if the user had pressed Ctrl-C at once."""
    program = "import sys, truesparse; sys.modules['click'] = Stop(); import truesparse.cli"
    interrupted = "class Stop:\n    def __getattr__(self, name): raise KeyboardInterrupt\n" + program
    result = subprocess.run([sys.executable, "-c", interrupted], capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (130, "", "truesparse: stopped\n")


def test_the_list_of_commands_says_what_they_do() -> None:
    context = click.Context(main)
    for name, (_, text) in COMMANDS.items():
        command = main.get_command(context, name)
        assert command is not None
        assert command.name == name
        if name != "evaluate":  # whose own sentence names its tasks
            assert (command.help or "").startswith(text)
    assert main.get_command(context, "nothing") is None
    assert main.list_commands(context) == sorted(COMMANDS)
