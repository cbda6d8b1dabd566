from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from truesparse.data import TextEncoder, TokenEncoder, Vocabulary
from truesparse.layers.bidirectional.spec import Bidirectional
from truesparse.layers.chain import ChainSpec
from truesparse.layers.dropout.spec import Dropout
from truesparse.layers.embedding.spec import Embedding
from truesparse.layers.gru.spec import GRU
from truesparse.layers.layer_norm.spec import LayerNorm
from truesparse.layers.linear.spec import Linear
from truesparse.layers.lstm.spec import LSTM
from truesparse.layers.models import language_model, sequence_model
from truesparse.layers.mos.spec import MixtureOfSoftmaxes
from truesparse.layers.output.spec import Softmax
from truesparse.layers.pool.spec import Pool
from truesparse.layers.residual.spec import Residual
from truesparse.layers.rhn.spec import RHN
from truesparse.model import random_model
from truesparse.model.saving import save_model
from truesparse.modelfile import Reader, StoredModel, read_model

# Those of a norm have names that say so: ONNX has no nodes for it.
CLASSIFIERS = {
    "last": sequence_model(70, 12, 20, 2, outputs=3),
    "mean": sequence_model(70, 12, 20, 1, pooling="mean", sparse_output=True),
    "max": sequence_model(70, 12, 20, 1, outputs=5, pooling="max"),
    "rhn, last": sequence_model(70, 12, 20, 1, cell="rhn", depth=2, outputs=3, sparse_output=True),
    "rhn, mean": sequence_model(70, 12, 20, 2, cell="rhn", depth=3, pooling="mean"),
    "gru, last": sequence_model(70, 12, 20, 2, cell="gru", outputs=3),
    "gru, max": sequence_model(
        70, 12, 20, 1, cell="gru", reset_gate="before", outputs=3, pooling="max", sparse_output=True
    ),
    "lstm, rhn": ChainSpec(
        Embedding(70, 12), LSTM(8), Dropout(0.1), RHN(10, depth=2), Pool("mean"), Softmax(3, sparse=False)
    ),
    "linear, mean": ChainSpec(
        Embedding(70, 12), LSTM(20), Linear(9, "tanh"), Pool("mean"), Linear(30, "relu"), Softmax(4)
    ),
    "linear, last": ChainSpec(Embedding(70, 12), LSTM(20), Pool(), Linear(9), Softmax(3, sparse=False)),
    "mos, max": ChainSpec(
        Embedding(70, 12), LSTM(20), Pool("max"), MixtureOfSoftmaxes(4, experts=3, latent=6)
    ),
    "norm, mean": ChainSpec(
        *(Embedding(70, 12), LSTM(20), Residual(LayerNorm(), Linear(30, "relu"), Linear(20))),
        *(LayerNorm(), Pool("mean"), Softmax(3)),
    ),
    "linear before last": ChainSpec(Embedding(70, 12), LSTM(20), Linear(9, "tanh"), Pool(), Softmax(3)),
    "rhn, max": sequence_model(70, 12, 20, 1, cell="rhn", depth=2, outputs=3, pooling="max"),
}
BOTH = {  # classifiers and taggers of both directions
    "both, last": sequence_model(70, 12, 20, 2, outputs=3, bidirectional=True),
    "both, gru, max": sequence_model(70, 12, 20, 1, "gru", outputs=3, pooling="max", bidirectional=True),
    "both, rhn, mean": sequence_model(
        70, 12, 20, 1, "rhn", depth=2, outputs=3, pooling="mean", bidirectional=True, sparse_output=True
    ),
    "both, steps": sequence_model(70, 12, 20, 2, pattern="unit", outputs=5, pooling="", bidirectional=True),
    "both, gru, steps": sequence_model(70, 12, 20, 1, "gru", outputs=3, pooling="", bidirectional=True),
    "both, mos, steps": ChainSpec(
        Embedding(70, 12), Bidirectional(GRU(9)), MixtureOfSoftmaxes(5, experts=2, latent=7)
    ),
    "both, norm": ChainSpec(
        *(Embedding(70, 12), Residual(LayerNorm(), Linear(9, "relu"), Linear(12)), Bidirectional(LSTM(8))),
        *(LayerNorm(), Residual(Linear(16, "tanh")), Softmax(5)),
    ),
    "both, then forward": ChainSpec(
        *(Embedding(70, 12), Linear(9, "tanh"), Bidirectional(LSTM(8)), Linear(7), LSTM(20, "unit")),
        *(Pool(), Linear(6, "relu"), Softmax(4)),
    ),
}
TAGGERS = {
    "tagger": sequence_model(70, 12, 20, 2, outputs=5, pooling=""),
    "tagger, rhn": sequence_model(
        70, 12, 20, 1, cell="rhn", depth=2, outputs=3, pooling="", sparse_output=True
    ),
}
SIZES = {
    "lstm": language_model(70, 12, 20, 2),
    "tied": language_model(70, 20, 20, 1, tied=True),
    "rhn": language_model(70, 12, 20, 2, cell="rhn", depth=3),
    "gru": language_model(70, 12, 20, 2, cell="gru"),
    "gru, unit": language_model(70, 20, 20, 1, cell="gru", tied=True, pattern="unit", output_group=2),
    "gru, reset before": language_model(70, 12, 20, 2, cell="gru", reset_gate="before"),
    "gru, reset before, unit": language_model(70, 12, 20, 1, cell="gru", reset_gate="before", pattern="unit"),
    "gru of both kinds": ChainSpec(
        Embedding(70, 12), GRU(20, reset_gate="before"), GRU(20), LSTM(20), Softmax(70, tied=False)
    ),
    "of two sizes": ChainSpec(Embedding(70, 12), LSTM(8), Dropout(0.3), LSTM(13, "unit"), Softmax(70)),
    "rhn, lstm": ChainSpec(Embedding(70, 8), RHN(8, depth=2), LSTM(8), Softmax(70, tied=True)),
    "linear": ChainSpec(
        Embedding(70, 12), Linear(9, "tanh"), LSTM(20), LSTM(20), Linear(12, "relu"), Softmax(70, tied=True)
    ),
    "linear, per step": ChainSpec(Embedding(70, 12), LSTM(20), Linear(9, "tanh"), Linear(8), Softmax(70)),
    "linear between": ChainSpec(Embedding(70, 12), LSTM(20), Linear(20), LSTM(20), Softmax(70)),
    "unit": language_model(70, 12, 20, 2, pattern="unit", output_group=2),
    "on-lstm": language_model(70, 12, 20, 2, cell="on-lstm", chunk_size=5),
    "on-lstm, unit": language_model(70, 20, 20, 1, cell="on-lstm", chunk_size=10, tied=True, pattern="unit"),
    "mos": language_model(70, 12, 20, 2, experts=3),
    "mos, unit": language_model(
        70, 8, 20, 1, cell="gru", experts=4, tied=True, pattern="unit", output_group=2
    ),
    "mos of one": ChainSpec(
        Embedding(70, 12), LSTM(20), Linear(9), MixtureOfSoftmaxes(70, experts=1, latent=5)
    ),
    "norm": ChainSpec(
        *(Embedding(70, 12), LSTM(20), LayerNorm(), Residual(LayerNorm(), Linear(30, "relu"), Linear(20))),
        Softmax(70),
    ),
    "norm of the embedding": ChainSpec(
        *(Embedding(70, 13), LayerNorm(), Residual(Linear(13, "srelu")), LSTM(20), LSTM(20)),
        *(LayerNorm(1e-3), MixtureOfSoftmaxes(70, experts=2, latent=5)),
    ),
    "norm, tied, unit": ChainSpec(
        *(Embedding(70, 20, group=2), Residual(LayerNorm(), Linear(9, "selu"), LayerNorm(), Linear(20))),
        *(GRU(20, "unit"), LayerNorm(), Softmax(70, tied=True, group=2)),
    ),
    "dense": language_model(9, 4, 6, 1),
    "almost empty": language_model(30, 8, 8, 1),
    "two tokens": language_model(2, 3, 3, 1),
    **CLASSIFIERS,
    **TAGGERS,
}
DENSITIES = {"dense": 1.0, "almost empty": 0.02}
# What breaks strings of C that are written carelessly.
WORDS = ("<unk>", '"', "\\", "??=", "a\tb", "\n", "ü€", "%d", "1", "\x7f", "*/", "x" * 300)
LABELS = ("good", "bad", '"\\\n', "ü", "??!")


