from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from truesparse.data import Vocabulary
from truesparse.modelfile import Reader, StoredModel, read_model
from truesparse.nn import LanguageModelSpec, build_language_model
from truesparse.training.checkpoint import save_model
from truesparse.training.task_configs import LanguageModelConfig

SIZES = {
    "lstm": LanguageModelSpec(70, 12, 20, 2),
    "tied": LanguageModelSpec(70, 20, 20, 1, tied=True),
    "rhn": LanguageModelSpec(70, 12, 20, 2, cell="rhn", depth=3),
    "dense": LanguageModelSpec(9, 4, 6, 1),
    "almost empty": LanguageModelSpec(30, 8, 8, 1),
    "one token": LanguageModelSpec(1, 3, 3, 1),
}
DENSITIES = {"dense": 1.0, "almost empty": 0.02}
# What breaks strings of C that are written carelessly.
WORDS = ("<unk>", '"', "\\", "??=", "a\tb", "\n", "ü€", "%d", "1", "\x7f", "*/", "x" * 300)


def save(path: Path, kind: str = "lstm", vocabulary: bool = True) -> Path:
    """Save a model with random weights and biases."""
    spec = SIZES[kind]
    rng = np.random.default_rng(1)
    model = build_language_model(spec, DENSITIES.get(kind, 0.3), rng, scale=0.5)
    for bias in model.arena.biases.values():
        bias[...] = 0.5 * rng.normal(size=bias.size)
    words = (*WORDS, *(f"w{number}" for number in range(70)))[: spec.vocab_size]
    save_model(
        path, model, Vocabulary(words) if vocabulary else None, LanguageModelConfig(batch_size=2, bptt=5)
    )
    return path


def read(path: Path) -> StoredModel:
    with Reader(path) as reader:
        return read_model(reader)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A model file."""
    return save(tmp_path / "m.safetensors")
