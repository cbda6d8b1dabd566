from __future__ import annotations

import time

import pytest

from truesparse.bench import timing
from truesparse.bench.timing import Timing, run_turn, spread, take_turns


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch):
    monkeypatch.setattr(timing, "SETTLE_SECONDS", 0)


def test_spread():
    assert spread([3.0]) == (3.0, 3.0, 3.0)
    assert spread([1.0, 2.0, 3.0, 4.0, 5.0]) == (3.0, 2.0, 4.0)


def test_ratio_of_medians_with_quartiles_turn_by_turn():
    ours, theirs = Timing((1.0, 2.0, 4.0)), Timing((6.0, 6.0, 8.0))
    ratio = ours.times_faster_than(theirs)
    assert ratio.median == 3.0
    assert (ratio.low, ratio.high) == (2.5, 4.5)


def test_contestants_take_turns_and_another_begins_each_round():
    order, rounds = [], []

    def turn(name):
        order.append(name)
        return float(len(order))

    timings = take_turns({name: lambda name=name: turn(name) for name in "abc"}, 3, lambda: rounds.append(1))
    assert "".join(order) == "abcbcacab"
    assert timings["a"].turns == (1.0, 6.0, 8.0)
    assert len(rounds) == 3


def test_a_long_call_is_made_once_and_a_short_one_often():
    calls = []
    run_turn(lambda: (calls.append(1), time.sleep(0.02)), 0.03)
    assert len(calls) == 1
    calls.clear()
    seconds = run_turn(lambda: calls.append(1), 0.01)
    assert len(calls) > 100
    assert 0 < seconds < 0.001
