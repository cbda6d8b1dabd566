from __future__ import annotations

import subprocess
import sys

import click
import pytest

import truesparse
from truesparse.cli import main
from truesparse.errors import TruesparseError, UsageError


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
        (["train", "lm", "--level", "x"], "'x' is not one of 'word', 'char';"),
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
