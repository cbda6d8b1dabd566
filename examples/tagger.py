"""A tagger that reads both ways: who is a person and what is a place, said before a name or after it.

    python examples/tagger.py [EPOCHS [PICTURE.png]]

The sentences are made up. `truesparse train tagger --bidirectional --data FILE.conll` does so for files.
"""

from __future__ import annotations

import sys
import tempfile
from itertools import chain
from pathlib import Path

import numpy as np

import truesparse as ts
from truesparse import runtime

NAMES = ["Ada", "Bath", "Clare", "Devon", "Eden", "Florence", "Kent", "Lincoln", "Paris", "Sydney"]
OTHERS = ["we", "heard", "that", "yesterday", "again", "it", "rained"]
HINTS = {"PER": (["Mrs", "Dr"], ["laughed", "slept"]), "LOC": (["in", "near"], ["river", "street"])}
KINDS = ["B-LOC", "B-PER", "I-LOC", "I-PER", "O"]
NEW = "we heard that Clare laughed", "it rained near Clare again", "yesterday Mrs Florence Kent slept"


def sentences(count: int, seed: int) -> tuple[list[list[str]], list[list[str]]]:
    """Tokens of sentences, and their labels."""
    rng = np.random.default_rng(seed)
    tokens, labels = [], []
    for _ in range(count):
        kind, hint = str(rng.choice(["PER", "LOC"])), rng.random() < 0.5
        name = list(rng.choice(NAMES, rng.integers(1, 3)))
        before = [*rng.choice(OTHERS, rng.integers(1, 4)), *([rng.choice(HINTS[kind][0])] if hint else [])]
        after = [*([] if hint else [rng.choice(HINTS[kind][1])]), *rng.choice(OTHERS, rng.integers(1, 4))]
        tokens.append([str(token) for token in before + name + after])
        own = ["B-" + kind] + ["I-" + kind] * (len(name) - 1)
        labels.append(["O"] * len(before) + own + ["O"] * len(after))
    return tokens, labels


def main(epochs: int = 6, picture: str = "") -> None:
    """Train a tagger, save it, and use it where nothing is installed but NumPy and safetensors."""
    train = sentences(1000, seed=1)
    encoder = ts.TokenEncoder.build(chain(*train[0]), size=1000)

    def batches(tokens: list[list[str]], labels: list[list[str]]) -> ts.SequenceBatches:
        numbers = [np.array([KINDS.index(label) for label in each], np.int32) for each in labels]
        inputs = ts.Sequences.of([encoder.encode(words) for words in tokens])
        return ts.SequenceBatches(inputs, ts.Sequences.of(numbers), batch_size=32)

    layers = ts.Embedding(len(encoder.vocabulary), 16), ts.Bidirectional(ts.GRU(24))
    model = ts.Chain(*layers, ts.Softmax(len(KINDS), sparse=False)).init(density=0.3, seed=1)
    valid = batches(*sentences(200, seed=2))
    ts.fit(model, batches(*train), ts.adam(lr=0.01), "st-rnn", epochs=epochs, valid=valid, progress=print)
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "names.safetensors", encoder, KINDS)
        tagger = runtime.load_tagger(Path(folder) / "names.safetensors")

    tokens, labels = sentences(300, seed=3)
    right = np.array([*chain(*tagger.predict(tokens))]) == [*chain(*labels)]
    print(f"{right.mean():.1%} of the tokens are labelled right, with {model.arena.nnz:,} weights")
    new = [text.split() for text in NEW]
    for words, own in zip(new, tagger.predict(new), strict=True):
        print(*(word if label == "O" else f"{word}/{label}" for word, label in zip(words, own, strict=True)))
    if picture:
        from matplotlib import pyplot as plt

        figure, axes = plt.subplots(1, 3, figsize=(9, 3), layout="constrained")
        sure = tagger.log_probabilities([encoder.encode(words) for words in new])
        for axis, words, each in zip(axes, new, sure, strict=True):
            axis.imshow(np.exp(each).T, cmap="Blues", vmin=0, vmax=1, aspect="auto")
            axis.set_xticks(range(len(words)), words, rotation=45, ha="right")
            axis.set_yticks(range(len(KINDS)), KINDS)
        figure.savefig(picture, dpi=120)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]), *sys.argv[2:])
