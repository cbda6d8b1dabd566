"""A filter is learned from what goes in and what comes out, and becomes C code much faster than sound.

    python examples/filter.py [DIR] [SEQUENCES]

The filter is known, so that the error can be told: y[t] = 0.9 y[t-1] - 0.3 y[t-2] + 0.4 u[t], a low-pass
filter of second order, on white noise. 40 gated recurrent units, of whose connections one in ten exists, say
y at each step. It takes half a minute of processor time. DIR gets the C source, which is compiled and timed
if there is a compiler.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import truesparse as ts
from truesparse import runtime
from truesparse.export import export_model

STEPS, RATE = 50, 48_000  # of a training sequence; samples a second


def filtered(u: np.ndarray) -> np.ndarray:
    """What the filter makes of signals, of shape (sequences, steps)."""
    y = np.zeros((len(u), u.shape[1] + 2))
    for t in range(u.shape[1]):
        y[:, t + 2] = 0.9 * y[:, t + 1] - 0.3 * y[:, t] + 0.4 * u[:, t]
    return y[:, 2:]


def columns(signals: np.ndarray) -> ts.Sequences:
    """Signals as sequences of one number a step."""
    return ts.Sequences.of(list(signals[:, :, None].astype(np.float32)))


def main() -> None:
    rng = np.random.default_rng(0)
    u = rng.standard_normal((int(sys.argv[2]) if len(sys.argv) > 2 else 1280, STEPS))
    y = filtered(u)
    train = ts.SequenceBatches(columns(u), columns(y), 64)
    head = ts.SquaredError(1, mean=(y.mean(),), scale=(y.std(),))
    model = ts.Chain(ts.GRU(40, "unit"), head, features=1).init(density=0.1, seed=1)
    ts.fit(model, train, ts.adam(lr=0.02, clip=1.0), "st-rnn", epochs=40)
    for lr in (0.005, 0.00125):
        ts.fit(model, train, ts.adam(lr=lr, clip=1.0), "static", epochs=20)
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp()) / "filter"
    with tempfile.TemporaryDirectory() as made:
        model.save(Path(made) / "model")
        u = rng.standard_normal((1, 2000))  # longer than any that was learned from
        said = np.array(runtime.load_sequence_model(Path(made) / "model").predict(u))[:, :, 0]
        export_model(Path(made) / "model", "c", folder)
    error = np.mean((said - filtered(u)) ** 2) / filtered(u).var()
    print(f"{model.arena.nnz} weights, error {error:.1e} of the variance; C source in {folder}")

    compiler = shutil.which("clang") or shutil.which("gcc")
    if compiler:
        flags = ["-std=c99", "-O3", "-march=native"]
        subprocess.run([compiler, *flags, "-o", "filter", "main.c", "model.c", "-lm"], cwd=folder, check=True)
        shown = subprocess.check_output([folder / "filter", "--time", "200000"], text=True)
        times = 1e6 / RATE / float(shown.split()[0])
        print(f"{shown.strip()}, {times:.0f} times as fast as sound of {RATE:,} samples a second")


if __name__ == "__main__":
    main()
