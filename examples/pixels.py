"""Which pixels a sparse net looks at: digits within a frame of noise.

    python examples/pixels.py [PICTURE.png]

A digit of 8 x 8 pixels lies in the middle of 14 x 14. The frame is noise that says nothing. The net
begins with connections spread evenly over all pixels; RigL moves them to those that matter.
"""

from __future__ import annotations

import sys

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import truesparse as ts

SIZE, FRAME = 14, 3
SHADES = " .:-=+*#%@"


def images() -> tuple[np.ndarray, np.ndarray]:
    """Images of noise with a digit in the middle, a row each, and what digit it is."""
    pixels, labels = load_digits(return_X_y=True)
    noise = np.random.default_rng(0).normal(size=(len(pixels), SIZE, SIZE)).astype(np.float32)
    inner = slice(FRAME, SIZE - FRAME)
    noise[:, inner, inner] = ((pixels - pixels.mean()) / pixels.std()).reshape(-1, 8, 8)
    return noise.reshape(-1, 1, SIZE * SIZE), labels


def connections(model: ts.Model) -> np.ndarray:
    """How many weights read each pixel, shape (SIZE, SIZE)."""
    first = next(iter(model.matrices.values()))
    return np.bincount(first.indices, minlength=SIZE * SIZE).reshape(SIZE, SIZE)


def draw(counts: np.ndarray) -> None:
    """Print a map of the pixels, the darker the more connections."""
    shades = np.minimum(counts * len(SHADES) // (counts.max() + 1), len(SHADES) - 1)
    print("\n".join("".join(2 * SHADES[shade] for shade in row) for row in shades))


def main(picture: str = "") -> None:
    """Train the net and show its connections before and after."""
    rows, labels = images()
    train, test, train_labels, test_labels = train_test_split(rows, labels, random_state=0)
    layers = ts.Linear(100, "relu"), ts.Pool("last"), ts.Softmax(10)
    model = ts.Chain(*layers, features=SIZE * SIZE).init(density=0.05, seed=1)
    maps = [connections(model)]
    draw(maps[0])
    batches = ts.SequenceBatches(ts.Sequences.of(list(train)), train_labels, batch_size=64)
    rigl = ts.method("rigl", update_interval=20, drop_fraction=0.3, update_end=0.9)
    ts.fit(model, batches, ts.adam(lr=0.005, weight_decay=0.01), rigl, epochs=40)
    maps.append(connections(model))
    draw(maps[1])

    inner = np.zeros((SIZE, SIZE), bool)
    inner[FRAME:-FRAME, FRAME:-FRAME] = True
    for name, counts in zip(("before", "after"), maps, strict=True):
        print(f"{name:6} {counts[inner].mean():.1f} connections of a pixel of the digit, ", end="")
        print(f"{counts[~inner].mean():.1f} of the frame")
    told = ts.predict(model, ts.Sequences.of(list(test))).argmax(axis=1)
    print(f"test accuracy {np.mean(told == test_labels):.3f} with {model.arena.nnz:,} weights")
    if picture:
        from matplotlib import pyplot as plt

        figure, axes = plt.subplots(1, 2, figsize=(6, 3), layout="constrained")
        for axis, counts, name in zip(axes, maps, ("at first", "after 40 epochs"), strict=True):
            axis.imshow(counts, cmap="Blues", vmin=0)
            axis.set(title=f"connections {name}", xticks=[], yticks=[])
        figure.savefig(picture, dpi=120)


if __name__ == "__main__":
    main(*sys.argv[1:])
