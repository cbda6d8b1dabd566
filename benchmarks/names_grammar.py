"""Sentences with names of two kinds, drawn from a grammar whose best possible score is known.

    python benchmarks/names_grammar.py names

writes ``names/train.conll`` (3,000 sentences), ``valid.conll`` and ``test.conll`` (500 each) for ``truesparse
train tagger --data names``. A name is one to three of 400 words that tell nothing of its kind, a person or a
place. Nine in twenty names have a word before them that tells it (``mr``, ``in``), nine in twenty one after
them (``slept``, ``river``), with up to two adjectives between, and one in ten has neither. So whoever reads
both ways tells the kind of 95 % of the names at best, and whoever reads from left to right of 72.5 %. What is
a name, and where it begins, is said by the words before it, so these are the best F1 too.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

KINDS = {
    "PER": (("mr", "mrs", "dr"), ("slept", "said", "laughed")),
    "LOC": (("in", "near"), ("river", "street")),
}
BETWEEN = ("old", "young", "dear", "little")
NAMES = [f"Name{number}" for number in range(400)]
OTHERS = [f"word{number}" for number in range(500)]
SENTENCES = {"train": 3000, "valid": 500, "test": 500}


def sentence(rng: np.random.Generator) -> list[tuple[str, str]]:
    """Tokens with their labels: one to three names, and some other words before, between and behind."""

    def some(words: tuple[str, ...] | list[str], low: int, high: int) -> list[tuple[str, str]]:
        return [(str(rng.choice(words)), "O") for _ in range(rng.integers(low, high + 1))]

    tokens = some(OTHERS, 1, 4)
    for _ in range(rng.integers(1, 4)):
        kind = str(rng.choice(list(KINDS)))
        before, after = KINDS[kind]
        where = rng.choice(["before", "after", "nowhere"], p=[0.45, 0.45, 0.1])
        if where == "before":
            tokens += some(before, 1, 1) + some(BETWEEN, 0, 2)
        for place in range(rng.integers(1, 4)):
            tokens.append((str(rng.choice(NAMES)), f"{'I' if place else 'B'}-{kind}"))
        if where == "after":
            tokens += some(BETWEEN, 0, 2) + some(after, 1, 1)
        tokens += some(OTHERS, 1, 4)
    return tokens


def main(folder: Path) -> None:
    """Write the three files; always the same."""
    folder.mkdir()
    rng = np.random.default_rng(1)
    for part, count in SENTENCES.items():
        blocks = ("\n".join("\t".join(pair) for pair in sentence(rng)) for _ in range(count))
        (folder / f"{part}.conll").write_text("\n\n".join(blocks) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
