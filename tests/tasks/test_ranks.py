"""Ranks that share an evaluation find what one process finds; one rank after the other, without MPI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from truesparse.model import random_model
from truesparse.tasks.classifier.settings import ClassifierConfig
from truesparse.tasks.series.settings import SeriesConfig
from truesparse.tasks.tagger.settings import TaggerConfig
from truesparse.training.communicator import Communicator


class Rank(Communicator):
    """One of three ranks, which writes down what it tells; rank 0 comes last and hears what others told."""

    size = 3

    def __init__(self, rank: int, told: list[list[Any]]) -> None:
        self.rank = rank
        self._told = told
        self._mine: list[Any] = []
        if rank:
            told.append(self._mine)

    def gather(self, value: Any) -> list[Any]:
        self._mine.append(value)
        if self.rank:  # it hears nothing, and finds measures that nobody looks at
            return [value, *[np.zeros_like(value)] * (self.size - 1)]
        return [value, *(of_rank[len(self._mine) - 1] for of_rank in self._told)]

    def sums(self, *values: float) -> list[float]:
        return [sum(of_rank) for of_rank in zip(*self.gather(values), strict=True)]


def write_series(path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = ["id,a,b,target"]
    for number in range(90):
        values = rng.normal(size=(rng.integers(2, 9), 2))
        rows += [f"{number},{a:.3f},{b:.3f},{values.mean():.3f}" for a, b in values]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")


@pytest.mark.parametrize("kind", ["classifier", "tagger", "series"])
def test_ranks_share_an_evaluation(kind: str, labelled_file: Path, tagged_file: Path, tmp_path: Path) -> None:
    write_series(tmp_path / "series.csv")
    common: dict[str, Any] = {"hidden_size": 12, "batch_size": 12, "density": 0.5}
    config = {
        "classifier": lambda: ClassifierConfig(data=str(labelled_file), **common),
        "tagger": lambda: TaggerConfig(data=str(tagged_file), **common),
        "series": lambda: SeriesConfig(
            data=str(tmp_path / "series.csv"), id_column="id", target_column="target", **common
        ),
    }[kind]()
    task = config.filled().make_task()
    model = random_model(task.chain, 0.5, np.random.default_rng(1))
    alone = task.evaluate(model, "valid", model.workspace)
    told: list[list[Any]] = []
    for rank in (2, 1, 0):
        task.communicator = Rank(rank, told)
        shared = task.evaluate(model, "valid", model.workspace)
    assert len(told) == 2
    assert all(told)
    assert shared == pytest.approx(alone, rel=1e-5)
