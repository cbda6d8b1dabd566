"""What is somebody doing? A sparse network listens to an acceleration sensor, one reading at a time.

    python examples/sensor.py [EPOCHS [PICTURE.png]]

The recordings are made here: 25 readings a second of three axes. A body that moves adds a rhythm to gravity,
and the sensor is worn at any angle. The network says after each reading what is going on, as on a wrist.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

import truesparse as ts
from truesparse import runtime

RATE = 25  # readings a second
# steps a second, and their force in g
ACTIVITIES = {"still": (0.0, 0.0), "walking": (1.8, 0.3), "stairs": (1.2, 0.4), "running": (2.8, 1.0)}


def recording(labels: list[int], rng: np.random.Generator, seconds: int = 3) -> np.ndarray:
    """Readings of some activities, one after the other, in g: float32 of shape (steps, 3)."""
    time = np.arange(seconds * RATE) / RATE
    parts = []
    for label in labels:
        pace, force = list(ACTIVITIES.values())[label]
        beat = 2 * np.pi * (pace * rng.uniform(0.9, 1.1) * time + rng.random())
        step = force * np.stack([0.3 * np.sin(beat / 2), 0.5 * np.cos(beat), np.sin(beat)], axis=1)
        parts.append(step + np.eye(3)[2])  # with gravity
    turned, _ = np.linalg.qr(rng.normal(size=(3, 3)) * 0.3 + np.eye(3))  # how the sensor is worn
    body = np.concatenate(parts) @ turned
    return (body + rng.normal(0, 0.1, body.shape)).astype(np.float32)


def data(count: int, rng: np.random.Generator) -> tuple[ts.Sequences, ts.Sequences]:
    """Recordings of three activities each, and the activity of each reading."""
    labels = [list(rng.integers(len(ACTIVITIES), size=3)) for _ in range(count)]
    read = ts.Sequences.of([recording(each, rng) for each in labels])
    return read, ts.Sequences.of([np.repeat(np.array(each, np.int32), 3 * RATE) for each in labels])


def main(epochs: int = 12, picture: str = "") -> None:
    """Train, then follow a new recording reading by reading."""
    rng = np.random.default_rng(0)
    train, valid = (ts.SequenceBatches(*data(count, rng), batch_size=20) for count in (400, 60))
    model = ts.Chain(ts.GRU(48), ts.Softmax(len(ACTIVITIES)), features=3).init(density=0.2, seed=1)
    ts.fit(model, train, ts.adam(lr=0.01), "st-rnn", epochs=epochs, valid=valid, progress=print)
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "sensor.safetensors", labels=list(ACTIVITIES))
        stream = runtime.load(Path(folder) / "sensor.safetensors").stream()

    labels = [0, 1, 3, 2, 0]
    body = recording(labels, rng, 6)
    said = np.exp([stream.step(reading) for reading in body])
    right = np.repeat(labels, 6 * RATE)
    print(f"{np.mean(said.argmax(axis=1) == right):.1%} of the readings are right", end="")
    print(f", with {model.arena.nnz:,} weights")
    if picture:
        from matplotlib import pyplot as plt

        figure, (above, below) = plt.subplots(2, 1, figsize=(8, 4), sharex=True, layout="constrained")
        time = np.arange(len(body)) / RATE
        above.plot(time, body, linewidth=0.7)
        above.set(ylabel="acceleration in g", title=" → ".join(list(ACTIVITIES)[label] for label in labels))
        below.stackplot(time, said.T, labels=list(ACTIVITIES))
        below.set(xlabel="seconds", ylabel="probability", xlim=(0, time[-1]), ylim=(0, 1))
        below.legend(loc="lower left", ncols=4)
        figure.savefig(picture, dpi=120)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]), *sys.argv[2:])
