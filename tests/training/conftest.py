from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from truesparse.tasks.lm.settings import LanguageModelConfig


@pytest.fixture
def config(text_file: Path) -> LanguageModelConfig:
    """A run of 3 epochs of 50 steps each, in well under a second."""
    return LanguageModelConfig(
        data=str(text_file),
        hidden_size=12,
        layers=2,
        density=0.3,
        epochs=3,
        batch_size=4,
        bptt=10,
        dropout=0.2,
        log_interval=7,
    )


@pytest.fixture
def groups(config: LanguageModelConfig, tmp_path: Path) -> LanguageModelConfig:
    """The same of a text of 20 words, which make groups of 4 and of 5, in steps of 40 an epoch."""
    rng = random.Random(4)
    lines = [" ".join(f"w{rng.randrange(19)}" for _ in range(10)) for _ in range(200)]
    path = tmp_path / "groups.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    changes = {"layers": 1, "hidden_size": 12, "dropout": 0.0, "lr": 1.0, "lr_decay": 2.0}
    return replace(config, data=str(path), **changes)