def save(path: Path, kind: str = "lstm", vocabulary: bool = True, first: int = 0) -> Path:
    """Save a model with random weights and biases; `first` of `WORDS` is its first token."""
    chain = (SIZES | BOTH)[kind]
    rng = np.random.default_rng(1)
    model = random_model(chain, DENSITIES.get(kind, 0.3), rng, scale=0.5)
    for bias in model.arena.biases.values():
        bias[...] = 0.5 * rng.normal(size=bias.size)
    words = Vocabulary((*WORDS[first:], *(f"w{number}" for number in range(70)))[: chain.tokens])
    if kind in (*CLASSIFIERS, *TAGGERS, *BOTH):
        encoder = TokenEncoder(words) if chain.per_step else TextEncoder(words, 9)
        save_model(path, model, words, encoder, LABELS[: chain.head.outputs], {"batch_size": 20})
    else:
        save_model(path, model, words if vocabulary else None, history={"batch_size": 20, "bptt": 10})
    return path


def data_for(folder: Path, kind: str) -> Path:
    """What to measure such a model on."""
    if kind in CLASSIFIERS:
        path = folder / "texts.csv"
        rows = [f"{LABELS[n % 2]},w{n % 9} w{n % 7} {'w3 ' * (n % 5)}" for n in range(60)]
        path.write_text("\n".join(["label,text", *rows]) + "\n")
    elif kind in TAGGERS:
        path = folder / "sentences.conll"
        path.write_text("".join(f"w{n % 9} {LABELS[n % 2]}\n" + "\n" * (n % 5 == 0) for n in range(60)))
    else:
        path = folder / "text.txt"
        path.write_text("1 w5 1 w7 w9 " * 180)
    return path


