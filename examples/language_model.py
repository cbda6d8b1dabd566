"""A language model of your own array: it learns to count in words.

python examples/language_model.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

import truesparse as ts
from truesparse import runtime

ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
    " seventeen eighteen nineteen"
)
TENS = "twenty thirty forty fifty sixty seventy eighty ninety"


def spoken(number: int) -> str:
    """A number below 100 in words."""
    ones, tens = ONES.split(), TENS.split()
    if number < 20:
        return ones[number]
    return tens[number // 10 - 2] + (f" {ones[number % 10]}" if number % 10 else "")


def main() -> None:
    text = " , ".join(spoken(number % 100) for number in range(3000)).split()
    words, ids = np.unique(text, return_inverse=True)

    train, valid = ts.Windows(ids[:-1500], batch_size=10, bptt=20), ts.Windows(ids[-1500:], 10, 20)
    layers = ts.Embedding(len(words), 32), ts.LSTM(96), ts.Softmax(len(words))
    model = ts.Chain(*layers).init(density=0.2, seed=1)
    ts.fit(model, train, ts.adam(lr=0.01), "st-rnn", epochs=10, valid=valid, progress=print)
    print(model)

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.safetensors"
        model.save(file, ts.Vocabulary(tuple(words)))
        counting = runtime.load_language_model(file).generate(
            "fifty seven , fifty eight ,", 12, temperature=0
        )
        print(*counting, sep="")


if __name__ == "__main__":
    main()
