"""Tiny races, and answers in the place of their processes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from truesparse.bench.contest import ContestantError
from truesparse.bench.race import run

TINY = "hidden_size = 8\nbatch_size = 4\nbptt = 10\n"
SPARSE = "[sparse.settings]\ndensity = 0.3\n[sparse.grid]\nlr = [1.0, 4.0]\n"

Command = Callable[..., Result]
Write = Callable[..., Path]


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


class Answers:
    """Answers in the place of the processes, with a perplexity for each candidate."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, perplexities: dict[Any, float]) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self.interrupt = math.inf
        self.fails: set[tuple[str, str, float]] = set()  # questions, names and learning rates
        self.failed: dict[float, str] = {}  # what trained candidates of a learning rate say
        self._perplexities = perplexities
        monkeypatch.setattr(run, "_ask", self)
        monkeypatch.setattr(run, "busy_cores", lambda seconds: 0.0)
        monkeypatch.setattr("truesparse.bench.settings.installed", lambda package: True)

    def __call__(self, question: str, entrant: Any, chosen: Any, folder: Path, *_: Any, **__: Any) -> Any:
        if len(self.asked) >= self.interrupt:
            raise KeyboardInterrupt
        self.asked.append((question, entrant.name, chosen.name))
        if (question, entrant.name, chosen.config.lr) in self.fails:
            raise ContestantError(entrant.worker, "it was killed, as the test wants")
        value = self._perplexities[entrant.name, chosen.config.lr, chosen.config.seed]
        if question == "race_test":
            return {"loss": math.log(value + 1)}
        if math.isnan(value):
            return {"diverged": "as the test wants"}
        (folder / "model.safetensors").touch()
        records = [
            {"kind": "eval", "seconds": 0.6 * (k + 1), "perplexity": value + 1 - k, "best": True}
            for k in (0, 1)
        ]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
        valid = {"perplexity": value, "loss": math.log(value)}
        costs = dict.fromkeys(
            ("epochs", "seconds", "tokens_per_second", "nnz", "relative_flops", "threads"), 1
        )
        failed = self.failed.get(chosen.config.lr)
        return {"valid": valid, **costs, **({"failed": failed} if failed else {})}


PERPLEXITIES = {
    **{("sparse", 1.0, seed): value for seed, value in ((1, 100.0), (2, 120.0))},
    **{("sparse", 4.0, seed): value for seed, value in ((1, 90.0), (2, math.nan))},
    **{("dense", 2.0, seed): 130.0 for seed in (1, 2)},
    **{("dense bf16", 2.0, seed): value for seed, value in ((1, 118.0), (2, 120.0))},
}
