"""How products are cut into tiles on the processor at hand: a plan.

Tiles are derived from the sizes of the caches. The first product of its kind is tried with a few other tiles
too, for a second at most; the fastest is kept on disk beside the compiled kernels, for later runs on this
machine. FFTW's wisdom and OSKI do the like (Frigo and Johnson, 2005; Vuduc, Demmel and Yelick, 2005).
A plan never changes a result: every sum is taken in the same order whatever the tiles.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

from truesparse.kernels.cache import cache_folder
from truesparse.kernels.processor import cache_bytes
from truesparse.settings import parse
from truesparse.sparse.cuts import Cut, Kind, add_cuts, file_name, read_cuts

__all__ = ["Cut", "Kind", "Plan", "machine_plan", "tuning"]

VARIABLE = "TRUESPARSE_TUNE"  # of the environment; `truesparse train` knows it by the name of its setting

_L1_SHARE = 5 / 6  # of a cache that the rows of a tile fill
_L2_SHARE = 1 / 2
# Tried, and the whole panel: shares of a cache, and whether panels are bundled.
_TRIED = {"L1": ((_L1_SHARE, 5 / 4), (True, False)), "L2": ((1 / 8, 1 / 3, _L2_SHARE), (False,))}
_BAND_SHARE = 1 / 6  # of an L2 cache, for a panel's rows that are written while all tiles go by
_BUNDLE_SHARE = 1 / 8  # of an L2 cache, for the connections of a tile that all panels take
_L1_DENSITY = 0.08  # below it the few nonzeros of a row in an L1 tile do not make up for the tile's loop
_BETTER = 0.97  # of the derived tile's time; what is less of a gain may be noise
_ROUNDS = 3  # of a trial, if there is time
_FEWEST = 2  # for a decision
_LONGEST = 1.0  # seconds of a trial that is not told to take longer
_SLOW = 1.5  # times as long as the fastest in the first round: such a cut is tried no more


Trial = Callable[[Cut], Any]


class Plan:
    """How the products are cut.

    Parameters
    ----------
    caches : dict of str to int, optional
        Bytes of "L1" and "L2" of a core; without, those of this machine.
    file : Path, optional
        Where measured tiles are kept; without, nowhere.
    clock : callable, optional
        Gives seconds.

    Attributes
    ----------
    measures : bool
        Whether a product of a new kind is tried with several tiles.
    tiles : bool
        Whether panels are cut at all.
    measured : dict of Kind to Cut
    seconds : float
        How long a kind of product is tried, about. With less than a second the trial ends after three rounds,
        or a second; and if that does not suffice for two rounds, the derived cut stays.
    report : callable
        Told of each kind that has been measured: the kind, its cut, and how many times as long the derived
        one takes.
    """

    def __init__(
        self,
        caches: dict[str, int] | None = None,
        file: Path | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.caches = cache_bytes() if caches is None else caches
        self.file = file
        self.measures = self.tiles = True
        self.seconds = 0.0
        self.report: Callable[[Kind, Cut, float], None] = lambda kind, cut, gain: None
        self.measured = read_cuts(file)
        self._own: dict[Kind, Cut] = {}  # that this process has measured
        self._clock = clock

    def derived(self, kind: Kind) -> Cut:
        """Return the cut that follows from the caches alone."""
        near = kind.group == 1 and kind.sparsity <= -2 * math.log2(_L1_DENSITY)
        return self._for_level("L1" if near else "L2")

    def _for_level(self, level: str) -> Cut:
        share = {"L1": _L1_SHARE, "L2": _L2_SHARE}[level]
        return Cut(int(self.caches[level] * share), bundled=level == "L1")

    def rules(self) -> dict[str, Cut]:
        """Return the derived cuts, by the products that take them, in words."""
        return {
            f"weight pattern, density {_L1_DENSITY:g} and above": self._for_level("L1"),
            f"weight pattern, density below {_L1_DENSITY:g}": self._for_level("L2"),
            "groups of rows": self._for_level("L2"),
        }

    def band(self, cut: Cut, row_bytes: int, tile_bytes: float) -> int:
        """Return how many rows, or groups, take all tiles before the next ones do.

        Parameters
        ----------
        cut : Cut
        row_bytes : int
            Of a row of a panel, or of those of a group.
        tile_bytes : float
            Of the connections that a row has in a tile, in the mean.
        """
        share, each = (_BUNDLE_SHARE, tile_bytes) if cut.bundled else (_BAND_SHARE, row_bytes)
        return max(16, int(self.caches["L2"] * share / max(each, 1)))

    def cut(self, kind: Kind, size: int, trial: Trial | None) -> Cut:
        """Return how to cut a product.

        Parameters
        ----------
        kind : Kind
        size : int
            Bytes of what is cut into tiles: a panel.
        trial : callable or None
            Makes the product with a cut; may be called often.
        """
        if not self.tiles:
            return Cut(2 * size)
        found = self.measured.get(kind)
        if found is None:
            if trial is None or not self.measures or size <= self.caches["L1"]:
                return self.derived(kind)
            found = self.measured[kind] = self._own[kind] = self._fastest(kind, size, trial)
            if self.file is not None:
                for other, cut in add_cuts(self.file, dict(self._own)).items():
                    self.measured.setdefault(other, cut)
        return found

    def _fastest(self, kind: Kind, size: int, trial: Trial) -> Cut:
        usual = self.derived(kind)
        others = [
            Cut(int(self.caches[level] * share), bundled)
            for level, (shares, orders) in _TRIED.items()
            for share, bundled in product(shares, orders)
        ]
        times = self._times(list(dict.fromkeys((usual, *others, Cut(2 * size)))), trial)
        middle = {cut: median(taken) for cut, taken in times.items() if len(taken) >= _FEWEST}
        # On a busy machine no cut is faster in most rounds than the derived one in its best: then that stays.
        fastest = min(middle, key=lambda cut: middle[cut]) if usual in middle else usual
        if fastest != usual and middle[fastest] >= _BETTER * min(times[usual]):
            fastest = usual
        gain = 1.0 if fastest == usual else middle[usual] / max(middle[fastest], 1e-9)
        self.report(kind, fastest, gain)
        return fastest

    def _times(self, cuts: list[Cut], trial: Trial) -> dict[Cut, list[float]]:
        """The seconds of a product with each cut, of which the first one is the derived one, until there are
        enough rounds or time is up."""
        usual, most = cuts[0], max(self.seconds, _LONGEST)
        times: dict[Cut, list[float]] = {cut: [] for cut in cuts}
        trial(usual)  # compiles the kernel
        began = now = self._clock()
        while len(times[usual]) < _ROUNDS or now - began < self.seconds:
            for left, cut in zip(range(len(cuts))[::-1], cuts, strict=True):
                trial(cut)  # makes the tile's index, and puts into the caches what fits
                start = self._clock()
                trial(cut)
                now = self._clock()
                times[cut].append(now - start)
                if now - began + 2 * left * times[usual][0] > most:  # the round would not end in time
                    return times
            fastest = min(taken[0] for taken in times.values())
            cuts = [cut for cut in cuts if cut == usual or times[cut][0] <= _SLOW * fastest]
        return times


@cache
def machine_plan() -> Plan:
    """Return the plan of this machine, which all products of the process share.

    Raises
    ------
    UsageError
        The environment variable TRUESPARSE_TUNE is neither true nor false.
    """
    folder = cache_folder()
    plan = Plan(file=None if folder is None else folder / file_name())
    plan.measures = parse(VARIABLE, bool, os.environ.get(VARIABLE, "true"))
    return plan


@contextmanager
def tuning(on: bool | None) -> Iterator[None]:
    """Let products of a new kind be measured, or not; with None as the environment says."""
    plan = machine_plan()
    before = plan.measures
    plan.measures = before if on is None else on
    try:
        yield
    finally:
        plan.measures = before
