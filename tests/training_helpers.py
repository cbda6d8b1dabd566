from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from truesparse.modelfile.container import Reader
from truesparse.training.reporter import Progress, Reporter

TIMES = {
    *("seconds", "epoch_seconds", "update_seconds", "seconds_per_epoch", "tokens_per_second"),
    *("peak_memory_bytes", "run_dir", "threads", "net_seconds", "step_seconds"),
}

MPIEXEC = next(
    filter(None, (shutil.which("mpiexec", path=str(Path(sys.executable).parent)), shutil.which("mpiexec"))),
    "",
)


class StopAt(Reporter):
    """Wishes to stop after a step; a fraction stops within the evaluation that follows the step."""

    def __init__(self, step: float) -> None:
        self.wanted = step
        self.done = 0
        self.asked = 0

    def step(self, progress: Progress) -> None:
        self.done = progress.step
        self.asked = 0

    def __call__(self) -> bool:
        self.asked += 1
        return self.done >= self.wanted or (self.done + 0.5 >= self.wanted and self.asked > 2)


def tensors(path: Path) -> dict[str, bytes]:
    with Reader(path) as reader:
        return {name: reader.get(name).tobytes() for name in reader.names}


def records(run: Path, kind: str | None = None) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [record for record in lines if kind in (None, record["kind"])]


def without_times(values: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in record.items() if key not in TIMES} for record in values]


def assert_same_end(run: Path, other: Path) -> None:
    for name in ("checkpoint.safetensors", "model.safetensors"):
        mine, theirs = tensors(run / name), tensors(other / name)
        assert mine.keys() == theirs.keys()
        assert [key for key in mine if mine[key] != theirs[key]] == []
    assert without_times(records(run)) == without_times(records(other))
