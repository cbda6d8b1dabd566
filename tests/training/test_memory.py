"""No array of the positions of a matrix exists in a run, but where the method needs one by definition."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from truesparse.tasks.run import train_model
from truesparse.training.config import Config

UNITS = 1792
CELLS: dict[str, dict[str, Any]] = {"lstm": {}, "gru": {}, "rhn": {"depth": 2, "lr": 0.1}}
POSITIONS = {
    "lstm": 4 * UNITS * UNITS,
    "gru": 3 * UNITS * UNITS,
    "rhn": 2 * UNITS * UNITS,
}  # of the largest matrix
SETTINGS: dict[str, dict[str, Any]] = {
    **{name: {"update_interval": 2} for name in ("st-rnn", "selfish", "set", "dsr", "rigl", "snfs")},
    "deepr": {"update_interval": 1},
    "static": {},
}


def peak_bytes(config: Config, out: Path, cell: str, method: str) -> int:
    """What a run takes at most; of a second one, since kernels are compiled in the first."""
    sizes = {"embedding_size": 64, "hidden_size": UNITS, "layers": 1, "density": 0.001}
    sizes |= {"batch_size": 2, "bptt": 10, "max_steps": 6}
    config = replace(config, cell=cell, method=method, **sizes, **CELLS[cell], **SETTINGS[method])
    train_model(config, out / "first")
    tracemalloc.start()
    try:
        train_model(config, out / "second")
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("method", [method for method in SETTINGS if method != "snfs"])
def test_a_run_has_no_room_for_a_byte_a_position(
    config: Config, tmp_path: Path, cell: str, method: str
) -> None:
    assert peak_bytes(config, tmp_path, cell, method) < POSITIONS[cell]


def test_the_momentum_of_all_positions_is_seen(config: Config, tmp_path: Path) -> None:
    assert peak_bytes(config, tmp_path, "lstm", "snfs") > 4 * POSITIONS["lstm"]
