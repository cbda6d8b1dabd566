"""Times that can be compared: contestants take turns, and a time is the median of its turns."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

SAMPLE_SECONDS = 0.002  # shortest interval that is timed: quicker calls are timed several at once
# Before a turn: the threads of the one before that still wait for work (OpenBLAS 26 ms, OpenMP a few) go to
# sleep and leave the cores alone.
SETTLE_SECONDS = 0.05


class Spread(NamedTuple):
    """Median and quartiles."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Return the median and the quartiles of at least one number."""
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high)


@dataclass(frozen=True)
class Timing:
    """Seconds a call took in each turn.

    Attributes
    ----------
    turns : tuple of float
        For each turn the median over its calls, in seconds; turn k of all contestants was measured together.
    """

    turns: tuple[float, ...]

    @property
    def seconds(self) -> Spread:
        """Median and quartiles over the turns."""
        return spread(self.turns)

    def times_faster_than(self, other: Timing) -> Spread:
        """Return how many times as long `other` takes: the ratio of the medians, and the quartiles of the
        ratios turn by turn."""
        ratios = spread([theirs / ours for ours, theirs in zip(self.turns, other.turns, strict=True)])
        return Spread(other.seconds.median / self.seconds.median, ratios.low, ratios.high)


def run_turn(call: Callable[[], object], seconds: float) -> float:
    """Call again and again for a while and return the median time of a call, in seconds.

    Parameters
    ----------
    call : callable
    seconds : float
        How long, about. A call that takes more than a third of it is made once. Otherwise the first call,
        which finds the caches full of the work of others, does not count.
    """
    start = time.perf_counter()
    call()
    first = time.perf_counter() - start
    if first > seconds / 3:
        return first
    calls = max(1, math.ceil(SAMPLE_SECONDS / max(first, 1e-7)))
    samples: list[float] = []
    end = start + seconds
    while len(samples) < 3 or time.perf_counter() < end:
        begin = time.perf_counter()
        for _ in range(calls):
            call()
        samples.append((time.perf_counter() - begin) / calls)
    return statistics.median(samples)


def take_turns(
    turns: Mapping[str, Callable[[], float]], repeats: int, done: Callable[[], None]
) -> dict[str, Timing]:
    """Let contestants take turns, each once a round, and a different one first in each round.

    Parameters
    ----------
    turns : dict of str to callable
        For each contestant what runs one turn and returns seconds, such as `run_turn`.
    repeats : int
        Rounds.
    done : callable
        Called after each round.

    Returns
    -------
    dict of str to Timing
    """
    names = list(turns)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(repeats):
        for place in range(len(names)):
            name = names[(number + place) % len(names)]
            time.sleep(SETTLE_SECONDS)
            seconds[name].append(turns[name]())
        done()
    return {name: Timing(tuple(values)) for name, values in seconds.items()}
