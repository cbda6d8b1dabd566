from __future__ import annotations

import os
import signal

import pytest

from truesparse.bench.contest import Contestant, ContestantError
from truesparse.bench.sweep import crossover


def test_a_contestant_that_fails_or_ends_is_named():
    with Contestant("numpy", 1) as contestant:
        with pytest.raises(ContestantError, match="NumPy failed: AttributeError"):
            contestant.ask("dance")
        with pytest.raises(ContestantError, match="NumPy failed: KeyError: 'none'"):
            contestant.turn("none", 0.1)
        os.kill(contestant._process.pid, signal.SIGKILL)
        with pytest.raises(
            ContestantError, match=r"process of NumPy ended \(exit code -9\): it was killed"
        ) as error:
            contestant.turn("step", 0.1)
        assert error.value.side == "numpy"


def test_crossover():
    assert crossover([0.1, 0.4], [2.0, 0.5]) == pytest.approx(0.2)
    assert crossover([0.1, 0.2, 0.4], [4.0, None, 0.5]) == pytest.approx(0.1 * 4 ** (2 / 3))
    assert crossover([0.1, 0.4], [3.0, 2.0]) is None
    assert crossover([0.1, 0.4], [0.9, 0.2]) is None
    assert crossover([0.1, 0.2, 0.4], [None, None, None]) is None
    # sparse loses where there is little to do and wins in between
    assert crossover([0.01, 0.1, 1.0], [0.5, 2.0, 0.5]) == pytest.approx(10**-0.5)
