"""A training loop written by hand: every batch, every change of the learning rate and of the connections.

    python examples/loop.py

The model learns to repeat: after three random letters and a bar come the same letters again.
"""

from __future__ import annotations

import numpy as np

import truesparse as ts
from truesparse.topology import Update

LETTERS, LENGTH = 6, 3
EPOCHS = 20


def text(count: int, seed: int) -> np.ndarray:
    """Random letters, a bar, the same letters, a bar, and so on."""
    words = np.random.default_rng(seed).integers(LETTERS, size=(count, LENGTH))
    bar = np.full((count, 1), LETTERS)
    return np.concatenate([words, bar, words, bar], axis=1).ravel()


def main() -> None:
    tokens = LETTERS + 1
    train, test = ts.Windows(text(2000, 1), 20, 32), ts.Windows(text(500, 2), 20, 32)
    model = ts.Chain(ts.Embedding(tokens, 16), ts.LSTM(64), ts.Softmax(tokens)).init(density=0.2, seed=1)

    training = ts.Training(model, ts.adam(lr=0.01).build(model.arena), clip=1.0)
    method, rng = ts.method("st-rnn"), np.random.default_rng(1)
    planned = EPOCHS * len(train)
    for epoch in range(EPOCHS):
        for k in range(len(train)):
            training.optimizer.lr = 0.01 * (1 - 0.9 * training.steps / planned)
            step = training.step(train.batch(epoch, k))
        if epoch % 5 == 4:
            line = f"epoch {epoch + 1:2}: loss {step.loss:.3f}, test {ts.evaluate(model, test).loss:.3f}"
            changed = {}
            if epoch + 1 < EPOCHS:  # what is grown needs time to learn
                changed = method.update(model.arena, Update(0.2 * (1 - epoch / EPOCHS), rng))
            moved = sum(change.grown for change in changed.values())
            print(f"{line}, {moved:,} of {model.arena.nnz:,} weights moved")

    best = (LENGTH * np.log(LETTERS)) / (2 * LENGTH + 2)  # of random letters nothing can be known
    print(f"test loss {ts.evaluate(model, test).loss:.3f}; no model can be below {best:.3f}")


if __name__ == "__main__":
    main()
