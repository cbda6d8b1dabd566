"""A tagger that reads both ways: who is a person and what is a place, said before a name or after it.

    python examples/tagger.py

The sentences are made up. `truesparse train tagger --data FILE.conll --bidirectional` does the same for files
with a token and its label in each line.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

import truesparse as ts
from truesparse import runtime

NAMES = ["Ada", "Bath", "Clare", "Devon", "Eden", "Florence", "Kent", "Lincoln", "Paris", "Sydney"]
OTHERS = ["we", "heard", "that", "yesterday", "again", "it", "rained"]
BEFORE = {"PER": ["Mrs", "Dr"], "LOC": ["in", "near"]}
AFTER = {"PER": ["laughed", "slept"], "LOC": ["river", "street"]}


def sentences(count: int, seed: int) -> tuple[list[list[str]], list[list[str]]]:
    """Tokens of sentences, and their labels."""
    rng = np.random.default_rng(seed)
    tokens, labels = [], []
    for _ in range(count):
        kind = str(rng.choice(["PER", "LOC"]))
        name = list(rng.choice(NAMES, rng.integers(1, 3)))
        told = ["B-" + kind] + ["I-" + kind] * (len(name) - 1)
        before, after = [], []
        if rng.random() < 0.5:
            before = [str(rng.choice(BEFORE[kind]))]
        else:
            after = [str(rng.choice(AFTER[kind]))]
        first, last = (list(rng.choice(OTHERS, rng.integers(1, 4))) for _ in range(2))
        tokens.append([*first, *before, *map(str, name), *after, *last])
        labels.append(["O"] * len(first + before) + told + ["O"] * len(after + last))
    return tokens, labels


def main() -> None:
    tokens, labels = sentences(1000, seed=1)
    kinds = sorted({label for told in labels for label in told})
    encoder = ts.TokenEncoder.build((token for words in tokens for token in words), size=1000)

    def batches(tokens: list[list[str]], labels: list[list[str]]) -> ts.SequenceBatches:
        numbers = [np.array([kinds.index(label) for label in told], np.int32) for told in labels]
        inputs = ts.Sequences.of([encoder.encode(words) for words in tokens])
        return ts.SequenceBatches(inputs, ts.Sequences.of(numbers), batch_size=32)

    chain = ts.Chain(
        ts.Embedding(len(encoder.vocabulary), 16),
        ts.Bidirectional(ts.GRU(24)),
        ts.Softmax(len(kinds), sparse=False),
    )
    model = chain.init(density=0.3, seed=1)
    valid = batches(*sentences(200, seed=2))
    ts.fit(model, batches(tokens, labels), ts.adam(lr=0.01), "st-rnn", epochs=6, valid=valid, progress=print)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "names.safetensors"
        model.save(path, encoder, kinds)
        tagger = runtime.load_tagger(path)
    tokens, labels = sentences(300, seed=3)
    told = tagger.predict(tokens)
    right = [mine == its for pair in zip(told, labels, strict=True) for mine, its in zip(*pair, strict=True)]
    print(f"{np.mean(right):.1%} of the tokens are labelled right, with {model.arena.nnz:,} weights")
    for words in (["we", "heard", "that", "Clare", "laughed"], ["it", "rained", "near", "Clare", "again"]):
        (own,) = tagger.predict([words])
        print(
            " ".join(
                word if label == "O" else f"{word}/{label}" for word, label in zip(words, own, strict=True)
            )
        )


if __name__ == "__main__":
    main()
