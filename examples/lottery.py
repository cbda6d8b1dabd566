"""Lottery tickets: what are the connections worth that a model found while it learned?

    python examples/lottery.py [EPOCHS [PICTURE.png]]

A sparse LSTM reads handwritten digits, an image row by row. Four models have as many weights:
connections that never change; connections that RigL moves; and two that begin with the connections
that RigL found, which then stay, with new values or with those of the end.
"""

from __future__ import annotations

import sys

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import truesparse as ts

DENSITY = 0.02
SEEDS = 1, 2, 3


def digits() -> tuple[ts.SequenceBatches, ts.Sequences, np.ndarray]:
    """Batches to train on, and sequences with labels to test on."""
    pixels, labels = load_digits(return_X_y=True)
    rows = ((pixels - pixels.mean()) / pixels.std()).astype(np.float32).reshape(-1, 8, 8)
    train, test, train_labels, test_labels = train_test_split(rows, labels, random_state=0)
    batches = ts.SequenceBatches(ts.Sequences.of(list(train)), train_labels, batch_size=32)
    return batches, ts.Sequences.of(list(test)), test_labels


def main(epochs: int = 15, picture: str = "") -> None:
    """Train four models for each seed and print how many digits each one recognises."""
    batches, test, labels = digits()
    chain = ts.Chain(ts.LSTM(64), ts.Pool("last"), ts.Softmax(10), features=8)
    scores: dict[str, list[float]] = {}

    def trained(kind: str, model: ts.Model, method: str | ts.Method = "static") -> ts.Model:
        ts.fit(model, batches, ts.adam(lr=0.01), method, epochs=epochs)
        told = ts.predict(model, test).argmax(axis=1)
        scores.setdefault(kind, []).append(float(np.mean(told == labels)))
        return model

    for seed in SEEDS:
        trained("fixed", chain.init(DENSITY, seed=seed))
        rigl = ts.method("rigl", update_interval=20)
        found = trained("moved by RigL", chain.init(DENSITY, seed=seed), rigl)
        trained("found by RigL, new values", chain.init(topology=found, seed=seed + 10))
        trained("found by RigL, trained on", found)
    print(f"test accuracy of {found.arena.nnz:,} weights, mean and deviation of {len(SEEDS)} seeds")
    for kind, each in scores.items():
        print(f"{kind:26} {np.mean(each):.3f} ± {np.std(each):.3f}")
    if picture:
        from matplotlib import pyplot as plt

        figure, axis = plt.subplots(figsize=(8, 2.5), layout="constrained")
        means, deviations = ([f(each) for each in scores.values()] for f in (np.mean, np.std))
        axis.barh(list(scores), means, xerr=deviations, capsize=4)
        axis.set(xlabel=f"test accuracy of {found.arena.nnz:,} weights", xlim=(0, 1))
        axis.invert_yaxis()
        figure.savefig(picture, dpi=120)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]), *sys.argv[2:])