def read(path: Path) -> StoredModel:
    """The model as exports have it."""
    with Reader(path) as reader:
        return read_model(reader).with_sparse_output()


STRICT = ["-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-Wdouble-promotion", "-Wconversion"]
COMPILERS = [compiler for compiler in ("gcc", "clang") if shutil.which(compiler)] or [""]
needs_compiler = pytest.mark.skipif(not COMPILERS[0], reason="neither gcc nor clang is installed")


def compile_and_run(
    folder: Path, *arguments: str, compiler: str = "", flags: tuple[str, ...] = ("-O2",)
) -> subprocess.CompletedProcess[str]:
    sources = sorted(path.name for path in folder.glob("*.c"))
    command = [compiler or COMPILERS[0], *STRICT, *flags, "-o", "program", *sources, "-lm"]
    subprocess.run(command, cwd=folder, check=True)
    return run(folder, *arguments)


def run(folder: Path, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    command = ["./program", *arguments]
    return subprocess.run(
        command, cwd=folder, input=given, capture_output=True, check=False, encoding="utf-8"
    )


def library_of(folder: Path) -> ctypes.CDLL:
    command = [COMPILERS[0], *STRICT, "-shared", "-fPIC", "-O1", "-o", "model.so", "model.c", "-lm"]
    subprocess.run(command, cwd=folder, check=True)
    return ctypes.CDLL(str(folder / "model.so"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A model file."""
    return save(tmp_path / "m.safetensors")
