from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from truesparse import runtime
from truesparse.data import Vocabulary
from truesparse.layers.chain import ChainSpec
from truesparse.layers.dropout.spec import Dropout
from truesparse.layers.embedding.spec import Embedding
from truesparse.layers.linear.spec import Linear
from truesparse.layers.lstm.spec import LSTM
from truesparse.layers.models import language_model
from truesparse.layers.output.spec import Softmax
from truesparse.model import Model, random_model
from truesparse.model.saving import save_model

SIZES = {
    "lstm": language_model(40, 12, 20, 2),
    "tied": language_model(40, 20, 20, 1, tied=True),
    "rhn": language_model(40, 12, 20, 2, cell="rhn", depth=3),
    "gru": language_model(40, 12, 20, 2, cell="gru"),
    "gru, unit": language_model(40, 20, 20, 1, cell="gru", tied=True, pattern="unit"),
    "gru, reset before": language_model(40, 12, 20, 2, cell="gru", reset_gate="before"),
    "gru, reset before, unit": language_model(40, 12, 20, 1, cell="gru", reset_gate="before", pattern="unit"),
    "unit": language_model(40, 12, 20, 2, pattern="unit", output_group=4),
    "linear": ChainSpec(
        Embedding(40, 12),
        Linear(9, "tanh"),
        LSTM(20),
        Dropout(0.2),
        Linear(12, "relu"),
        Softmax(40, tied=True),
    ),
    "on-lstm": language_model(40, 12, 20, 2, cell="on-lstm", chunk_size=5),
    "rhn, unit": language_model(40, 20, 20, 1, cell="rhn", depth=3, tied=True, pattern="unit"),
}


class Pair(NamedTuple):
    """The same model in training and in the runtime."""

    trained: Model
    model: runtime.LanguageModel
    path: Path


@pytest.fixture(params=SIZES.values(), ids=SIZES)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Pair:
    spec = request.param
    rng = np.random.default_rng(1)
    trained = random_model(spec, 0.3, rng, scale=0.5)
    for bias in trained.arena.biases.values():
        bias[...] = 0.5 * rng.normal(size=bias.size)
    path = tmp_path / "m.safetensors"
    words = ("the", "<eos>", *(f"w{number}" for number in range(spec.tokens - 2)))
    save_model(path, trained, Vocabulary(words))
    return Pair(trained, runtime.load(path), path)
