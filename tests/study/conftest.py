from __future__ import annotations

from pathlib import Path

import pytest
from study_helpers import FLAGS, Write


@pytest.fixture
def write(tmp_path: Path, text_file: Path) -> Write:
    """Write a study of tiny models: `write(grid, top)`."""

    def write(grid: str = "lr = [1, 4]", top: str = "seeds = 2", settings: str = "") -> Path:
        path = tmp_path / "grid.toml"
        path.write_text(
            f'task = "lm"\n{top}\n[settings]\ndata = "{text_file}"\n{FLAGS}{settings}\n[grid]\n{grid}\n'
        )
        return path

    return write
