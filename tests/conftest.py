from __future__ import annotations

import random
from pathlib import Path

import pytest


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    """2,200 words in lines; the next word depends on the last one, so that there is something to learn."""
    rng = random.Random(1)
    lines = []
    for _ in range(200):
        number = rng.randrange(40)
        words = []
        for _ in range(10):
            words.append(f"w{number}")
            number = (3 * number + rng.randrange(3)) % 40
        lines.append(" ".join(words))
    path = tmp_path / "text.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
