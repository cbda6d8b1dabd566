"""Studies of tiny models, and what is left of them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from click.testing import Result

from truesparse.study.run import StudyReporter

FLAGS = "hidden_size = 8\ndensity = 0.3\nbatch_size = 4\nbptt = 10\nmax_steps = 12\n"

Run = Callable[..., Result]
Write = Callable[..., Path]


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


class Noting(StudyReporter):
    """Notes which runs are done, and wishes to stop after so many steps of all runs."""

    def __init__(self, steps: float = math.inf) -> None:
        self.names: list[str] = []
        self.left = steps

    def run(self, run: Any, done: Any) -> None:
        self.names.append(run.name)

    def step(self, progress: Any) -> None:
        self.left -= 1

    def stop(self) -> bool:
        return self.left <= 0
