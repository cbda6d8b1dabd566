from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from race_helpers import SPARSE, TINY, Command, Write


@pytest.fixture
def race(run: Command) -> Command:
    return partial(run, "race")


@pytest.fixture
def write(tmp_path: Path, text_file: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a race of tiny models; the processor has bfloat16."""
    monkeypatch.setattr("truesparse.bench.race.plan.has_bfloat16", lambda: True)

    def write(sides: str = SPARSE, top: str = "minutes = 0.02", settings: str = "") -> Path:
        path = tmp_path / "tiny.toml"
        path.write_text(f'{top}\n[settings]\ndata = "{text_file}"\n{TINY}{settings}\n{sides}\n')
        return path

    return write
