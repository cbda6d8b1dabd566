"""Your own chain: layers of four kinds classify the shape of a wave.

    python examples/chain.py

A wave is a sequence of 30 to 60 steps of one number, of any phase and frequency, and noisy.
"""

from __future__ import annotations

import numpy as np

import truesparse as ts

SHAPES = {
    "sine": np.sin,
    "square": lambda phase: np.sign(np.sin(phase)),
    "sawtooth": lambda phase: phase / np.pi % 2 - 1,
}


def waves(count: int, seed: int) -> tuple[ts.Sequences, np.ndarray]:
    """Waves, and the numbers of their shapes."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(len(SHAPES), size=count)
    shapes = list(SHAPES.values())
    sequences = []
    for label in labels:
        phase = rng.uniform(0, 7) + rng.uniform(0.3, 0.6) * np.arange(rng.integers(30, 61))
        wave = shapes[label](phase) + rng.normal(0, 0.2, len(phase))
        sequences.append(wave.astype(np.float32)[:, None])
    return ts.Sequences.of(sequences), labels


def main() -> None:
    chain = ts.Chain(
        ts.Linear(16, "tanh"),
        ts.LSTM(32),
        ts.RHN(32, depth=2, transform_bias=-1),
        ts.Pool("mean"),
        ts.Linear(16, "relu"),
        ts.Softmax(len(SHAPES)),
        features=1,
    )
    model = chain.init(density=0.3, seed=1)
    for name, matrix in model.matrices.items():
        print(f"{name:18} {matrix.shape[0]:4} x {matrix.shape[1]:2} {matrix.nnz:6,} weights")
    train, valid = (
        ts.SequenceBatches(*waves(count, seed), batch_size=32) for count, seed in ((900, 1), (300, 2))
    )
    ts.fit(
        model,
        train,
        ts.adam(lr=0.01),
        ts.method("rigl", update_interval=20),
        epochs=8,
        valid=valid,
        progress=print,
    )

    sequences, labels = waves(500, seed=3)
    told = ts.predict(model, sequences).argmax(axis=1)
    for number, shape in enumerate(SHAPES):
        print(f"{shape:10} {np.mean(told[labels == number] == number):6.1%} recognised")
    print(f"accuracy {np.mean(told == labels):.1%} with {model.arena.nnz:,} weights")


if __name__ == "__main__":
    main()
