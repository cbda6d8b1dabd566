"""The step that brings ranks together after steps of their own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from training_helpers import StopAt, assert_same_end, records

from truesparse.sparse import Arena
from truesparse.sparse.pattern import Pattern
from truesparse.tasks.lm.settings import LanguageModelConfig
from truesparse.tasks.run import resume_run, train_model
from truesparse.training import local_steps
from truesparse.training.communicator import Communicator
from truesparse.training.local_steps import OuterStep
from truesparse.training.loop import TrainingStopped


class Two(Communicator):
    """Two ranks; what the other one adds is known."""

    size = 2

    def __init__(self) -> None:
        self.other = np.float32(0)
        self.exact: list[bool] = []

    def all_reduce(self, array: np.ndarray, exact: bool = False) -> None:
        array += self.other
        self.exact.append(exact)


def test_an_outer_step_goes_down_the_mean_with_nesterov_momentum() -> None:
    every = Pattern(np.array([0, 2, 4], np.int64), np.array([0, 1, 0, 1], np.uint16), (2, 2))
    arena = Arena({"w": (every, 1)}, {})
    arena.add_state("momentum")[:4] = 4
    ranks = Two()
    outer = OuterStep(ranks, arena, 2, momentum=0.9)
    w, u = np.array([1.0, 2, 3, 4]), np.zeros(4)
    arena.values[:4] = w
    for mine, other in ((0.5, 0.1), (-0.25, 0.3)):
        outer.begin()
        arena.values[:4] -= np.float32(mine) / 2
        outer.count(8)
        outer.begin()  # which forgets nothing
        arena.values[:4] -= np.float32(mine) / 2
        assert outer.pending == 1
        ranks.other = np.float32(other)
        outer.count(9)
        assert outer.pending == 0
        g = (mine + other) / 2
        u = 0.9 * u + g
        w = w - 0.7 * (g + 0.9 * u)
        assert arena.values[:4] == pytest.approx(w, rel=1e-6)
    assert ranks.exact == [False, True] * 2
    assert arena.states["momentum"][0] == pytest.approx(((4 + 0.1) / 2 + 0.3) / 2)
    before = arena.values.copy()
    outer.step()
    assert np.array_equal(arena.values, before)


def test_the_first_phases_are_short() -> None:
    every = Pattern(np.array([0, 1], np.int64), np.array([0], np.uint16), (1, 1))
    outer = OuterStep(Two(), Arena({"w": (every, 1)}, {}), 4)
    ends = []
    for steps in range(1, 20):
        outer.begin()
        outer.count(steps)
        if not outer.pending:
            ends.append(steps)
    assert ends == [1, 3, 6, 10, 14, 18]  # after 1, 2, 3 steps more, and then 4 each time


def test_phases_grow_as_the_learning_rate_falls() -> None:
    every = Pattern(np.array([0, 1], np.int64), np.array([0], np.uint16), (1, 1))
    outer = OuterStep(Two(), Arena({"w": (every, 1)}, {}), 50)
    assert [outer.longest(rate) for rate in (2, 1, 0.5, 0.21, 0.2, 1e-200, 0)] == [5, 10, 20, 47, 50, 50, 50]
    outer.begin()
    for steps in range(1001, 1021):  # long after the beginning
        outer.count(steps, 0.5)
        assert outer.pending == (steps - 1000) % 20


def test_phases_of_a_run_follow_its_learning_rate_also_when_it_goes_on(
    config: LanguageModelConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(config, lr=1.0, lr_decay=2.0, lr_decay_start=2, method="static")
    config = replace(config, local_steps=14, outer_momentum=0.9)
    train_model(config, tmp_path / "whole")
    stop = StopAt(101)
    with pytest.raises(TrainingStopped, match="after step 114 and saved"):  # two epochs, and 14
        train_model(config, tmp_path / "stopped", stop, stop)
    resume_run(tmp_path / "stopped", {})
    assert_same_end(tmp_path / "whole", tmp_path / "stopped")
    monkeypatch.setattr(local_steps, "FIRST", 14)  # phases of before, so they do matter
    train_model(config, tmp_path / "longer")
    ends = [records(tmp_path / name, "eval")[-1]["loss"] for name in ("whole", "longer")]
    assert ends[0] != ends[1]


def test_a_run_with_local_steps_stops_between_them_and_goes_on_to_the_same_bits(
    config: LanguageModelConfig, tmp_path: Path
) -> None:
    config = replace(config, epochs=1, local_steps=7, method="rigl", update_interval=15, eval_interval=25)
    config = replace(config, outer_momentum=0.9)
    train_model(config, tmp_path / "whole")
    stop = StopAt(16)
    with pytest.raises(TrainingStopped, match="after step 21 and saved"):  # 15, an update, and 6 more
        train_model(config, tmp_path / "stopped", stop, stop)
    resume_run(tmp_path / "stopped", {})
    assert_same_end(tmp_path / "whole", tmp_path / "stopped")
    assert [record["step"] for record in records(tmp_path / "whole", "rewire")] == [15, 30]
    replaced = replace(config, local_steps=1)
    train_model(replaced, tmp_path / "without")
    assert (
        records(tmp_path / "without", "eval")[-1]["loss"] != records(tmp_path / "whole", "eval")[-1]["loss"]
    )


def test_without_momentum_ranks_meet_at_their_mean() -> None:
    every = Pattern(np.array([0, 2], np.int64), np.array([0, 1], np.uint16), (1, 2))
    arena = Arena({"w": (every, 1)}, {})
    ranks = Two()
    outer = OuterStep(ranks, arena, 1)
    assert list(arena.states) == ["outer_start"]
    arena.values[:2] = 3
    outer.begin()
    arena.values[:2] = 2  # the other one comes from 3 to 2.5
    ranks.other = np.float32(0.5)
    outer.count(1)
    assert arena.values[:2] == pytest.approx([2.25, 2.25])


def test_a_run_from_before_there_was_a_choice_keeps_its_momentum() -> None:
    every = Pattern(np.array([0, 1], np.int64), np.array([0], np.uint16), (1, 1))
    arena = Arena({"w": (every, 1)}, {})
    arena.values[0] = arena.add_state("outer_momentum")[0] = 1
    outer = OuterStep(Two(), arena, 1)
    outer.begin()
    outer.count(1)
    assert arena.values[0] == pytest.approx(1 - 0.7 * 0.9 * 0.9)
