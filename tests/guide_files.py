"""The data and models that guides suppose a reader has, by the names that they give them, but tiny."""

from __future__ import annotations

import csv
import gzip
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from keras_helpers import config, whole_file

from conftest import write_labelled, write_tagged

Write = Callable[[Path], object]
WORDS = ["<unk>", "<eos>", *(f"w{number}" for number in range(20))]  # those of write_labelled, too
E, H = 3, 12


def folder_of(write: Write, *names: str) -> Write:
    """A folder whose files are written alike."""

    def make(path: Path) -> None:
        path.mkdir()
        for name in names:
            write(path / name)

    return make


def prose(path: Path) -> None:
    """Lines of words that the guides use, and of one that stands for all others."""
    random.seed(1)
    known = (
        "it was a day in the old dark house",
        "he said the market cat sleeps",
        "a cold function of <unk> ice",
    )
    words = " ".join(known).split(" ")
    path.write_text("".join(" ".join(random.choices(words, k=10)) + "\n" for _ in range(200)))


def rows(*table: list[object]) -> Write:
    def make(path: Path) -> None:
        with path.open("w", newline="") as stream:
            csv.writer(stream).writerows(table)

    return make


def lines(*text: str) -> Write:
    return lambda path: path.write_text("\n".join(text) + "\n", encoding="utf-8")


def mnist(path: Path) -> None:
    path.mkdir()
    rng = np.random.default_rng(1)
    for part, count in (("train", 300), ("t10k", 20)):
        for name, array in (
            ("images-idx3", rng.integers(0, 256, (count, 28, 28), np.uint8)),
            ("labels-idx1", np.arange(count, dtype=np.uint8) % 10),
        ):
            head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
            (path / f"{part}-{name}-ubyte").write_bytes(head + array.tobytes())


def arrays(*shape: int) -> Write:
    """Of 80 examples of two classes."""
    X = np.random.default_rng(1).normal(size=(80, *shape)).astype(np.float32)
    return lambda path: np.savez(path, X=X, y=np.arange(80) % 2)


def gestures(path: Path) -> None:
    rng = np.random.default_rng(1)
    table = [["label", *(f"s{k}" for k in range(9))]]
    table += [["up" if k % 2 else "down", *rng.normal(k % 2, 1, 9).round(3)] for k in range(60)]
    rows(*table)(path)


def signals(path: Path) -> None:
    """Sequences of `E` features a step and a number for each step, as in docs/import.md."""
    rng = np.random.default_rng(1)
    steps = rng.normal(size=(200, E)).round(3)
    rows([*(f"f{k}" for k in range(E)), "y"], *([*step, round(step[0], 3)] for step in steps))(path)


def sales(path: Path) -> None:
    random.seed(1)
    table: list[list[object]] = [["shop", "day", "sales", "promo"]]
    for shop in ("north", "south"):
        for day in range(120):
            date = np.datetime64("2024-01-01") + day
            promo = int(random.random() < 0.2)
            table.append([shop, date, round(50 + 10 * (day % 7) + 30 * promo + random.random(), 1), promo])
    rows(*table)(path)


def vectors(path: Path) -> None:
    text = "".join(f"w{k} {' '.join(str((k * j) % 7 - 3) for j in range(E))}\n" for k in range(20)).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


def recurrent(tensors: dict[str, tuple[int, ...]], inputs: int, outputs: int) -> Write:
    """The weights of an LSTM of PyTorch and of an output layer, and others."""
    shapes = tensors | {
        "rnn.weight_ih_l0": (4 * H, inputs),
        "rnn.weight_hh_l0": (4 * H, H),
        "rnn.bias_ih_l0": (4 * H,),
        "rnn.bias_hh_l0": (4 * H,),
        "decoder.weight": (outputs, H),
        "decoder.bias": (outputs,),
    }
    rng = np.random.default_rng(1)
    return lambda path: safetensors.numpy.save_file(
        {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes.items()}, path
    )


def keras(path: Path) -> None:
    """A classifier of the words and three labels: the last state of an LSTM, and a dense layer."""
    rng = np.random.default_rng(1)
    shapes = {
        "embedding": [(len(WORDS), E)],
        "lstm": [(E, 4 * H), (H, 4 * H), (4 * H,)],
        "dense": [(H, 3), (3,)],
    }
    layers = {name: [rng.normal(0, 0.3, shape) for shape in own] for name, own in shapes.items()}
    listed = [
        config("Embedding", "embedding"),
        config("LSTM", "lstm", activation="tanh", recurrent_activation="sigmoid", return_sequences=False),
        config("Dense", "dense", activation="softmax"),
    ]
    whole_file(path.parent, listed, layers, {name: name for name in layers}).rename(path)


text_folder = folder_of(prose, "train.txt", "valid.txt", "test.txt")
FILES: dict[str, Write] = {
    "DIR": text_folder,
    "book.txt": prose,
    "small": text_folder,
    "wikitext2": text_folder,
    "ptb": folder_of(prose, "ptb.train.txt", "ptb.valid.txt", "ptb.test.txt"),
    "ptb.train.txt": prose,
    "reviews.csv": write_labelled,
    "imdb": folder_of(write_labelled, "train.csv", "test.csv"),
    "trec": folder_of(write_labelled, "train.csv", "test.csv"),
    "twitter": folder_of(write_labelled, "train.csv", "test.csv"),
    "names.conll": write_tagged,
    **dict.fromkeys(("names", "partut"), folder_of(write_tagged, "train.conll", "dev.conll", "test.conll")),
    "gestures.csv": gestures,
    "sales.csv": sales,
    "mnist": mnist,
    "wide.npz": arrays(20),
    "waves.npz": arrays(6, 3),
    "glove.6B.100d.txt": vectors,
    "cc.en.300.vec.gz": vectors,
    "words.txt": lines(*WORDS),
    "labels.txt": lines("bad", "fair", "good"),
    "dense.pt": recurrent({"encoder.weight": (len(WORDS), E)}, E, len(WORDS)),
    "dense.keras": keras,
    "filter.pt": recurrent({}, E, 1),
    "filter.csv": signals,
    "DATA": prose,
    "settings.toml": lines("density = 0.3"),
    "rates.toml": lines('task = "lm"', "[grid]", "lr = [1.0, 2.0]"),
    "FILE.toml": lines('task = "lm"', "[grid]", "lr = [1.0, 2.0]"),
    "new.txt": lines("mr w1 w2", "in w3"),
}
NEW: dict[str, Write] = {  # what a model of a task predicts from
    "classifier": lines("text", "w1 great", "w2 awful"),
    "sequences": sales,
    "mlp": rows([f"x{k + 1}" for k in range(784)], *[[0.5] * 784] * 2),
}
RUNS: dict[str, list[Any]] = {  # how to train what a guide only supposes
    "lm": ["lm", "--data", "book.txt"],
    "classifier": ["classifier", "--data", "reviews.csv"],
    "tagger": ["tagger", "--data", "names.conll"],
    "filter": ["sequences", "--data", "filter.csv", "--goal", "regress-steps"],
    "waves": ["sequences", "--data", "waves.npz"],
    "forecast": [
        *("sequences", "--data", "sales.csv", "--target-column", "sales", "--id-column", "shop"),
        *("--time-column", "day", "--horizon", "7", "--known-columns", "promo"),
    ],
}
