from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from truesparse.bench.contest import Contestant, ContestantError, Field
from truesparse.bench.monitor import Monitor
from truesparse.bench.settings import Conditions
from truesparse.bench.step import compared, note_difference
from truesparse.bench.sweep import crossover
from truesparse.bench.timing import Timing


def test_a_contestant_that_fails_or_ends_is_named():
    with Contestant("numpy", 1) as contestant:
        with pytest.raises(ContestantError, match="NumPy failed: AttributeError"):
            contestant.ask("dance")
        with pytest.raises(ContestantError, match="NumPy failed: KeyError: 'none'"):
            contestant.turn("none", 0.1)
        os.kill(contestant._process.pid, signal.SIGKILL)
        with pytest.raises(
            ContestantError, match=r"process of NumPy ended \(exit code -9\): it was killed"
        ) as error:
            contestant.turn("step", 0.1)
        assert error.value.side == "numpy"


# Starts a contestant, tells its process, and waits for a turn that never ends.
BENCHMARK = """
from truesparse.bench.contest import Contestant
from truesparse.bench.workload import Workload
import dataclasses

task = Workload(vocab_size=9, embedding_size=4, hidden_size=4, layers=1, batch_size=2, bptt=10)
with Contestant("numpy", 1) as contestant:
    contestant.ask("model", kind="step", side="numpy", task=dataclasses.asdict(task))
    print(contestant._process.pid, flush=True)
    contestant.turn("step", 1e9)
"""
# A worker whose turn is waiting for a process of its own, as one that compiles.
COMPILING = """
import subprocess, sys
from truesparse.bench import worker

def turn(self, part, seconds):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1e6)"])
    open(part, "w").write(f"{child.pid}\\n")
    child.wait()

worker.Worker.turn = turn
worker.main()
"""


def wait_for_end(process: int) -> None:
    """Wait until a process computes no more; what nobody has waited for may stay as a zombie."""
    deadline = time.monotonic() + 60
    while True:
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return
        if state in "ZX":
            return
        assert time.monotonic() < deadline, f"{process} goes on"
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_contestant_ends_with_the_benchmark_in_the_middle_of_a_turn(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", BENCHMARK], stdout=subprocess.PIPE, text=True) as benchmark:
        assert benchmark.stdout is not None
        worker = int(benchmark.stdout.readline())
        try:
            benchmark.send_signal(number)
            assert benchmark.wait() == -number
            wait_for_end(worker)
        finally:
            subprocess.run(["kill", "-9", str(worker)], stderr=subprocess.DEVNULL, check=False)


def test_what_a_contestant_has_started_ends_too(tmp_path: Path) -> None:
    file = tmp_path / "child"
    command = [sys.executable, "-c", COMPILING]
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, start_new_session=True)
    assert worker.stdin is not None
    worker.stdin.write(f'{{"ask": "turn", "part": "{file}", "seconds": 1}}\n')
    worker.stdin.flush()
    deadline = time.monotonic() + 60
    while not (file.exists() and file.read_text().endswith("\n")):
        assert worker.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    worker.stdin.close()
    try:
        assert worker.wait(60) == -signal.SIGKILL
        wait_for_end(int(file.read_text()))
    finally:
        worker.kill()


def test_crossover():
    assert crossover([0.1, 0.4], [2.0, 0.5]) == pytest.approx(0.2)
    assert crossover([0.1, 0.2, 0.4], [4.0, None, 0.5]) == pytest.approx(0.1 * 4 ** (2 / 3))
    assert crossover([0.1, 0.4], [3.0, 2.0]) is None
    assert crossover([0.1, 0.4], [0.9, 0.2]) is None
    assert crossover([0.1, 0.2, 0.4], [None, None, None]) is None
    # sparse loses where there is little to do and wins in between
    assert crossover([0.01, 0.1, 1.0], [0.5, 2.0, 0.5]) == pytest.approx(10**-0.5)


class Notes(Monitor):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_a_field_goes_on_without_baselines_that_cannot() -> None:
    notes = Notes()
    baselines = {"numpy": "", "keras-jax": "jax is not installed"}
    with ExitStack() as stack:
        field = Field(stack, baselines, 1, notes)
        assert field.names == "truesparse, NumPy"
        task = {"vocab_size": 9, "embedding_size": 4, "hidden_size": 4, "layers": 1, "bptt": 10}
        os.kill(field.sides["numpy"]._process.pid, signal.SIGKILL)
        answers = field.ask("model", kind="step", task={**task, "batch_size": 2})
        assert set(answers) == set(field.sides) == {"ours"}
        assert field.unavailable["keras-jax"] == "jax is not installed"
        assert "it was killed" in field.unavailable["numpy"]
        assert notes.notes[0] == "Keras on JAX is not available: jax is not installed"
        assert notes.notes[1].startswith("masked NumPy is not available: the process of NumPy ended")
        with pytest.raises(ContestantError, match="truesparse failed: KeyError"):
            field.measure("none", Conditions(1, 1, 0.1))


def test_baselines_stand_in_the_order_of_their_speed() -> None:
    timings = {
        "torch": Timing((3.0, 5.0, 4.0)),
        "ours": Timing((1.0, 1.0, 2.0)),
        "torch-dense": Timing((0.5, 0.5, 0.6)),
    }
    facts = {name: {"threads": 2, "peak_bytes": 7, "torch": "2"} for name in timings}
    rows = compared(timings, facts, "ms")
    assert list(rows) == ["torch-dense", "torch"]
    assert rows["torch"] == {
        "ms": 4000,
        "quartiles": [3500, 4500],
        "ratio": 4,
        "ratio_quartiles": [2.5, 4],
        "threads": 2,
        "peak_bytes": 7,
    }
    assert rows["torch-dense"]["ratio"] == 0.5


@pytest.mark.parametrize(
    ("losses", "difference", "notes"),
    [
        ({"torch": 2.0002, "torch-bf16": 2.04}, 1e-4, 0),
        ({"torch": 2.0, "torch-dense-bf16": 2.08}, 0, 1),
        ({"torch": 2.004, "torch-bf16": 2.0}, 2e-3, 1),
    ],
)
def test_first_losses_differ(losses: dict[str, float], difference: float, notes: int) -> None:
    monitor = Notes()
    assert note_difference({"ours": 2.0, **losses}, monitor) == pytest.approx(difference)
    assert len(monitor.notes) == notes
