"""Training whose output, terminal or wishes of the system end: nothing is lost."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

PROGRAM = [sys.executable, "-m", "truesparse", "train", "lm"]
LONG = ["--epochs", "100000", "--eval-interval", "100000000", "--log-interval", "7"]


def ignoring(*numbers: signal.Signals) -> Callable[[], None]:
    return lambda: [signal.signal(number, signal.SIG_IGN) for number in numbers] and None


def started(run: Path, process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    """Wait until a run has recorded something."""
    deadline = time.monotonic() + 300  # kernels may have to be compiled
    metrics = run / "metrics.jsonl"
    while not (metrics.exists() and metrics.stat().st_size):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)


def check_it_was_saved(run: Path, errors: str) -> None:
    assert f"and saved; go on with: truesparse train lm --resume {run}" in errors
    assert (run / "checkpoint.safetensors").is_file()
    assert "Traceback" not in errors
    assert "Exception" not in errors


def test_when_nobody_reads_the_output_training_saves_and_stops(tiny: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    with subprocess.Popen(
        [*PROGRAM, *tiny, *LONG, "--out", run], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()
    assert process.returncode == 130
    check_it_was_saved(run, errors)


def test_when_nobody_reads_the_errors_either_the_code_tells(tiny: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    with subprocess.Popen(
        [*PROGRAM, *tiny, *LONG, "--out", run], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
    assert process.returncode == 130
    assert (run / "checkpoint.safetensors").is_file()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_training_goes_on_when_the_disk_of_its_output_is_full(tiny: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    with open("/dev/full", "w") as full:
        process = subprocess.run(
            [*PROGRAM, *tiny, "--out", run], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    first, *others = process.stderr.splitlines()
    assert first == "truesparse: cannot show the progress: No space left on device; training goes on"
    assert others == [
        "truesparse: No space left on device; check the path, its permissions and the room left"
    ]
    assert process.returncode == 1  # nobody has got the results
    assert json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["kind"] == "end"


@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_a_terminal_that_is_closed(tiny: list[str], tmp_path: Path, ignored: bool, term: str) -> None:
    """Its programs get SIGHUP. One that ignores it, as by nohup, goes on without."""
    run = tmp_path / "run"
    length = ["--epochs", "200", "--log-interval", "7"] if ignored else LONG
    process, terminal = pty.fork()
    if process == 0:
        signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
        os.environ["TERM"] = term
        os.execv(sys.executable, [*PROGRAM, *tiny, *length, "--out", str(run)])
    shown = b""
    while b"loss" not in shown:
        shown += os.read(terminal, 4096)
    os.close(terminal)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    assert code == (1 if ignored else 130)  # nobody has got the results
    assert (run / "checkpoint.safetensors").is_file()
    ended = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["kind"] == "end"
    assert ended == ignored


def test_sighup_saves_and_stops(tiny: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    with subprocess.Popen(
        [*PROGRAM, *tiny, *LONG, "--out", run], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        started(run, process)
        process.send_signal(signal.SIGHUP)
        _, errors = process.communicate()
    assert process.returncode == 130
    check_it_was_saved(run, errors)


def test_signals_that_were_ignored_when_training_began_stay_ignored(tiny: list[str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    with subprocess.Popen(
        [*PROGRAM, *tiny, *LONG, "--out", run],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=ignoring(signal.SIGINT, signal.SIGHUP),
    ) as process:
        started(run, process)
        for number in (signal.SIGINT, signal.SIGHUP):
            process.send_signal(number)
        size = (run / "metrics.jsonl").stat().st_size
        deadline = time.monotonic() + 120
        while (run / "metrics.jsonl").stat().st_size < size + 5000:  # it goes on
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)  # a second Ctrl-C would stop it without saving
        _, errors = process.communicate()
    assert process.returncode == 130
    check_it_was_saved(run, errors)
