from __future__ import annotations

from pathlib import Path

import pytest

from truesparse.training.task_configs import LanguageModelConfig


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
