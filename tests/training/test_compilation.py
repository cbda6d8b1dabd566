"""In a process of its own: other tests call kernels with types of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import gc, sys
from pathlib import Path

from numba.core.dispatcher import Dispatcher

from truesparse.tasks.lm.settings import LanguageModelConfig
from truesparse.tasks.run import resume_run, train_model
from truesparse.tasks.use import evaluate_file

run = Path(sys.argv[2])
config = LanguageModelConfig(
    data=sys.argv[1], hidden_size=12, layers=2, density=0.3, batch_size=4, bptt=10, dropout=0.2,
    max_steps=12, eval_interval=5, update_interval=5, cell=sys.argv[3], method=sys.argv[4],
    label_smoothing=0.1 if sys.argv[4] == "rigl" else 0.0,  # which reads dense gradients too
)
train_model(config, run)
resume_run(run, {"max_steps": 24})
evaluate_file(run)
kernels = [
    thing
    for thing in gc.get_objects()
    if isinstance(thing, Dispatcher)
    and thing.py_func.__module__.startswith(("truesparse.kernels", "truesparse.layers"))
    and not thing.targetoptions.get("forceinline")
]
for kernel in kernels:
    print(kernel.py_func.__qualname__, len(kernel.signatures))
"""


@pytest.mark.parametrize(
    ("cell", "method", "other"),
    [
        ("lstm", "st-rnn", "drop_words"),
        ("rhn", "rigl", "dropout"),
        ("lstm", "snfs", "drop_words"),
        ("gru", "st-rnn", "drop_words"),
    ],
)
def test_every_kernel_is_compiled_once(
    text_file: Path, tmp_path: Path, cell: str, method: str, other: str
) -> None:
    """Arrays of a checkpoint and windows of any length have the types of those that came first."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, text_file, tmp_path / "run", cell, method],
        capture_output=True,
        text=True,
        check=True,
    )
    compiled = [line.split() for line in done.stdout.splitlines()]
    assert len(compiled) > 10
    assert [line for line in compiled if int(line[1]) > 1] == []
    # other optimizers, losses and inputs, and what is kept only when asked for
    unused = {"sgd", "adam", "adam_by_age", "average", "average_by_age", "squared_error", "mark_positions"}
    unused.add("place_rows")
    unused |= {other} | ({"decay_and_add"} if method != "snfs" else set())
    unused |= {"smooth_gradients", "smoothing_loss"} if method != "rigl" else set()
    assert {name for name, count in compiled if count == "0"} <= unused
