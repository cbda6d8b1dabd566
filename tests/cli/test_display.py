from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from truesparse.cli import display
from truesparse.cli.train_run import display_for
from truesparse.training.reporter import Progress, Record, RunInfo

INFO = RunInfo(
    path=Path("run"),
    data="a text",
    step=0,
    total_steps=300,
    steps_per_epoch=10,
    nnz=2,
    dense_parameters=10**7,
    threads=2,
    gates={"lstm.0.weight_hh": ("i", "f", "g", "o")},
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "20")
    return Terminal()


def record(step: int, **values: Any) -> Record:
    gates = [0.11, 0.22, 0.33, 0.14]
    return {
        "step": step,
        "epoch": step / 10,
        "lr": 2.0,
        "loss": 3.0,
        "perplexity": 100.0 + step,
        "best": True,
        "averaged": False,
        "tokens_per_second": 12_345.0,
        "peak_memory_bytes": 5e8,
        "density": {"embedding.weight": 0.2, "lstm.0.weight_hh": 0.2},
        "density_per_gate": {"lstm.0.weight_hh": gates},
        "drop_fraction": 0.25,
        "replaced": {"embedding.weight": 500, "lstm.0.weight_hh": 1000},
        "dropped": {"embedding.weight": 500, "lstm.0.weight_hh": 1000},
        "epoch_seconds": 12.34,
        "update_seconds": 0.056,
        "relative_flops": 0.2,
        **values,
    }


def drive(shown: display.Lines | display.Live, epochs: int) -> None:
    """Tell a display of a run, one step each epoch of ten."""
    shown.compiling()
    shown.start(INFO)
    for epoch in range(1, epochs + 1):
        shown.step(Progress(10 * epoch, epoch, 3.5))
        if epoch == 1:
            shown.compiled(3.0)
        shown.train(record(10 * epoch))
        shown.eval(record(10 * epoch))
        shown.rewire(record(10 * epoch))
        shown.epoch(record(10 * epoch))


def screen(live: display.Live) -> list[str]:
    """What the live display shows now."""
    stream = io.StringIO()
    Console(file=stream, width=80).print(live._render())
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_the_live_display(terminal: Terminal) -> None:
    with display.Live(terminal) as live:
        drive(live, 3)
        lines = screen(live)
    assert "epoch 3 of 30" in lines[0]
    assert "30/300 steps" in lines[0]
    assert lines[1] == "loss 3.000  perplexity    130.00   lr 2   12,345 tokens/s   500 MB"
    assert lines[2] == "topology update: 1,500 weights replaced (drop fraction 0.250)"
    assert "matrix            density      i      f      g      o" in lines
    assert "lstm.0.weight_hh   0.2000  0.110  0.220  0.330  0.140" in lines
    assert lines[-1].split() == ["30", "3.00", "130.00", "2", "best"]
    for part in ("compiling kernels, once", "compiled in 3 s", "2 weights of 10,000,000 (density 2e-07)"):
        assert part in terminal.getvalue()


MIXED = replace(INFO, gates={"lstm.0.weight_hh": ("i", "f", "g", "o"), "gru.0.weight_hh": ("r", "z", "n")})
OF_BOTH = {
    "density": {"embedding.weight": 0.2, "lstm.0.weight_hh": 0.2, "gru.0.weight_hh": 0.3},
    "density_per_gate": {"lstm.0.weight_hh": [0.11, 0.22, 0.33, 0.14], "gru.0.weight_hh": [0.1, 0.2, 0.6]},
}


def test_cells_of_two_kinds_have_the_gates_of_each(terminal: Terminal) -> None:
    with display.Live(terminal) as live:
        live.start(MIXED)
        live.rewire(record(10, **OF_BOTH))
        rows = [line.split() for line in screen(live)]
    assert ["matrix", "density", "i", "f", "g", "o", "r", "z", "n"] in rows
    assert ["lstm.0.weight_hh", "0.2000", "0.110", "0.220", "0.330", "0.140"] in rows
    assert ["gru.0.weight_hh", "0.3000", "0.100", "0.200", "0.600"] in rows
    lines = io.StringIO()
    shown = display.Lines(lines)
    shown.start(MIXED)
    shown.rewire(record(10, **OF_BOTH))
    assert "density of i f g o: lstm.0.weight_hh 0.110 0.220 0.330 0.140\n" in lines.getvalue()
    assert "density of r z n: gru.0.weight_hh 0.100 0.200 0.600\n" in lines.getvalue()


def test_kernels_that_are_not_kept_are_not_said_to_be(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    from truesparse.kernels import cache

    monkeypatch.setattr(cache, "_kept", False)
    stream = io.StringIO()
    display.Lines(stream).compiling()
    with display.Live(terminal) as live:
        live.compiling()
    for shown in (stream.getvalue(), terminal.getvalue()):
        assert "compiling kernels ..." in shown


def test_it_shows_a_loss_before_the_first_record(terminal: Terminal) -> None:
    with display.Live(terminal) as live:
        live.start(INFO)
        live.step(Progress(1, 1, 3.25))
        assert screen(live)[1] == "loss 3.250"


def test_it_keeps_to_the_height_of_the_terminal_and_leaves_all_evaluations_behind(terminal: Terminal) -> None:
    with display.Live(terminal) as live:
        drive(live, 25)
        lines = screen(live)
        assert len(lines) == 19
        assert lines[-1].split()[0] == "250"
    assert sum(line.endswith("best") for line in screen(live)) == 25


def test_a_wish_to_stop_is_shown_within_it(terminal: Terminal, capfd: pytest.CaptureFixture[str]) -> None:
    live = display.Live(terminal)
    live.stopping()
    assert capfd.readouterr().err == f"\n{display.STOPPING}\n"
    with live:
        live.start(INFO)
        live.stopping()
        assert display.STOPPING in screen(live)
    assert display.STOPPING not in screen(live)
    assert capfd.readouterr().err == ""


def test_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 160.0, 220.0])
    monkeypatch.setattr(display.time, "monotonic", lambda: next(clock))
    stream = io.StringIO()
    drive(display.Lines(stream), 3)
    lines = stream.getvalue().splitlines()
    assert lines[:4] == [
        display.COMPILING,
        "a text",
        "2 weights of 10,000,000 (density 2e-07), 2 threads",
        "300 steps, 10 an epoch; the run is in run",
    ]
    steps = [line for line in lines if "tokens/s" in line]
    assert steps[0].startswith(
        "step      10  epoch   1.00  loss 3.000  perplexity    110.00  lr 2  12,345 tok"
    )
    # the clock starts with the first step after the compilation: 10 steps in 60 s, 270 to go
    assert [line.rsplit("  ", 1)[1] for line in steps] == ["-:--:-- left", "-:--:-- left", "0:27:00 left"]
    assert "step      30  validation perplexity 130.00  (best)" in lines
    assert lines[-1] == (
        "step      30  epoch 3 took 12.3 s, 0.06 of them topology updates"
        "; training FLOPs so far 0.200 of a dense model's"
    )
    assert lines[-2].strip() == "density of i f g o: lstm.0.weight_hh 0.110 0.220 0.330 0.140"


@pytest.mark.parametrize(
    ("term", "kind"), [("xterm", display.Live), ("dumb", display.Lines), ("unknown", display.Lines)]
)
def test_a_terminal_that_cannot_move_its_cursor_gets_lines(
    term: str, kind: type, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr("sys.stdout", terminal)
    assert type(display_for(as_json=False, quiet=False)) is kind
    assert type(display_for(as_json=False, quiet=True)) is display.Silent
